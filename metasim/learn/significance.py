"""Is a generated set distinguishable from the target at all? A permutation test.

Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from metasim.learn.discrepancies import RBF, Kernel
from metasim.learn.discrepancies.kernels import frozen_scale, pooled

__all__ = ["kernel_among", "permutation_p_value", "smallest_p_value"]

_PERMUTATIONS = 500


def permutation_p_value(
    x: Tensor,
    y: Tensor,
    *,
    generator: np.random.Generator,
    kernel: Kernel | None = None,
    permutations: int = _PERMUTATIONS,
) -> float:
    """How often a random split of both sets is as far apart as the real one.

    The statistic is the unbiased squared MMD. The test is exact: whatever the two
    distributions are, if they are equal then a p-value <= a has a probability of at most a
    (for images that no bandwidth was fitted to; held-out target images therefore).

    Args:
        x: (M, D), M >= 2.
        y: (N, D), N >= 2.
        generator: of the permutations.
        kernel: of the MMD, a discrepancy's for example; see :func:`kernel_among`.
        permutations: how many random splits; the smallest p-value is 1 / (1 + permutations).

    Returns:
        (1 + splits at least as far apart) / (1 + permutations), in (0, 1].
    """
    if min(len(x), len(y)) < 2 or permutations < 1:
        raise ValueError(
            "a permutation test needs at least 2 feature vectors on both sides and 1 "
            f"permutation, got {len(x)}, {len(y)} and {permutations}"
        )
    with torch.no_grad():
        both = torch.cat([x.detach(), y.detach()]).double()
        gram = kernel_among(both, kernel)(both, both)
        # A kernel that is symmetric up to rounding would break ties at random.
        gram = ((gram + gram.T) / 2).fill_diagonal_(0)
        splits = _splits(len(x), len(both), permutations, generator).to(gram)
        statistics = _statistics(gram, splits)
    real, random = statistics[0], statistics[1:]
    slack = 1e-12 * gram.abs().max()
    return (1 + int((random >= real - slack).sum())) / (1 + permutations)


def kernel_among(both: Tensor, kernel: Kernel | None) -> Kernel:
    """The kernel to compare two sets by: ``kernel``, or an RBF around their median distance.

    Args:
        both: (M + N, D), the one set and the other.
        kernel: a discrepancy's, which can have none (``coral``, ``sliced_wasserstein``).
    """
    if kernel is not None:
        return kernel
    scale = _scale_or_one(both.double())
    return RBF([0.5 * scale, scale, 2 * scale])


def smallest_p_value(first: int, second: int, permutations: int = _PERMUTATIONS) -> float:
    """The p-value to be expected of two sets that could not be further apart.

    Few images have few splits, so that many a random one is the real one again.

    Args:
        first: images of one set, at least 1.
        second: of the other.
        permutations: as for :func:`permutation_p_value`.
    """
    # Sets of equal size are as far apart when they change places.
    alike = 2 if first == second else 1
    again = permutations * alike / math.comb(first + second, first)
    return (1 + again) / (1 + permutations)


def _scale_or_one(both: Tensor) -> float:
    """The unit of bandwidths; any will do where all points are equal."""
    pool = pooled(both)
    return frozen_scale(pool) if bool((pool != pool[0]).any()) else 1.0


def _splits(first: int, total: int, count: int, generator: np.random.Generator) -> Tensor:
    """Memberships of the first set: the real one, then random ones, (1 + count, total)."""
    members = np.zeros((1 + count, total))
    members[0, :first] = 1
    order = generator.random((count, total)).argsort(axis=1)[:, :first]
    np.put_along_axis(members[1:], order, 1, axis=1)
    return torch.from_numpy(members)


def _statistics(gram: Tensor, splits: Tensor) -> Tensor:
    """Unbiased squared MMD of every split by one matrix product.

    Args:
        gram: (T, T), kernel matrix of both sets, zero on the diagonal.
        splits: (S, T), 1 for members of the first set.

    Returns:
        (S,).
    """
    total = gram.sum()
    m = splits.sum(1)
    n = splits.shape[1] - m
    inside = ((splits @ gram) * splits).sum(1)
    between = splits @ gram.sum(1) - inside
    others = total - inside - 2 * between
    return inside / (m * (m - 1)) + others / (n * (n - 1)) - 2 * between / (m * n)
