"""Pools: weights on renders whose attributes are known, that make them look like the target.

For each grammar node apart, the weights are found by kernel mean matching of features. They
see the whole range at once, so false optima do not matter. A render shares its weight with
those of nearly the same attributes: matching may choose where a digit stands and how it is
turned, but not which digit it is, or a 0 and a 1 upside down would do as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import RBF
from metasim.learn.discrepancies.kernels import frozen_scale, pooled
from metasim.learn.matching import kernel_mean_matching
from metasim.scene.graph import Scene

__all__ = ["Pool", "match"]

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
_NEIGHBOURS = 16


@dataclass(frozen=True)
class Pool:
    """Weighted values of one grammar node's learnable attributes.

    Attributes:
        node: its place in ``SceneCodec.names``.
        weights: (n,), sum 1.
        latent: (n, A).
    """

    node: int
    weights: Tensor
    latent: Tensor

    @property
    def effective_size(self) -> float:
        """How many equally weighted values would vary as much."""
        return float(1.0 / self.weights.square().sum())


def match(
    codec: SceneCodec,
    scenes: Sequence[Scene],
    features: Tensor,
    target: Tensor,
    blocks: dict[str, slice],
) -> list[Pool]:
    """Weigh known renders so that their features match the target's, node by node.

    A node that none of the scenes has gets no pool.

    Args:
        codec: of the grammar.
        scenes: n scenes that were rendered.
        features: (n, D), their features.
        target: (N, D), the target's.
        blocks: columns of the features; a node is matched by its readings alone where there
            are such, else by the block of its name, else by all columns.
    """
    batch = codec.encode(scenes)
    latent = codec.to_latent(batch.value, batch.name_id)
    every = slice(0, features.shape[1])
    pools = []
    for node in sorted({s for s, _ in codec.entries}):
        name = codec.names[node]
        columns = blocks.get(f"{name} readings", blocks.get(name, every))
        rows = torch.nonzero(batch.name_id == node).squeeze(-1)
        if not len(rows):
            continue
        points = codec.points(latent[rows], batch.name_id[rows])
        alone = torch.equal(batch.batch[rows], torch.arange(len(scenes)))
        neighbours = _nearest(points) if alone else None
        weights = _weights(features[:, columns], target[:, columns], neighbours)
        mine = weights[batch.batch[rows]]
        pools.append(Pool(node, mine / mine.sum(), latent[rows]))
    return pools


def _nearest(points: Tensor) -> Tensor:
    """For each point (n, P) the places (n, k) of the nearest ones, itself among them."""
    return torch.cdist(points, points).topk(min(_NEIGHBOURS, len(points)), largest=False).indices


def _weights(known: Tensor, target: Tensor, neighbours: Tensor | None) -> Tensor:
    scale = frozen_scale(pooled(torch.cat([known[-1000:], target[:1000]])))
    kernel = RBF([scale * b for b in _BANDWIDTHS])
    return kernel_mean_matching(kernel(known, known), kernel(known, target).mean(dim=1), neighbours)
