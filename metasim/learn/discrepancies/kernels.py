"""Kernels on feature vectors, their bandwidth, and sums of them over large sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasim.errors import ConfigError, DataError, Mistake

__all__ = [
    "RBF",
    "Distance",
    "Kernel",
    "Mean",
    "Polynomial",
    "Product",
    "RationalQuadratic",
    "SameClass",
    "Selected",
    "frozen_scale",
    "kernel_sums",
    "mean_kernel",
    "pooled",
    "squared_distances",
]

# Kernel entries held at once where no gradient is needed: 16 MiB of float32.
_BLOCK = 1 << 22
# Points that the median distance is measured on; half a million pairs settle it.
_SAMPLE = 1000


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances by one matrix product, (M, D), (N, D) -> (M, N), >= 0.

    Both sets are moved to the origin first, which keeps the cancellation of the product
    form small for features far from zero.
    """
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    product = x @ y.T
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None, :]
    return (squares - 2 * product).clamp_min(0)


def _thinned(x: Tensor, count: int) -> Tensor:
    """At most ``count`` rows of ``x``, evenly spread: no randomness, so nothing to store."""
    if len(x) <= count:
        return x
    return x[torch.linspace(0, len(x) - 1, count).round().long().to(x.device)]


def pooled(target: Tensor, reference: Tensor | None = None) -> Tensor:
    """The points that a bandwidth is measured on: both sets, equally well represented.

    Args:
        target: (N, D).
        reference: (R, D), features of renders over the whole range of the attributes.
    """
    parts = [target] if reference is None else [target, reference]
    return torch.cat([_thinned(part, _SAMPLE) for part in parts])


def frozen_scale(pool: Tensor) -> float:
    """The unit of bandwidths: the median distance, or the mean where most pairs coincide.

    Args:
        pool: (P, D), see :func:`pooled`.

    Raises:
        DataError: all rows are equal, so there is no distance to measure.
    """
    distances = torch.pdist(pool.detach())
    scale = float(distances.median())
    scale = scale if scale > 0 else float(distances.mean())
    if not scale > 0:
        raise DataError(
            "the features of the target images must differ from one another, but all are "
            "equal; check that the target images are not constant or all the same, or choose "
            "other features"
        )
    return scale


class Kernel(ABC):
    """A symmetric function of two feature vectors, evaluated for all pairs of two sets."""

    @abstractmethod
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N)."""

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M, D) -> (M,); 1 unless overridden."""
        return x.new_ones(len(x))


@dataclass(frozen=True)
class RBF(Kernel):
    """The mean over ``bandwidths`` s of exp(-d^2 / (2 s^2)); s in units of the features."""

    bandwidths: Sequence[float]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N), in [0, 1]."""
        d2 = squared_distances(x, y)
        total = torch.zeros_like(d2)
        for bandwidth in self.bandwidths:
            total = total + (d2 * (-0.5 / bandwidth**2)).exp()
        return total / len(self.bandwidths)


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    """The mean over ``bandwidths`` s of (1 + d^2 / (2 a s^2))^-a, with heavier tails."""

    bandwidths: Sequence[float]
    alpha: float = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N), in [0, 1]."""
        d2 = squared_distances(x, y)
        total = torch.zeros_like(d2)
        for bandwidth in self.bandwidths:
            total = total + (1 + d2 / (2 * self.alpha * bandwidth**2)) ** -self.alpha
        return total / len(self.bandwidths)


@dataclass(frozen=True)
class Distance(Kernel):
    """Minus the Euclidean distance; MMD under it is the energy distance."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N), <= 0."""
        d2 = squared_distances(x, y)
        # The root has no gradient at 0; clamped there, the gradient is 0.
        return -d2.clamp_min(torch.finfo(d2.dtype).tiny).sqrt()

    def diagonal(self, x: Tensor) -> Tensor:
        """Zeros, (M,)."""
        return x.new_zeros(len(x))


@dataclass(frozen=True)
class Polynomial(Kernel):
    """(x . y / D + 1)^degree."""

    degree: int = 3

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N)."""
        return (x @ y.T / x.shape[1] + 1) ** self.degree

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M,)."""
        return (x.square().mean(1) + 1) ** self.degree


@dataclass(frozen=True)
class SameClass(Kernel):
    """(1 + Q x . y) / (1 + Q) of the probabilities of Q classes, 1 for one and the same.

    Times another kernel, it compares each class on its own and all of them together, both
    alike: of as many pairs as there are, one in Q is of one class.
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, Q), (N, Q) -> (M, N), in [1 / (1 + Q), 1]."""
        return (1 + x.shape[1] * (x @ y.T)) / (1 + x.shape[1])

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M,)."""
        return (1 + x.shape[1] * x.square().sum(1)) / (1 + x.shape[1])


@dataclass(frozen=True)
class Selected(Kernel):
    """``kernel`` on some ``columns`` of the features."""

    kernel: Kernel
    columns: Tensor

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N)."""
        return self.kernel(x[:, self.columns], y[:, self.columns])

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M,)."""
        return self.kernel.diagonal(x[:, self.columns])


@dataclass(frozen=True)
class Mean(Kernel):
    """The mean of several kernels, whose MMD is the mean of theirs."""

    parts: Sequence[Kernel]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N)."""
        total = x.new_zeros(len(x), len(y))
        for part in self.parts:
            total = total + part(x, y)
        return total / len(self.parts)

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M,)."""
        total = x.new_zeros(len(x))
        for part in self.parts:
            total = total + part.diagonal(x)
        return total / len(self.parts)


@dataclass(frozen=True)
class Product(Kernel):
    """The product of one kernel for each block of columns."""

    factors: Sequence[tuple[slice, Kernel]]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, D), (N, D) -> (M, N)."""
        total = x.new_ones(len(x), len(y))
        for block, kernel in self.factors:
            total = total * kernel(x[:, block], y[:, block])
        return total

    def diagonal(self, x: Tensor) -> Tensor:
        """The kernel of each row with itself, (M,)."""
        total = x.new_ones(len(x))
        for block, kernel in self.factors:
            total = total * kernel.diagonal(x[:, block])
        return total


def kernel_sums(
    kernel: Kernel,
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    *,
    same: bool = False,
    exclude: Tensor | None = None,
) -> Tensor:
    """Weighted sums of a kernel over ``y``, a block of rows at a time, -> (M, C).

    Args:
        kernel: the kernel.
        x: (M, D).
        y: (N, D).
        weights: (N, C).
        same: ``x`` and ``y`` are one set, and no row is paired with itself.
        exclude: (M, N) bool, pairs to leave out.
    """
    rows = max(1, _BLOCK // max(1, len(y)))
    sums = []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        values = kernel(x[part], y)
        if exclude is not None:
            values = values.masked_fill(exclude[part], 0)
        total = values @ weights
        if same:
            total = total - values.diagonal(start)[:, None] * weights[part]
        sums.append(total)
    return torch.cat(sums)


def mean_kernel(kernel: Kernel, pool: Tensor) -> float:
    """The mean kernel between two different rows of ``pool``, checked to be of use.

    Args:
        kernel: with values in [0, 1].
        pool: (P, D), see :func:`pooled`.

    Raises:
        ConfigError: below 0.001 or above 0.999 every pair looks the same, so the
            discrepancy is zero whatever the generator does.
    """
    ones = pool.new_ones(len(pool), 1)
    total = kernel_sums(kernel, pool, pool, ones, same=True).double().sum()
    mean = float(total) / (len(pool) * (len(pool) - 1))
    if not 1e-3 <= mean <= 0.999:
        word, way = ("small", "larger") if mean < 0.5 else ("large", "smaller")
        raise ConfigError(
            [
                Mistake(
                    "the mean kernel between two feature vectors must lie in [0.001, 0.999], "
                    f"got {mean:.3g}: the bandwidth is too {word}, and the discrepancy would "
                    f"be flat; use {way} bandwidths (they are multiples of the median "
                    "distance; around 1 is usual)",
                    key="discrepancy.bandwidths",
                )
            ]
        )
    return mean
