"""Pools: weights on known renders say where a node's attributes are, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metasim.config import load_grammar
from metasim.learn.codec import SceneCodec, wrap
from metasim.learn.pools import match
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

GRAMMAR = load_grammar(Path(__file__).parents[3] / "assets/grammars/mnist_rot.yaml").grammar
CODEC = SceneCodec(GRAMMAR)
NOISE = 0.2


def drawn(count: int, name: str, yaw: float | None = None) -> tuple[list[Scene], Tensor]:
    """Scenes of the widened prior, or with one yaw in degrees; and which of them, every second,
    are to look the same upside down, as digits 0, 1 and 8 do.
    """
    wide = GRAMMAR.widened()
    scenes = [wide.sample(stream(1, name, i)) for i in range(count)]
    if yaw is not None:
        batch = CODEC.encode(scenes)
        scenes = CODEC.decode(scenes, torch.full_like(batch.value, yaw))
    return scenes, torch.arange(count) % 2 == 0


def features(scenes: list[Scene], symmetric: Tensor) -> Tensor:
    """The yaw on a circle, for symmetric ones as an average over both ways up; with noise."""
    batch = CODEC.encode(scenes)
    angle = torch.pi * CODEC.to_latent(batch.value, batch.name_id)[batch.name_id == 1, 0]
    points = torch.stack([angle.cos(), angle.sin()], dim=1)
    twice = torch.stack([(2 * angle).cos(), (2 * angle).sin()], dim=1)
    seen = torch.cat([torch.where(symmetric[:, None], 0.0, points), twice], dim=1)
    return seen + NOISE * torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))


def test_no_weight_goes_to_what_only_looks_alike_the_other_way_up() -> None:
    known, target = drawn(1500, "known"), drawn(400, "target", yaw=90.0)
    (pool,) = match(CODEC, known[0], features(*known), features(*target), {})
    wanted = CODEC.encode(target[0][:1])
    latent = CODEC.to_latent(wanted.value, wanted.name_id)[1]
    away = wrap(pool.latent - latent).abs().squeeze(1)
    assert float(pool.weights.sum()) == pytest.approx(1, abs=1e-5)
    # Half of all images look the same at 270 degrees: matching image by image gives that a
    # sixth to a quarter of the weight.
    assert float(pool.weights[away > 0.75].sum()) < 0.02
    assert float(pool.weights[away < 0.2].sum()) > 0.9


@pytest.mark.parametrize("count", [2, {"choice": {"values": [0, 1, 3]}}])
def test_scenes_with_any_number_of_a_node_are_matched(count: object) -> None:
    """Their nodes have no attributes in common, so each scene keeps its weight for itself."""
    thing = {
        "name": "thing",
        "kind": "thing",
        "count": count,
        "attributes": {
            "x": {"prior": {"uniform": {"low": 0, "high": 1}}, "range": [0, 1], "mutable": True}
        },
    }
    grammar = SceneGrammar.model_validate(
        {"root": {"name": "scene", "kind": "scene", "children": [thing]}}
    )
    codec = SceneCodec(grammar)
    scenes = [grammar.sample(stream(0, i)) for i in range(300)]
    values = [[n.attributes["x"] for n in scene.nodes[1:]] or [0.0] for scene in scenes]
    seen = torch.tensor([[sum(v) / len(v)] for v in values])
    (pool,) = match(codec, scenes, seen, torch.full((100, 1), 0.8), {})
    nodes = list(itertools.chain.from_iterable(s.nodes[1:] for s in scenes))
    assert len(pool.weights) == len(pool.latent) == len(nodes)
    assert float(pool.weights @ pool.latent[:, 0]) == pytest.approx(0.6, abs=0.15)


def test_a_node_that_no_render_has_gets_no_pool() -> None:
    full = [GRAMMAR.sample(stream(0, i)) for i in range(20)]
    bare = [Scene(scene.nodes[:1], scene.seed) for scene in full]
    seen = torch.arange(40.0).view(20, 2)
    assert match(CODEC, bare, seen, seen[:10], {}) == []


def test_images_most_of_which_are_equal_are_matched() -> None:
    """As where most scenes are empty: the median distance is then no measure."""
    scenes = [GRAMMAR.widened().sample(stream(0, i)) for i in range(40)]
    seen = torch.zeros(40, 1)
    seen[::5] = 1.0
    target = torch.zeros(40, 1)
    target[::8] = 1.0
    (pool,) = match(CODEC, scenes, seen, target, {})
    assert bool(pool.weights.isfinite().all())
    assert float(pool.weights.sum()) == pytest.approx(1, abs=1e-5)
