"""Clusters of a warm start's values, and that a mixture fitted to them finds its modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.config import load_grammar
from metasim.learn import options
from metasim.learn.clusters import find_clusters
from metasim.learn.codec import SceneCodec, wrap
from metasim.learn.editor import make_editor
from metasim.learn.pools import Pool
from metasim.learn.warmstart import warm_up

GRAMMAR = load_grammar(Path(__file__).parents[3] / "assets/grammars/mnist_rot.yaml").grammar
CODEC = SceneCodec(GRAMMAR)
DIGIT = CODEC.names.index("digit")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pool(*modes: float, deviation: float = 0.03, background: float = 0.0) -> Pool:
    """Even weights on 500 values around each mode, and a share of the weight spread evenly."""
    near = [
        m + deviation * torch.randn(500, 1, generator=generator(i)) for i, m in enumerate(modes)
    ]
    wide = torch.rand(500, 1, generator=generator(9)) * 2 - 1
    weights = [torch.full((500,), (1 - background) / len(modes))] * len(modes)
    weight = torch.cat([*weights, torch.full((500,), background)])
    return Pool(DIGIT, weight / weight.sum(), wrap(torch.cat([*near, wide])))


def digits(latent: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full((len(latent),), DIGIT), latent


def test_each_mode_is_a_cluster_of_its_own_also_across_the_cut() -> None:
    found = find_clusters(CODEC, [pool(1.0, -0.3)], 2, np.random.default_rng(0))
    values = torch.tensor([[0.97], [-0.97], [-0.25], [-0.35]])
    one, same, other, too = found.nearest(*digits(values)).tolist()
    assert one == same
    assert other == too
    assert one != other


def test_values_count_by_their_weight() -> None:
    """Two clusters go where the weight is, although most values are elsewhere."""
    found = find_clusters(CODEC, [pool(0.5, -0.3, background=1e-6)], 2, np.random.default_rng(0))
    assert len(set(found.nearest(*digits(torch.tensor([[0.5], [-0.3]]))).tolist())) == 2
    centres = found.centres[DIGIT]
    angles = torch.atan2(centres[:, 1], centres[:, 0]) / torch.pi
    assert sorted(angles.tolist()) == pytest.approx([-0.3, 0.5], abs=0.02)


def test_a_pool_of_fewer_values_has_fewer_clusters() -> None:
    few = Pool(DIGIT, torch.tensor([0.5, 0.5]), torch.tensor([[0.2], [0.8]]))
    found = find_clusters(CODEC, [few], 4, np.random.default_rng(0))
    around = torch.linspace(-1, 1, 41)[:, None]
    assert set(found.nearest(*digits(around)).tolist()) == {0, 1}


@pytest.mark.parametrize("kind", [options.GCNEditor, options.ParametricEditor])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_mixture_is_warmed_up_to_both_modes(
    kind: type[options.GCNEditor | options.ParametricEditor], seed: int
) -> None:
    """Without clusters one component spread over both modes, from most starts."""
    wanted = pool(-0.5, 0.11, background=0.15)
    settings = kind(head=options.MixtureHead(components=4))
    editor = make_editor(CODEC, settings, seed)
    warm_up(editor, GRAMMAR, [wanted], settings, np.random.default_rng(seed), generator(seed))
    batch = CODEC.encode([GRAMMAR.sample(np.random.default_rng(i)) for i in range(500)])
    with torch.no_grad():
        drawn = editor(batch, generator(1)).sample(generator(2)).latent[batch.name_id == DIGIT]
    for mode in (-0.5, 0.11):
        assert float((wrap(drawn - mode).abs() < 0.12).float().mean()) > 0.35
