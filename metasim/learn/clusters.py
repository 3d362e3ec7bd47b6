"""Clusters of a warm start's values, so that each component of a mixture begins with its own.

Components that begin alike get almost equal gradients: fitted to two modes at once, one of
them widens over both and the others die.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.pools import Pool

__all__ = ["Clusters", "find_clusters"]

_STARTS = 4


@dataclass(frozen=True)
class Clusters:
    """K clusters of the learnable attributes of each of S grammar nodes.

    Attributes:
        codec: of the grammar.
        centres: (S, K, 2 A), see :meth:`SceneCodec.points`; infinite where there is no cluster.
    """

    codec: SceneCodec
    centres: Tensor

    def nearest(self, name_id: Tensor, latent: Tensor) -> Tensor:
        """The clusters, int64 (N,), nearest to latent positions (N, A) of nodes (N,)."""
        away = self.codec.points(latent, name_id).unsqueeze(1) - self.centres[name_id]
        return away.square().sum(dim=-1).argmin(dim=1)


def find_clusters(
    codec: SceneCodec, pools: Sequence[Pool], count: int, rng: np.random.Generator
) -> Clusters:
    """``count`` clusters of each pool's weighted values, by k-means.

    Args:
        codec: of the grammar.
        pools: the warm start's.
        count: K; a pool of fewer values has as many clusters as values.
        rng: of the clusters that k-means begins with.
    """
    from sklearn.cluster import KMeans  # as slow to import as the rest of metasim

    centres = torch.full((len(codec.names), count, 2 * len(codec.attributes)), torch.inf)
    for pool in pools:
        points = codec.points(pool.latent, torch.full((len(pool.latent),), pool.node))
        means = KMeans(
            min(count, len(points)), n_init=_STARTS, random_state=int(rng.integers(2**31))
        )
        means.fit(points.double().numpy(), sample_weight=pool.weights.double().numpy())
        centres[pool.node, : len(means.cluster_centers_)] = torch.from_numpy(means.cluster_centers_)
    return Clusters(codec, centres)
