"""MMD by random Fourier features: linear in the number of images.

Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metasim.learn.discrepancies.base import Discrepancy, kept_share, shares
from metasim.learn.discrepancies.kernels import RBF, Kernel, frozen_scale, mean_kernel, pooled
from metasim.rng import stream

__all__ = ["FourierMMD", "fourier_features", "fourier_mmd2"]


def fourier_features(x: Tensor, frequencies: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cosines and sines whose inner product is the kernel, (M, D) -> (M, 2 F).

    Args:
        x: (M, D).
        frequencies: (D, F).
        weights: (F,), sum 1: the share of each frequency in the kernel; equal if None.

    Returns:
        Rows of Euclidean length 1.
    """
    angles = x @ frequencies
    share = shares(frequencies.T, weights).sqrt()
    return torch.cat([angles.cos() * share, angles.sin() * share], 1)


def _square(z: Tensor, *, unbiased: bool, weights: Tensor | None) -> Tensor:
    """The squared length of the mean of ``z`` (M, K), own pairs left out if unbiased -> ()."""
    share = shares(z, weights)
    total = (share @ z).square().sum()
    if not unbiased:
        return total
    if len(z) < 2:
        raise ValueError(f"an unbiased estimate needs at least 2 feature vectors, got {len(z)}")
    squares = share.square()
    return (total - squares @ z.square().sum(1)) / (1 - squares.sum())


def fourier_mmd2(
    x: Tensor,
    y: Tensor,
    frequencies: Tensor,
    frequency_weights: Tensor | None = None,
    *,
    unbiased: bool = True,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    """Squared MMD under the kernel that ``frequencies`` span.

    Args:
        x: (M, D).
        y: (N, D).
        frequencies: (D, F), drawn from the kernel's spectral density.
        frequency_weights: (F,), see :func:`fourier_features`.
        unbiased: see :func:`~metasim.learn.discrepancies.mmd2`.
        x_weights: (M,), >= 0.
        y_weights: (N,), >= 0.

    Returns:
        ().
    """
    zx, zy = (fourier_features(part, frequencies, frequency_weights) for part in (x, y))
    return (
        _square(zx, unbiased=unbiased, weights=x_weights)
        + _square(zy, unbiased=unbiased, weights=y_weights)
        - 2 * (shares(x, x_weights) @ zx) @ (shares(y, y_weights) @ zy)
    )


class FourierMMD(Discrepancy):
    """MMD under an RBF kernel, by frequencies fixed by a seed."""

    use = "mmd_rff"

    def __init__(
        self,
        bandwidths: Sequence[float],
        *,
        frequencies: int = 512,
        seed: int = 0,
        unbiased: bool = True,
    ) -> None:
        super().__init__(unbiased=unbiased)
        self._bandwidths = tuple(bandwidths)
        self._count = max(frequencies, len(self._bandwidths))
        self._seed = seed

    def _draw(self, like: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Frequencies (D, F) and their weights (F,): every bandwidth has an equal share."""
        rng = stream(self._seed, "discrepancy", "frequencies")
        drawn = like.new_tensor(rng.standard_normal((like.shape[1], self._count)))
        kinds = len(self._bandwidths)
        which = torch.arange(self._count, device=like.device) % kinds
        multiples = like.new_tensor(self._bandwidths)
        sizes = torch.bincount(which, minlength=kinds).to(like.dtype)
        return drawn / (multiples[which] * scale), 1 / (kinds * sizes[which])

    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        target = self._features(target)
        pool = pooled(target, None if reference is None else self._features(reference))
        scale = frozen_scale(pool)
        exact = mean_kernel(self._exact(scale), pool)
        frequencies, weights = self._draw(target, scale)
        z = fourier_features(target, frequencies, weights)
        return {
            "bandwidth": torch.tensor(scale, dtype=torch.float64),
            "kernel_mean": torch.tensor(exact, dtype=torch.float64),
            "frequencies": frequencies,
            "weights": weights,
            "mean": z.mean(0),
            "within": _square(z, unbiased=self.unbiased, weights=None),
        }

    def describe(self) -> dict[str, float]:
        """See :meth:`Discrepancy.describe`."""
        return {name: float(term) for name, term in self._terms.items() if term.ndim == 0}

    @property
    def kernel(self) -> Kernel:
        """The exact RBF kernel that the frequencies approximate."""
        return self._whole(self._exact(float(self._terms["bandwidth"])))

    def _exact(self, scale: float) -> Kernel:
        return RBF([scale * multiple for multiple in self._bandwidths])

    def _embed(self, x: Tensor) -> Tensor:
        return fourier_features(
            self._features(x), self._terms["frequencies"], self._terms["weights"]
        )

    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor:
        z = self._embed(x)
        inside = _square(z, unbiased=self.unbiased, weights=weights)
        between = (shares(z, weights) @ z) @ self._terms["mean"]
        return inside + self._terms["within"] - 2 * between

    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
        near = kept_share(reference, exclude) @ self._embed(reference)
        return 2 * (self._embed(x) * (near - self._terms["mean"])).sum(1)
