"""What networks are told of each pixel is what the simulator knows of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from metasim.errors import DataError
from metasim.refine.conditions import channels, conditions
from metasim.render.base import Label, Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.testing.solids import SolidsRenderer

CLASSES = ("bolt", "mug", "nut")
IDS = st.integers(0, 5)
PLANES = arrays.arrays(
    np.int32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=IDS
)


def category(instance: int) -> str:
    return CLASSES[instance % 3]


def seen(instances: npt.NDArray[np.int32], **planes: Any) -> Rendered:
    """A batch in which each id that occurs has a label."""
    labels = tuple(
        tuple(
            Label(int(i), 0, f"thing {i}", "thing", category(int(i)), (0, 0, 1, 1), 1.0)
            for i in np.unique(plane)
            if i
        )
        for plane in instances
    )
    return Rendered(np.zeros((*instances.shape, 3), np.uint8), instances, labels, **planes)


def solids(count: int) -> Rendered:
    grammar = SceneGrammar.model_validate(SolidsRenderer.example)
    with SolidsRenderer((24, 32)) as renderer:
        return renderer.render([grammar.sample(stream(0, i)) for i in range(count)])


@given(PLANES)
def test_each_pixel_is_of_one_class(instances: npt.NDArray[np.int32]) -> None:
    found = conditions(seen(instances), ["classes"], CLASSES)
    assert found.dtype == np.float32
    assert set(np.unique(found)) <= {0, 1}
    np.testing.assert_array_equal(found.sum(1), 1)
    names = np.array([*CLASSES, "background"])[found.argmax(1)]
    wanted = [category(i) if i else "background" for i in instances.ravel().tolist()]
    assert names.ravel().tolist() == wanted


@given(PLANES)
def test_edges_are_where_one_of_four_neighbours_is_another(
    instances: npt.NDArray[np.int32],
) -> None:
    found = conditions(seen(instances), ["edges"], CLASSES)[:, 0]
    batch, height, width = instances.shape
    for b, y, x in np.ndindex(batch, height, width):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [(v, u) for v, u in around if 0 <= v < height and 0 <= u < width]
        assert found[b, y, x] == any(instances[b, v, u] != instances[b, y, x] for v, u in inside)


@given(IDS, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6))
def test_a_single_instance_has_no_edges(instance: int, shape: tuple[int, ...]) -> None:
    found = conditions(seen(np.full(shape, instance, np.int32)), ["edges"], CLASSES)
    assert not found.any()


@given(PLANES, st.permutations(range(6)))
def test_other_ids_have_the_same_edges(instances: npt.NDArray[np.int32], others: list[int]) -> None:
    renamed = np.array(others, np.int32)[instances]
    np.testing.assert_array_equal(
        conditions(seen(instances), ["edges"], CLASSES),
        conditions(seen(renamed), ["edges"], CLASSES),
    )


def test_two_instances_of_one_class_are_told_apart_by_the_edges_alone() -> None:
    side_by_side = np.array([[[1, 1, 4, 4]]], np.int32)  # both are mugs
    found = conditions(seen(side_by_side), ["classes", "edges"], CLASSES)
    np.testing.assert_array_equal(found[0, :4, 0], [[0] * 4, [1] * 4, [0] * 4, [0] * 4])
    np.testing.assert_array_equal(found[0, 4, 0], [0, 1, 1, 0])


def test_depth_is_near_1_where_it_is_near_and_0_where_nothing_is() -> None:
    depth = np.array([[[0, 1e-3, 1, 3, 1e6]]], np.float32)
    found = conditions(seen(np.zeros((1, 1, 5), np.int32), depth=depth), ["depth"], CLASSES)
    np.testing.assert_allclose(found[0, 0, 0], [0, 1 / 1.001, 1 / 2, 1 / 4, 1e-6], rtol=1e-5)


def test_a_renderers_planes_come_in_the_order_that_was_asked_for() -> None:
    rendered = solids(3)
    classes = sorted({label.category for labels in rendered.labels for label in labels})
    found = conditions(rendered, ["normals", "edges", "depth", "classes"], classes)
    assert found.shape == (3, 3 + 1 + 1 + len(classes) + 1, 24, 32)
    assert found.flags.c_contiguous
    assert rendered.normals is not None
    np.testing.assert_array_equal(found[:, :3], rendered.normals.transpose(0, 3, 1, 2))
    background = rendered.instances == 0
    assert background.any()
    assert not background.all()
    np.testing.assert_array_equal(found[:, -1], background)
    surface = np.linalg.norm(found[:, :3], axis=1) > 0.5
    np.testing.assert_array_equal(found[:, 4] > 0, surface)
    assert found[:, 4].max() < 1


def test_an_image_is_described_alike_in_any_batch() -> None:
    rendered = solids(4)
    classes = sorted({label.category for labels in rendered.labels for label in labels})
    kinds = ("classes", "edges", "depth", "normals")
    whole = conditions(rendered, kinds, classes)
    for i in range(4):
        alone = conditions(rendered[i : i + 1], kinds, classes)
        np.testing.assert_array_equal(alone[0], whole[i])


@pytest.mark.parametrize("kinds", [(), ("edges",), ("classes", "depth"), ("normals", "classes")])
@pytest.mark.parametrize("count", [0, 2])
def test_there_are_as_many_channels_as_were_told(kinds: Any, count: int) -> None:
    plane = np.zeros((count, 4, 5), np.int32)
    rendered = seen(
        plane, depth=plane.astype(np.float32), normals=np.zeros((*plane.shape, 3), np.float32)
    )
    found = conditions(rendered, kinds, CLASSES)
    assert found.shape == (count, channels(kinds, CLASSES), 4, 5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("kind", ["depth", "normals"])
def test_what_the_renderer_does_not_offer_is_named(kind: Any) -> None:
    with pytest.raises(DataError, match=rf"'{kind}' needs a renderer that offers {kind}"):
        conditions(seen(np.zeros((1, 2, 2), np.int32)), ["edges", kind], CLASSES)


def test_a_class_without_a_channel_is_named() -> None:
    rendered = seen(np.array([[[0, 1]]], np.int32))
    with pytest.raises(DataError, match=r"class 'mug' of 'thing 1'.*did you mean 'mugs'"):
        conditions(rendered, ["classes"], ["bolt", "mugs"])


def test_an_instance_without_a_label_is_named() -> None:
    rendered = seen(np.array([[[0, 1]]], np.int32))
    rendered.instances[0, 0, 0] = 7
    with pytest.raises(DataError, match="got none of 7"):
        conditions(rendered, ["classes"], CLASSES)
