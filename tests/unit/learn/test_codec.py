"""Laws of the codec, on random grammars."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from metasim.learn.codec import SceneCodec, wrap
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Attributes, Node, Scene

LOWS = st.sampled_from([-180.0, -1.0, -0.1, 0.0, 0.1, 1e-3, 32.0])
WIDTHS = st.sampled_from([0.3, 1.0, 2 * math.pi, 64.0, 360.0, 1e5])


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, Any]:
    """One attribute: learnable or not, periodic or not, without a range, named or counted."""
    what = draw(st.sampled_from(["line", "circle", "free", "named", "counted", "constant"]))
    if what == "named":
        return {"prior": {"choice": {"values": ["mug", "7", "é x"]}}, "mutable": False}
    if what == "counted":
        return {"prior": {"choice": {"values": [0, 1, 5]}}}
    if what == "free":
        return {"prior": {"normal": {"mean": draw(LOWS), "std": draw(WIDTHS)}}}
    if what == "constant":
        return {"prior": draw(st.sampled_from([-0.0, 3, 1e99, "red"]))}
    low = draw(LOWS)
    high = low + draw(WIDTHS)
    prior = {"uniform": {"low": low - 1, "high": high + 1}}
    mutable = draw(st.booleans())
    return {
        "prior": prior,
        "range": [low, high],
        "mutable": mutable,
        "periodic": what == "circle",
    }


@st.composite
def trees(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
    children = st.lists(trees(depth=depth - 1), max_size=2) if depth else st.just([])
    return {
        "kind": draw(st.sampled_from(["box", "digit"])),
        "attributes": {name: draw(attributes()) for name in names},
        "count": draw(st.sampled_from([0, 1, 2, {"choice": {"values": [0, 1, 3]}}])),
        "children": draw(children),
    }


def named(tree: dict[str, Any], numbers: Any = None) -> dict[str, Any]:
    """The tree with a name of its own for every node, in order."""
    numbers = numbers if numbers is not None else iter(range(1000))
    name = f"n{next(numbers)}"
    return {**tree, "name": name, "children": [named(child, numbers) for child in tree["children"]]}


GRAMMARS = trees().map(
    lambda tree: SceneGrammar.model_validate({"root": named(tree) | {"count": 1}})
)


def scenes_of(grammar: SceneGrammar, seed: int, count: int = 4) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [grammar.sample(rng) for _ in range(count)]


def shifted(
    codec: SceneCodec, scenes: Sequence[Scene], shift: float
) -> tuple[Batch, Tensor, list[Scene]]:
    """Scenes as a batch, their latent positions moved, and the scenes that these decode to."""
    batch = codec.encode(scenes)
    latent = codec.to_latent(batch.value, batch.name_id) + shift
    return batch, latent, codec.decode(scenes, codec.to_values(latent, batch.name_id))


def bits(value: float | str) -> Any:
    """What tells values apart that compare equal: type, and sign of zero."""
    packed = struct.pack("<d", value) if isinstance(value, float) else value
    return type(value), packed


@settings(max_examples=60, deadline=None)
@given(GRAMMARS, st.integers(0, 99))
def test_decoding_what_was_encoded_gives_the_same_scenes(grammar: SceneGrammar, seed: int) -> None:
    codec, scenes = SceneCodec(grammar), scenes_of(grammar, seed)
    batch = codec.encode(scenes)
    assert codec.decode(scenes, batch.value) == scenes
    assert batch.x.shape == (sum(len(s.nodes) for s in scenes), codec.width)
    assert batch.x.dtype == torch.float32
    assert bool(batch.x.isfinite().all())


@settings(max_examples=60, deadline=None)
@given(GRAMMARS, st.integers(0, 99), st.floats(-3, 3))
def test_only_learnable_attributes_change_and_they_stay_in_range(
    grammar: SceneGrammar, seed: int, shift: float
) -> None:
    scenes = scenes_of(grammar, seed)
    _, _, decoded = shifted(SceneCodec(grammar), scenes, shift)
    for before, after in zip(scenes, decoded, strict=True):
        assert before.seed == after.seed
        for old, new in zip(before.nodes, after.nodes, strict=True):
            assert (old.name, old.kind, old.parent) == (new.name, new.kind, new.parent)
            assert list(old.attributes) == list(new.attributes)
            for name, spec in grammar.nodes[old.name].attributes.items():
                value = new.attributes[name]
                if not spec.mutable:
                    assert bits(value) == bits(old.attributes[name])
                    continue
                assert isinstance(value, float)
                assert spec.range is not None
                low, high = spec.range
                assert low <= value <= high
                assert not spec.periodic or value < high


@settings(max_examples=60, deadline=None)
@given(GRAMMARS, st.integers(0, 99))
def test_values_survive_the_way_through_the_latent_space(grammar: SceneGrammar, seed: int) -> None:
    codec, scenes = SceneCodec(grammar), scenes_of(grammar, seed)
    batch = codec.encode(scenes)
    latent = codec.to_latent(batch.value, batch.name_id)
    assert latent.dtype == torch.float32
    back = codec.to_values(latent, batch.name_id)
    size = (codec.high - codec.low)[batch.name_id]
    apart = (back - batch.value).abs() / size
    mask, periodic = codec.mask[batch.name_id], codec.periodic[batch.name_id]
    # On a circle both ends are one place, and rounding may swap them.
    apart = torch.where(periodic, torch.minimum(apart, 1 - apart), apart)
    assert bool((apart[mask] < 1e-6).all())


@settings(max_examples=60, deadline=None)
@given(GRAMMARS, st.integers(0, 99))
def test_a_batch_can_be_taken_apart_into_the_graphs_of_its_scenes(
    grammar: SceneGrammar, seed: int
) -> None:
    codec, scenes = SceneCodec(grammar), scenes_of(grammar, seed)
    graphs = codec.encode(scenes).to_data_list()
    assert len(graphs) == len(scenes)
    for graph, scene in zip(graphs, scenes, strict=True):
        alone = codec.encode([scene])
        for name in ("x", "value", "name_id", "edge_index"):
            assert torch.equal(graph[name], alone[name]), name
    again = Batch.from_data_list(graphs)
    assert torch.equal(again.edge_index, codec.encode(scenes).edge_index)


@settings(max_examples=60, deadline=None)
@given(GRAMMARS, st.integers(0, 99), st.floats(-1.5, 1.5))
def test_replaced_inputs_are_those_of_the_decoded_scenes(
    grammar: SceneGrammar, seed: int, shift: float
) -> None:
    codec = SceneCodec(grammar)
    batch, latent, decoded = shifted(codec, scenes_of(grammar, seed), shift)
    torch.testing.assert_close(
        codec.replaced(batch, latent), codec.encode(decoded).x, atol=1e-5, rtol=0
    )


@settings(max_examples=40, deadline=None)
@given(GRAMMARS, st.integers(0, 99))
def test_a_batch_is_its_scenes_side_by_side(grammar: SceneGrammar, seed: int) -> None:
    codec, scenes = SceneCodec(grammar), scenes_of(grammar, seed)
    whole = codec.encode(scenes)
    for b, scene in enumerate(scenes):
        one = codec.encode([scene])
        rows = slice(int(whole.ptr[b]), int(whole.ptr[b + 1]))
        for name in ("x", "value", "name_id"):
            assert torch.equal(whole[name][rows], one[name])
        assert bool((whole.batch[rows] == b).all())
        mine = (whole.edge_index[1] >= rows.start) & (whole.edge_index[1] < rows.stop)
        assert torch.equal(whole.edge_index[:, mine] - rows.start, one.edge_index)
        assert one.edge_index.T.tolist() == [list(edge) for edge in scene.edges()]


@given(st.floats(-1e4, 1e4, width=32))
def test_wrapping_ends_up_in_the_range_at_the_same_place(position: float) -> None:
    wrapped = wrap(torch.tensor(position))
    assert -1.0 <= float(wrapped) < 1.0
    turns = (position - float(wrapped)) / 2
    assert turns == pytest.approx(round(turns), abs=1e-3)


def codec_of(attributes: dict[str, Any], **more: Any) -> SceneCodec:
    node = {"name": "digit", "kind": "digit", "attributes": attributes}
    return SceneCodec(SceneGrammar.model_validate({"root": {**node, **more}}))


CIRCLE = {"prior": 0.0, "range": [0, 360], "mutable": True, "periodic": True}
LINE = {"prior": 0.1, "range": [-0.1, 0.2], "mutable": True}


def test_a_circle_has_no_cut() -> None:
    codec = codec_of({"yaw": CIRCLE})
    scenes = [Scene((Node("digit", "digit", Attributes(yaw=yaw)),)) for yaw in (359.0, 1.0, 180.0)]
    x = codec.encode(scenes).x
    assert float((x[0] - x[1]).norm()) == pytest.approx(2 * math.sin(math.radians(1)), rel=1e-3)
    assert float((x[0] - x[2]).norm()) > 1.9


def test_latent_positions_beyond_the_range_are_wrapped_on_circles_and_clipped_on_lines() -> None:
    codec = codec_of({"x": LINE, "yaw": CIRCLE})
    name_id = torch.zeros(3, dtype=torch.long)
    latent = torch.tensor([[1.5, 1.5], [-7.0, -1.5], [1.0, 1.0]], requires_grad=True)
    values = codec.to_values(latent, name_id)
    # -0.1 + 1.0 * (0.2 + 0.1) is more than 0.2 in floating point: the range must hold.
    assert values.tolist() == [[0.2, 90.0], [-0.1, 270.0], [0.2, 0.0]]
    (slope,) = torch.autograd.grad(values.sum(), latent)
    torch.testing.assert_close(slope[:, 1], torch.full((3,), 180.0))
    assert slope[:2, 0].tolist() == [0.0, 0.0]


def test_replaced_inputs_carry_the_gradient() -> None:
    codec = codec_of({"x": LINE, "yaw": CIRCLE, "fixed": {"prior": 3.0}})
    batch = codec.encode([codec.grammar.sample(np.random.default_rng(0)) for _ in range(2)])
    latent = torch.full((2, 2), 0.25, requires_grad=True)

    def through(position: Tensor) -> Tensor:
        return codec.replaced(batch, position).double()

    jacobian = torch.autograd.functional.jacobian(through, latent)
    moved = jacobian.abs().sum(dim=(0, 1))
    assert bool((moved > 0).all())
    assert codec.replaced(batch, latent)[:, 0].tolist() == [1.0, 1.0]


def test_nodes_share_the_columns_of_attributes_written_the_same_way() -> None:
    shade = {"prior": {"uniform": {"low": 0, "high": 1}}, "range": [0, 1], "mutable": True}
    child = {"name": "part", "kind": "part", "attributes": {"x": shade, "yaw": CIRCLE}}
    codec = codec_of({"x": LINE, "yaw": CIRCLE}, children=[child])
    assert codec.width == 2 + 1 + 2  # two names, x, and the circle's cosine and sine
    assert codec.labels == ("digit.x", "digit.yaw", "part.x", "part.yaw")
    assert codec.attributes == ("x", "yaw")


def test_categories_are_written_as_one_of_many() -> None:
    codec = codec_of({"class": {"prior": {"choice": {"values": ["b", "a", "c"]}}}})
    scenes: Sequence[Scene] = [
        Scene((Node("digit", "digit", Attributes({"class": name})),)) for name in "abc"
    ]
    assert codec.encode(scenes).x[:, 1:].tolist() == np.eye(3).tolist()
    assert codec.labels == ()
    assert codec.decode(scenes, codec.encode(scenes).value) == scenes


def test_an_attribute_that_may_be_a_number_or_a_name_is_refused() -> None:
    # Such values could not be written into one input column.
    mixed = {"mixture": {"components": [1.5, {"choice": {"values": ["red", "blue"]}}]}}
    with pytest.raises(ValueError, match="either numbers or named values"):
        codec_of({"colour": {"prior": mixed}})
