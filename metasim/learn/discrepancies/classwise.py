"""MMD between images of the same class, by soft class predictions.

Each class is compared on its own, so that a generator cannot trade one class for another;
the weights are the class probabilities of the feature block called CLASSES.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metasim.errors import ConfigError, DataError, Mistake, TrainingError
from metasim.learn.discrepancies.base import Discrepancy, kept_share, shares
from metasim.learn.discrepancies.kernels import (
    RBF,
    Kernel,
    frozen_scale,
    kernel_sums,
    mean_kernel,
    pooled,
)
from metasim.learn.features.base import CLASSES

__all__ = ["ClasswiseKernelMMD", "classwise_mmd2"]

# Classes with fewer images than this, on either side, are left out.
_LEAST = 3.0


class _Set(NamedTuple):
    """Features (M, D), and for each class the weights (M, C), their sums and the images (C,)."""

    features: Tensor
    weights: Tensor
    totals: Tensor
    images: Tensor


def _gather(x: Tensor, classes: Tensor, weights: Tensor | None = None) -> _Set:
    share = shares(x, weights)
    weighted = classes * share[:, None]
    totals = weighted.sum(0)
    return _Set(x, weighted, totals, totals * len(x))


def _within(members: _Set, kernel: Kernel, *, unbiased: bool) -> Tensor:
    """Mean kernel within each class, (C,)."""
    x, weights = members.features, members.weights
    sums = (weights * kernel_sums(kernel, x, x, weights, same=True)).sum(0)
    squares = weights.square()
    if unbiased:
        return sums / _positive(members.totals.square() - squares.sum(0))
    return (sums + kernel.diagonal(x) @ squares) / _positive(members.totals.square())


def _positive(x: Tensor) -> Tensor:
    """Keeps classes without images, which are left out later, from dividing by 0."""
    return x.clamp_min(torch.finfo(x.dtype).eps ** 2)


def _across(first: _Set, second: _Set, kernel: Kernel) -> Tensor:
    """Mean kernel between the members of each class in two sets, (C,)."""
    sums = kernel_sums(kernel, first.features, second.features, second.weights)
    return (first.weights * sums).sum(0) / _positive(first.totals * second.totals)


def _kept(first: _Set, second: _Set) -> Tensor:
    """Which classes both sets have enough images of, (C,) bool."""
    kept = (first.images.detach() >= _LEAST) & (second.images.detach() >= _LEAST)
    if not bool(kept.any()):
        raise TrainingError(
            f"the class-wise discrepancy needs a class with at least {_LEAST:g} images both "
            f"of {float(first.images.detach().sum()):.0f} generated ones and of "
            f"{float(second.images.detach().sum()):.0f} of the target, and found none; use a "
            "larger training.batch_size, more target images (as many as are held out of them are "
            "generated before the first step and at the end), or another discrepancy"
        )
    return kept


def classwise_mmd2(
    x: Tensor,
    y: Tensor,
    x_classes: Tensor,
    y_classes: Tensor,
    kernel: Kernel,
    *,
    unbiased: bool = True,
) -> Tensor:
    """Mean over classes of the squared MMD between the two sets' members of the class.

    Args:
        x: (M, D).
        y: (N, D).
        x_classes: (M, C), class probabilities in [0, 1].
        y_classes: (N, C).
        kernel: the kernel.
        unbiased: leave out pairs of a row with itself.

    Returns:
        (); classes with a total weight below 3 on either side take no part.

    Raises:
        TrainingError: no class has enough weight on both sides.
    """
    first, second = _gather(x, x_classes), _gather(y, y_classes)
    each = (
        _within(first, kernel, unbiased=unbiased)
        + _within(second, kernel, unbiased=unbiased)
        - 2 * _across(first, second, kernel)
    )
    return each[_kept(first, second)].mean()


class ClasswiseKernelMMD(Discrepancy):
    """Mean over classes of the MMD, by the class probabilities in the block called CLASSES.

    A class that the target has and the batch lacks takes no part, so this discrepancy does
    not ask for the target's class shares.
    """

    use = "classwise_mmd"

    def __init__(self, bandwidths: Sequence[float], *, unbiased: bool = True) -> None:
        super().__init__(unbiased=unbiased)
        self._bandwidths = tuple(bandwidths)
        self._kernel: Kernel = RBF(self._bandwidths)

    def _split(self, x: Tensor, weights: Tensor | None = None) -> _Set:
        return _gather(self._features(x), x[:, self._blocks[CLASSES]], weights)

    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        if CLASSES not in self._blocks:
            raise ConfigError(
                [
                    Mistake(
                        "classwise_mmd needs features that predict classes, and these do not; "
                        "use features that do (simulator, with a class attribute in the "
                        "grammar) or another discrepancy",
                        key="discrepancy.use",
                    )
                ]
            )
        pool = self._features(pooled(target, reference))
        self._terms = {"bandwidth": torch.tensor(frozen_scale(pool), dtype=torch.float64)}
        self._restore()
        members = self._split(target)
        if not bool((members.images >= _LEAST).any()):
            raise DataError(
                f"classwise_mmd needs a class with at least {_LEAST:g} target images, and the "
                f"largest has {float(members.images.max()):.1f}; give more target images"
            )
        return {
            **self._terms,
            "kernel_mean": torch.tensor(mean_kernel(self._kernel, pool), dtype=torch.float64),
            "within": _within(members, self._kernel, unbiased=self.unbiased),
            **members._asdict(),
        }

    def _restore(self) -> None:
        scale = float(self._terms["bandwidth"])
        self._kernel = RBF([scale * multiple for multiple in self._bandwidths])

    def describe(self) -> dict[str, float]:
        """See :meth:`Discrepancy.describe`."""
        kept = (self._terms["images"] >= _LEAST).sum()
        names = ("bandwidth", "kernel_mean")
        return {**{n: float(self._terms[n]) for n in names}, "target_classes": float(kept)}

    @property
    def kernel(self) -> Kernel:
        """The kernel of the classes' MMDs, on whole feature vectors."""
        return self._whole(self._kernel)

    def _target(self) -> _Set:
        return _Set(*(self._terms[name] for name in _Set._fields))

    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor:
        members, target = self._split(x, weights), self._target()
        each = (
            _within(members, self._kernel, unbiased=self.unbiased)
            + self._terms["within"]
            - 2 * _across(members, target, self._kernel)
        )
        return each[_kept(members, target)].mean()

    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
        # The class mean m_c = E[p phi] / E[p] moves along p(x) (phi(x) - m_c) / E[p].
        queries, batch, target = self._split(x), self._split(reference), self._target()
        kept = _kept(batch, target)
        share = kept_share(reference, exclude)
        classes = reference[:, self._blocks[CLASSES]]
        totals = _positive(share @ classes)
        near = self._sums(queries, batch.features, classes, exclude) * share.max(1).values[:, None]
        aims = target.weights / _positive(target.totals)
        far = self._sums(queries, target.features, aims, None)
        aimed = share @ (classes * self._sums(batch, target.features, aims, None)) / totals
        slope = near / totals - far - (self._inside(batch, classes, exclude) - aimed)
        each = 2 * x[:, self._blocks[CLASSES]] / totals * slope
        return each[:, kept].mean(1)

    def _sums(self, members: _Set, y: Tensor, weights: Tensor, exclude: Tensor | None) -> Tensor:
        return kernel_sums(self._kernel, members.features, y, weights, exclude=exclude)

    def _inside(self, batch: _Set, classes: Tensor, exclude: Tensor | None) -> Tensor:
        """Mean kernel within each class of the batch as each query sees it, (Q or 1, C).

        What a query leaves out is few, so it is taken off the sums over all pairs.
        """
        x = batch.features
        pairs = classes * kernel_sums(self._kernel, x, x, classes, same=True)
        squares = classes.square()
        out = x.new_zeros(1, len(x)) if exclude is None else exclude.to(x.dtype)
        total = pairs.sum(0) - 2 * out @ pairs + self._twice_left_out(x, classes, out)
        norm = (classes.sum(0) - out @ classes).square()
        if self.unbiased:
            return total / _positive(norm - squares.sum(0) + out @ squares)
        own = self._kernel.diagonal(x)[:, None] * squares
        return (total + own.sum(0) - out @ own) / _positive(norm)

    def _twice_left_out(self, x: Tensor, classes: Tensor, out: Tensor) -> Tensor:
        """Kernel sums between two different rows that are both left out, (Q or 1, C)."""
        total = out.new_zeros(len(out), classes.shape[1])
        if float(out.sum(1).max()) <= 1:
            return total
        gram = self._kernel(x, x).fill_diagonal_(0)
        for c in range(classes.shape[1]):
            weighted = out * classes[:, c]
            total[:, c] = ((weighted @ gram) * weighted).sum(1)
        return total
