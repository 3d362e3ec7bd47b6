"""What a renderer returns is checked before anything is made of it."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from metasim.errors import DataError, Interrupted, RenderError
from metasim.render import Label, Rendered, Renderer, check_rendered
from metasim.render.drawing import draw
from metasim.scene import Attributes, Node, Scene

SCENES = [Scene((Node("scene", "scene", Attributes()),), seed) for seed in range(3)]
SIZE = (4, 5)


LABEL = Label(1, 0, "scene", "scene", "c", (0, 0, 1, 1), 1.0)


def labelled(**changes):
    return {"labels": ((dataclasses.replace(LABEL, **changes),), (), ())}


def good(count=3):
    return Rendered(
        np.zeros((count, *SIZE, 3), np.uint8),
        np.zeros((count, *SIZE), np.int32),
        ((),) * count,
        np.zeros((count, *SIZE), np.float32),
        np.zeros((count, *SIZE, 3), np.float32),
    )


def test_what_fits_is_handed_through():
    rendered = good()
    assert check_rendered(rendered, SCENES, SIZE) is rendered
    assert check_rendered(good(0), [], SIZE).images.shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": np.zeros((3, *SIZE, 3), np.float32)}, "images must be uint8, got float32"),
        ({"images": np.zeros((3, *SIZE), np.uint8)}, r"images must have shape \(3, 4, 5, 3\)"),
        ({"images": np.zeros((2, *SIZE, 3), np.uint8)}, "images must have shape"),
        ({"images": [[0]]}, "images must be a numpy array, got list"),
        ({"instances": np.zeros((3, *SIZE), np.int64)}, "instances must be int32"),
        ({"instances": np.zeros((3, 5, 4), np.int32)}, "instances must have shape"),
        ({"instances": np.full((3, *SIZE), -7, np.int32)}, "instances must be at least 0, got -7"),
        ({"labels": ((), ())}, "labels must hold 3 tuples"),
        ({"labels": None}, "labels must hold 3 tuples, one for each scene, got NoneType"),
        ({"labels": ((), None, ())}, "image 1 of the batch: must be a tuple of Label"),
        ({"labels": ((), (), ({"instance": 1},))}, "image 2 of the batch: .* Label, got dict"),
        (labelled(instance=0), "a whole number of at least 1, got 0"),
        (labelled(instance=None), "a whole number of at least 1, got None"),
        (labelled(node=7), "one of the scene's 1, got 7"),
        (labelled(node=0.0), "one of the scene's 1, got 0.0"),
        (labelled(box=None), r"four whole numbers \(x0, y0, x1, y1\), got None"),
        (labelled(box=(0, 0, 1)), r"four whole numbers .* got \(0, 0, 1\)"),
        (labelled(box=(0, 0, 1.5, 1)), "four whole numbers .* got"),
        (labelled(visible=None), "a share from 0 to 1, got None"),
        (labelled(name="car"), "must be those of node 0, 'scene' and 'scene', got 'car'"),
        (labelled(category=3), "a category must be text and not empty, got 3"),
        (labelled(visible=5.0), "a share from 0 to 1, got 5.0"),
        (labelled(visible=float("nan")), "a share from 0 to 1, got nan"),
        ({"labels": ((LABEL, LABEL), (), ())}, "no two may have the same instance"),
        ({"depth": np.full((3, *SIZE), np.inf, np.float32)}, "depth must be finite"),
        ({"depth": np.zeros((3, *SIZE))}, "depth must be float32"),
        ({"normals": np.full((3, *SIZE, 3), np.nan, np.float32)}, "normals must be finite"),
        ({"normals": np.zeros((3, *SIZE), np.float32)}, "normals must have shape"),
    ],
)
def test_what_does_not_fit_is_named(changes, said):
    with pytest.raises(RenderError, match=said):
        check_rendered(dataclasses.replace(good(), **changes), SCENES, SIZE)


def test_what_is_no_rendered_is_named():
    with pytest.raises(RenderError, match="got ndarray"):
        check_rendered(np.zeros((3, 4, 5, 3), np.uint8), SCENES, SIZE)


def test_a_slice_of_rendered_holds_the_same_rows_of_everything():
    label = Label(1, 0, "n", "k", "c", (0, 0, 1, 1), 1.0)
    rendered = Rendered(
        np.arange(3 * 60, dtype=np.uint8).reshape(3, *SIZE, 3),
        np.arange(60, dtype=np.int32).reshape(3, *SIZE),
        ((), (label,), ()),
        np.arange(60, dtype=np.float32).reshape(3, *SIZE),
    )
    part = rendered[1:]
    assert len(part) == 2
    assert part.labels == ((label,), ())
    assert part.normals is None
    np.testing.assert_array_equal(part.images, rendered.images[1:])
    np.testing.assert_array_equal(part.instances, rendered.instances[1:])
    np.testing.assert_array_equal(part.depth, rendered.depth[1:])


def test_a_renderer_is_closed_at_the_end_of_a_with_block_even_after_an_error():
    class Counting(Renderer):
        closed = 0

        def render(self, scenes):
            raise RuntimeError

        def close(self):
            self.closed += 1

    renderer = Counting()
    with renderer as entered:
        assert entered is renderer
    assert renderer.closed == 1
    with pytest.raises(RuntimeError), renderer:
        renderer.render([])
    assert renderer.closed == 2


class Sticks(Renderer):
    kinds: ClassVar = {}

    def __init__(self, problem=None):
        self.problem = problem or OSError("cannot close")

    def render(self, scenes):
        raise NotImplementedError

    def close(self):
        raise self.problem


class Crash(BaseException):
    """What is no Exception, as some engines raise."""


@pytest.mark.parametrize("problem", [OSError("cannot close"), SystemExit(0), Crash("lost")])
def test_a_renderer_that_cannot_close_is_told_but_hides_no_other_error(problem):
    told = f"closing the renderer Sticks raised {type(problem).__name__}: {problem}"
    with pytest.raises(RenderError, match=told), Sticks(problem):
        pass
    with pytest.raises(KeyError), Sticks(problem):
        raise KeyError("first")


@pytest.mark.parametrize(
    "error", [ValueError("no mesh"), SystemExit(0), GeneratorExit(), Crash("lost")]
)
def test_what_a_renderer_raises_is_told_with_its_name(error):
    class Raises(Sticks):
        image_size = SIZE

        def render(self, scenes):
            raise error

    with pytest.raises(RenderError, match=rf"the renderer Raises raised {type(error).__name__}"):
        draw(Raises(), SCENES)


@pytest.mark.parametrize("wish", [KeyboardInterrupt(), Interrupted("kept"), DataError("no glyph")])
def test_what_is_metasims_own_or_the_users_wish_passes(wish):
    class Raises(Sticks):
        image_size = SIZE

        def render(self, scenes):
            raise wish

    with pytest.raises(type(wish)) as found:
        draw(Raises(), SCENES)
    assert found.value is wish


@pytest.mark.parametrize("wish", [KeyboardInterrupt(), Interrupted("kept")])
def test_the_users_wish_to_stop_is_heard_while_a_renderer_closes(wish):
    with pytest.raises(type(wish)), Sticks(wish):
        pass
