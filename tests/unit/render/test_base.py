"""Rendered and Renderer, and what is told of a renderer that raises."""

from typing import ClassVar

import numpy as np
import pytest

from metasim.errors import DataError, Interrupted, RenderError
from metasim.render import Camera, Label, Rendered, Renderer
from metasim.render.drawing import draw
from metasim.scene import Attributes, Node, Scene

SCENES = [Scene((Node("scene", "scene", Attributes()),), seed) for seed in range(3)]
SIZE = (4, 5)


def test_a_slice_of_rendered_holds_the_same_rows_of_everything():
    label = Label(1, 0, "n", "k", "c", (0, 0, 1, 1), 1.0)
    rendered = Rendered(
        np.arange(3 * 60, dtype=np.uint8).reshape(3, *SIZE, 3),
        np.arange(60, dtype=np.int32).reshape(3, *SIZE),
        ((), (label,), ()),
        np.arange(60, dtype=np.float32).reshape(3, *SIZE),
        cameras=tuple(Camera(f, f, 2.5, 2.0) for f in (1.0, 2.0, 3.0)),
    )
    part = rendered[1:]
    assert len(part) == 2
    assert part.labels == ((label,), ())
    assert part.normals is None
    assert [camera.fx for camera in part.cameras] == [2.0, 3.0]
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
