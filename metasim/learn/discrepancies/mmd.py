"""Maximum mean discrepancy under any kernel: MMD, the energy distance, and joint MMD.

Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; Szekely and Rizzo, "Energy
statistics", 2013 (an MMD under minus the distance); Long et al., "Deep Transfer Learning
with Joint Adaptation Networks", ICML 2017 (a product of kernels over feature blocks).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from metasim.learn.discrepancies.base import (
    Comparison,
    Discrepancy,
    kept_share,
    shares,
)
from metasim.learn.discrepancies.gram import GramComparison
from metasim.learn.discrepancies.kernels import (
    RBF,
    Distance,
    Kernel,
    Mean,
    Product,
    RationalQuadratic,
    SameClass,
    frozen_scale,
    kernel_sums,
    mean_kernel,
    pooled,
)
from metasim.learn.features.base import CLASSES, READINGS

__all__ = [
    "EnergyDistance",
    "JointKernelMMD",
    "KernelMMD",
    "across",
    "energy_distance",
    "jmmd2",
    "mmd2",
    "within",
]


def within(
    x: Tensor, kernel: Kernel, *, unbiased: bool = True, weights: Tensor | None = None
) -> Tensor:
    """Mean kernel within a set, (M, D) -> (); pairs of different rows only if unbiased."""
    share = shares(x, weights)
    off_diagonal = share @ kernel_sums(kernel, x, x, share[:, None], same=True)[:, 0]
    squares = share.square()
    if not unbiased:
        return off_diagonal + squares @ kernel.diagonal(x)
    if len(x) < 2:
        raise ValueError(f"an unbiased estimate needs at least 2 feature vectors, got {len(x)}")
    return off_diagonal / (1 - squares.sum())


def across(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    """Mean kernel between two sets, (M, D), (N, D) -> ()."""
    return shares(x, x_weights) @ kernel_sums(kernel, x, y, shares(y, y_weights)[:, None])[:, 0]


def mmd2(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    unbiased: bool = True,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy (Gretton et al., 2012).

    Args:
        x: (M, D).
        y: (N, D).
        kernel: positive definite, or minus a distance.
        unbiased: the U-statistic, which is around 0 for equal distributions and so may be
            negative; else the V-statistic, which is >= 0 and too large by O(1/M + 1/N).
        x_weights: (M,), >= 0, of the rows of ``x``.
        y_weights: (N,), >= 0, of the rows of ``y``.

    Returns:
        ().
    """
    return (
        within(x, kernel, unbiased=unbiased, weights=x_weights)
        + within(y, kernel, unbiased=unbiased, weights=y_weights)
        - 2 * across(x, y, kernel, x_weights=x_weights, y_weights=y_weights)
    )


def energy_distance(
    x: Tensor,
    y: Tensor,
    *,
    unbiased: bool = True,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| (Szekely and Rizzo, 2013); see :func:`mmd2`.

    Returns:
        (), in the unit of the features.
    """
    return mmd2(x, y, Distance(), unbiased=unbiased, x_weights=x_weights, y_weights=y_weights)


def jmmd2(
    x: Tensor, y: Tensor, factors: Sequence[tuple[slice, Kernel]], *, unbiased: bool = True
) -> Tensor:
    """Joint MMD: the kernel is the product of one kernel for each block of columns.

    Args:
        x: (M, D).
        y: (N, D).
        factors: column ranges and the kernel of each.
        unbiased: see :func:`mmd2`.

    Returns:
        ().
    """
    return mmd2(x, y, Product(factors), unbiased=unbiased)


class _KernelDiscrepancy(Discrepancy):
    """An MMD whose kernel, of whole feature vectors, is built from frozen scales."""

    def __init__(self, *, unbiased: bool = True) -> None:
        super().__init__(unbiased=unbiased)
        self._kernel: Kernel = Distance()

    @abstractmethod
    def _scales(self, pool: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The numbers the kernel is built from.

        Args:
            pool: (P, D), see :func:`metasim.learn.discrepancies.kernels.pooled`.
            target: (N, D), the target's part of it.
        """

    @abstractmethod
    def _build(self) -> Kernel:
        """The kernel, from the frozen scales."""

    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        pool = pooled(target, reference)
        self._terms = self._scales(pool, pooled(target))
        self._restore()
        inside = within(target, self._kernel, unbiased=self.unbiased)
        return {**self._terms, **self._check(pool), "target": target, "within": inside}

    def _check(self, pool: Tensor) -> dict[str, Tensor]:
        """Make sure that the kernel tells the rows of ``pool`` apart."""
        return {"kernel_mean": torch.tensor(mean_kernel(self._kernel, pool), dtype=torch.float64)}

    def _restore(self) -> None:
        self._kernel = self._build()

    def describe(self) -> dict[str, float]:
        """See :meth:`Discrepancy.describe`."""
        return {name: float(term) for name, term in self._terms.items() if term.ndim == 0}

    @property
    def kernel(self) -> Kernel:
        """The kernel on whole feature vectors."""
        return self._kernel

    def compare(self, x: Tensor) -> Comparison:
        """A generated batch beside the target, from one kernel matrix."""
        with torch.no_grad():
            x = self._checked(x.detach())
            terms = self._terms
            return GramComparison(self, x, terms["target"], terms["within"], self._kernel)

    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor:
        inside = within(x, self._kernel, unbiased=self.unbiased, weights=weights)
        between = across(x, self._terms["target"], self._kernel, x_weights=weights)
        return inside + self._terms["within"] - 2 * between

    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
        target = self._terms["target"]
        share = kept_share(reference, exclude).max(1).values
        ones = reference.new_ones(len(reference), 1)
        near = kernel_sums(self._kernel, x, reference, ones, exclude=exclude)[:, 0] * share
        far = kernel_sums(self._kernel, x, target, shares(target, None)[:, None])[:, 0]
        return 2 * (near - far)


class KernelMMD(_KernelDiscrepancy):
    """MMD under a kernel of several bandwidths around a frozen median distance.

    Where features hold readings of attributes, the mean of it and of one more MMD for each
    node: of its readings, around their median distance within the target. On the scale of
    the whole range a narrow target and one three times as wide are hardly told apart, as the
    features differ by much more between one object and the next. The further kernels are
    multiplied by one of the classes, where those are known: else each class could be put a
    little aside as long as all together look right, and a classifier taught with such
    images would go by the place. The test at the end keeps to the broad scale: readings of
    other objects differ a little even at the truth.

    Args:
        bandwidths: multiples of the median distances.
        kernel: of each bandwidth.
        readings: whether there are those further MMDs.
        unbiased: see :class:`Discrepancy`.
    """

    use = "mmd"

    def __init__(
        self,
        bandwidths: Sequence[float],
        *,
        kernel: Literal["rbf", "rational_quadratic"] = "rbf",
        readings: bool = True,
        unbiased: bool = True,
    ) -> None:
        super().__init__(unbiased=unbiased)
        self._bandwidths = tuple(bandwidths)
        self._family = RBF if kernel == "rbf" else RationalQuadratic
        self._with_readings = readings
        self._broad: Kernel = Distance()

    @property
    def _readings(self) -> dict[str, slice]:
        found = {n: block for n, block in self._blocks.items() if n.endswith(READINGS)}
        return found if self._with_readings else {}

    def _scales(self, pool: Tensor, target: Tensor) -> dict[str, Tensor]:
        scales = {"bandwidth": frozen_scale(self._features(pool))}
        for name, block in self._readings.items():
            own = target[:, block]
            # One image again and again has no scale of its own.
            constant = bool((own == own[0]).all())
            scales[f"bandwidth_{name}"] = frozen_scale(pool[:, block] if constant else own)
        return {name: torch.tensor(s, dtype=torch.float64) for name, s in scales.items()}

    def _build(self) -> Kernel:
        self._broad = self._whole(self._around("bandwidth"))
        near: list[Kernel] = []
        for name, block in self._readings.items():
            factors: list[tuple[slice, Kernel]] = [(block, self._around(f"bandwidth_{name}"))]
            if CLASSES in self._blocks:
                factors.append((self._blocks[CLASSES], SameClass()))
            near.append(Product(factors))
        return Mean([self._broad, *near])

    def _around(self, scale: str) -> Kernel:
        unit = float(self._terms[scale])
        return self._family([unit * multiple for multiple in self._bandwidths])

    @property
    def kernel(self) -> Kernel:
        """The kernel on whole feature vectors, without the readings' own."""
        return self._broad


class EnergyDistance(_KernelDiscrepancy):
    """The energy distance; it has no bandwidth to go wrong."""

    use = "energy"

    def _scales(self, pool: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {}

    def _build(self) -> Kernel:
        return self._whole(Distance())

    def _check(self, pool: Tensor) -> dict[str, Tensor]:
        return {}


class JointKernelMMD(_KernelDiscrepancy):
    """MMD under the product of one kernel for each feature block, classes included."""

    use = "jmmd"

    # Long et al. spread the feature kernels over two octaves and use one for the classes.
    _bandwidths = (0.5, 1.0, 2.0)

    def _parts(self) -> dict[str, slice]:
        return self._blocks or {"all": slice(0, self._width)}

    def _scales(self, pool: Tensor, target: Tensor) -> dict[str, Tensor]:
        scales = {}
        for name, block in self._parts().items():
            part = pool[:, block]
            # One class only: its probabilities are constant, and their kernel is 1.
            constant = name == CLASSES and bool((part == part[0]).all())
            scale = 1.0 if constant else frozen_scale(part)
            scales[f"bandwidth_{name}"] = torch.tensor(scale, dtype=torch.float64)
        return scales

    def _build(self) -> Kernel:
        factors: list[tuple[slice, Kernel]] = []
        for name, block in self._parts().items():
            scale = float(self._terms[f"bandwidth_{name}"])
            multiples = (1.0,) if name == CLASSES else self._bandwidths
            factors.append((block, RBF([scale * multiple for multiple in multiples])))
        return Product(factors)
