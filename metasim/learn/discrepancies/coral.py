"""Distance of means and covariances.

Sun and Saenko, "Deep CORAL", ECCV 2016 workshops, with a term for the means added: without
it a shifted batch would count as equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasim.learn.discrepancies.base import Discrepancy, kept_share, shares

__all__ = ["CoralDistance", "coral", "moments"]


def moments(
    x: Tensor, *, unbiased: bool = True, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and covariance, (M, D) -> (D,), (D, D); over M - 1 if unbiased, else over M."""
    share = shares(x, weights)
    mean = share @ x
    centred = x - mean
    covariance = centred.T @ (centred * share[:, None])
    if not unbiased:
        return mean, covariance
    if len(x) < 2:
        raise ValueError(f"an unbiased estimate needs at least 2 feature vectors, got {len(x)}")
    return mean, covariance / (1 - share.square().sum())


def _distance(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    width = len(first[0])
    means = (first[0] - second[0]).square().sum() / width
    covariances = (first[1] - second[1]).square().sum() / (4 * width**2)
    return means + covariances


def coral(
    x: Tensor,
    y: Tensor,
    *,
    unbiased: bool = True,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    """|m_x - m_y|^2 / D + |C_x - C_y|_F^2 / (4 D^2), the second as Sun and Saenko have it.

    Args:
        x: (M, D).
        y: (N, D).
        unbiased: covariances over M - 1 and N - 1 instead of M and N. (The distance itself
            is positive for two samples of one distribution, by O(1/M + 1/N).)
        x_weights: (M,), >= 0.
        y_weights: (N,), >= 0.

    Returns:
        (), >= 0.
    """
    return _distance(
        moments(x, unbiased=unbiased, weights=x_weights),
        moments(y, unbiased=unbiased, weights=y_weights),
    )


class CoralDistance(Discrepancy):
    """Distance of means and covariances from the target's."""

    use = "coral"

    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        mean, covariance = moments(self._features(target), unbiased=self.unbiased)
        return {"mean": mean, "covariance": covariance}

    def describe(self) -> dict[str, float]:
        """See :meth:`Discrepancy.describe`."""
        return {"target_spread": float(self._terms["covariance"].trace().clamp_min(0).sqrt())}

    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor:
        own = moments(self._features(x), unbiased=self.unbiased, weights=weights)
        return _distance(own, (self._terms["mean"], self._terms["covariance"]))

    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
        # With u = x - m: the mean moves along u, the covariance along u u' - C, so only
        # u' C u is needed, which is the mean square of the reference seen along u.
        x, reference = self._features(x), self._features(reference)
        width = x.shape[1]
        share = kept_share(reference, exclude)
        mean = share @ reference
        u = x - mean
        along = u @ reference.T - (u * mean).sum(1, keepdim=True)
        own = (share * along.square()).sum(1)
        if self.unbiased:
            own = own / (1 - share.square().sum(1)).clamp_min(torch.finfo(x.dtype).eps)
        wanted = ((u @ self._terms["covariance"]) * u).sum(1)
        means = ((mean - self._terms["mean"]) * u).sum(1)
        return 2 * means / width + (own - wanted) / (2 * width**2)
