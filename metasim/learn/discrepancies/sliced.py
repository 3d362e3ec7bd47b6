"""The sliced 2-Wasserstein distance: optimal transport along fixed random directions.

Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", 2015. On a line the
best plan is monotone, so transport is a matter of sorting.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasim.learn.discrepancies.base import Discrepancy, kept_share, shares
from metasim.rng import stream

__all__ = ["SlicedW2", "sliced_wasserstein"]


def _integral(sorted_values: Tensor, level: Tensor) -> Tensor:
    """The quantile function's integral from 0 to ``level``, both (., L) -> like ``level``.

    The quantile function of a sample is a staircase, so its integral is linear between
    multiples of 1/N; interpolating it is exact, whatever the two sample sizes.
    """
    count = len(sorted_values)
    start = sorted_values.new_zeros(1, sorted_values.shape[1])
    knots = torch.cat([start, sorted_values.cumsum(0)])
    place = (level * count).clamp(0, count)
    below = place.floor().long().clamp_max(count - 1)
    stair = sorted_values.gather(0, below)
    return (knots.gather(0, below) + (place - below) * stair) / count


def _transport(projected: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """Squared W2 on each line, mean over the lines; (M, L), sorted (N, L) -> ()."""
    ordered, order = projected.sort(0)
    # Differences of running sums: in double, or nothing is left of a thousandth of the mass.
    share, target = shares(projected, weights).double()[order], target.double()
    upper = share.cumsum(0)
    lower = upper - share
    # Where the row's mass goes on average, and how widely it is spread there.
    mass = share.clamp_min(torch.finfo(share.dtype).tiny)
    goal = (_integral(target, upper) - _integral(target, lower)) / mass
    square = target.square()
    spread = (_integral(square, upper) - _integral(square, lower)) - share * goal.square()
    lines = (share * (ordered - goal).square() + spread.clamp_min(0)).sum(0)
    return lines.mean().to(projected.dtype)


def sliced_wasserstein(
    x: Tensor, y: Tensor, directions: Tensor, *, x_weights: Tensor | None = None
) -> Tensor:
    """Squared 2-Wasserstein distance of the two samples, mean over directions; exact on each.

    Args:
        x: (M, D).
        y: (N, D); M and N need not be equal.
        directions: (D, L), of length 1.
        x_weights: (M,), >= 0.

    Returns:
        (), >= 0, in squared units of the features; positive for two samples of one
        distribution, by O(1/M + 1/N).
    """
    target = (y @ directions).sort(0).values
    centre = target.mean(0)
    return _transport(x @ directions - centre, target - centre, x_weights)


def _quantile(sorted_values: Tensor, level: Tensor) -> Tensor:
    """Quantiles of a sorted sample (N,); at a step the mean of both sides."""
    last = len(sorted_values) - 1
    place = level * len(sorted_values)
    step = 1e-4
    upper = (place + step).floor().long().clamp(0, last)
    lower = ((place - step).ceil().long() - 1).clamp(0, last)
    return (sorted_values[lower] + sorted_values[upper]) / 2


def _potential(z: Tensor, knots: Tensor, share: Tensor, target: Tensor) -> Tensor:
    """Kantorovich's potential of a line at ``z``, with mean 0 over the generated sample.

    It is z^2 - 2 B(z), where the slope of B is the place that the plan sends z to: constant
    between two neighbours of the generated sample.

    Args:
        z: (Q,), queries.
        knots: (M,), the generated sample, sorted.
        share: (Q, M) or (1, M), mass of each knot as each query sees it.
        target: (N,), sorted.

    Returns:
        (Q,).
    """
    below = share.double().cumsum(1)
    slopes = _quantile(target, below / below[:, -1:])
    heights = torch.cat(
        [share.new_zeros(len(share), 1), (slopes[:, :-1] * knots.diff()).cumsum(1)], 1
    )
    place = torch.searchsorted(knots, z, right=True) - 1
    at = place.clamp_min(0)
    row = torch.arange(len(z), device=z.device) if len(share) > 1 else torch.zeros_like(at)
    slope = torch.where(place < 0, target[0], slopes[row, at])
    value = z.square() - 2 * (heights[row, at] + slope * (z - knots[at]))
    level = (share * (knots.square() - 2 * heights)).sum(1)
    return value - level[row]


class SlicedW2(Discrepancy):
    """Squared sliced Wasserstein distance along directions fixed by a seed.

    It compares samples, not distributions: ``unbiased`` has no effect.
    """

    use = "sliced_wasserstein"

    def __init__(self, projections: int = 64, *, seed: int = 0) -> None:
        super().__init__(unbiased=False)
        self._count = projections
        self._seed = seed

    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        target = self._features(target)
        rng = stream(self._seed, "discrepancy", "directions")
        directions = target.new_tensor(rng.standard_normal((target.shape[1], self._count)))
        directions = directions / directions.norm(dim=0)
        ordered = (target @ directions).sort(0).values
        centre = ordered.mean(0)
        return {"directions": directions, "centre": centre, "target": ordered - centre}

    def describe(self) -> dict[str, float]:
        """See :meth:`Discrepancy.describe`."""
        return {"target_spread": float(self._terms["target"].square().mean().sqrt())}

    def _project(self, x: Tensor) -> Tensor:
        return self._features(x) @ self._terms["directions"] - self._terms["centre"]

    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor:
        return _transport(self._project(x), self._terms["target"], weights)

    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
        queries, points = self._project(x), self._project(reference)
        share = kept_share(points, exclude)
        total = torch.zeros_like(queries[:, 0])
        for line in range(queries.shape[1]):
            knots, order = points[:, line].sort()
            target = self._terms["target"][:, line].contiguous()
            total += _potential(queries[:, line].contiguous(), knots, share[:, order], target)
        return total / queries.shape[1]
