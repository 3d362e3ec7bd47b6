"""What every discrepancy offers: fit once, then values and witnesses of generated batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from metasim.errors import DataError, RunError
from metasim.learn.discrepancies.kernels import Kernel, Selected
from metasim.learn.features.base import CLASSES

__all__ = ["Comparison", "Discrepancy", "kept_share", "shares"]


def shares(x: Tensor, weights: Tensor | None) -> Tensor:
    """Weights of the rows of ``x`` that sum to 1; equal ones where none are given, (M,)."""
    if weights is None:
        return x.new_full((len(x),), 1 / max(1, len(x)))
    return weights / weights.sum()


def kept_share(reference: Tensor, exclude: Tensor | None) -> Tensor:
    """Share of each reference row for each query, summing to 1; (Q, M), or (1, M) for all."""
    if exclude is None:
        return shares(reference, None)[None]
    kept = (~exclude).to(reference.dtype)
    return kept / kept.sum(1, keepdim=True)


class Discrepancy(ABC):
    """A discrepancy between generated features and target features that are fixed.

    Everything that does not depend on the generated images, bandwidths above all, is measured
    once by :meth:`fit` and frozen: otherwise values of different steps could not be compared.

    Attributes:
        unbiased: estimates whose expectation is the discrepancy of the two distributions,
            slightly negative at times; else the discrepancy of the two samples.
    """

    use: ClassVar[str]

    def __init__(self, *, unbiased: bool = True) -> None:
        self.unbiased = unbiased
        self._terms: dict[str, Tensor] = {}
        self._blocks: dict[str, slice] = {}
        self._width = 0
        self._columns: Tensor | None = None

    def fit(
        self,
        target: Tensor,
        *,
        reference: Tensor | None = None,
        blocks: Mapping[str, slice] | None = None,
    ) -> None:
        """Freeze bandwidths and whatever depends on the target alone.

        Args:
            target: (N, D), at least 2 rows.
            reference: (R, D), features of renders over the whole range of the attributes;
                they take part in measuring bandwidths, nothing else.
            blocks: names of column ranges; the one called CLASSES holds class probabilities,
                which only the class-wise and the joint discrepancy look at, and
                "<node> readings" what a network reads of a node's attributes.

        Raises:
            DataError: too few rows, values that are not finite, or a constant target.
            ConfigError: a bandwidth that makes the discrepancy flat.
        """
        for name, features in (("target", target), ("reference", reference)):
            if features is not None and not bool(features.isfinite().all()):
                raise DataError(f"the {name} features must be finite numbers; some are not")
        if target.ndim != 2 or len(target) < 2:
            raise DataError(
                "a discrepancy needs the features of at least 2 target images, got a tensor "
                f"of shape {tuple(target.shape)}; give more target images"
            )
        self._lay_out(target.shape[1], blocks or {})
        with torch.no_grad():
            reference = None if reference is None else self._checked(reference.detach())
            self._terms = self._measure(target.detach().clone(), reference)
            self._restore()

    def value(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """The discrepancy of a generated batch from the target, differentiable in ``x``.

        Args:
            x: (M, D).
            weights: (M,), >= 0; equal where none are given.

        Returns:
            ().

        Raises:
            RuntimeError: before :meth:`fit`.
            ValueError: when ``x`` has another width than the target, or too few rows.
        """
        return self._value(self._checked(x), weights)

    def witness(
        self, x: Tensor, reference: Tensor | None = None, *, exclude: Tensor | None = None
    ) -> Tensor:
        """Derivative of the discrepancy by the generated distribution, at ``x``.

        With x drawn from q, whose parameters are theta, and the batch as reference,
        ``d value / d theta = E[witness(x) * d log q(x) / d theta]``; so the witness is what
        each image adds to the discrepancy, up to a constant that does not depend on it.

        Args:
            x: (Q, D).
            reference: (M, D), the generated batch. None: ``x`` is the batch, and no row is
                compared with itself, which makes the gradient above unbiased (exactly where
                the witness is a mean over the batch; up to O(1/M) for ``coral``,
                ``classwise_mmd`` and ``sliced_wasserstein``, which are not).
            exclude: (Q, M) bool, pairs to leave out (besides the above).

        Returns:
            (Q,), without gradient.
        """
        x = self._checked(x.detach())
        if reference is None:
            own = torch.eye(len(x), dtype=torch.bool, device=x.device)
            reference, exclude = x, own if exclude is None else exclude | own
        else:
            reference = self._checked(reference.detach())
        if exclude is not None and exclude.shape != (len(x), len(reference)):
            raise ValueError(
                f"exclude must have shape {(len(x), len(reference))}, one row for each query "
                f"and one column for each reference, got {tuple(exclude.shape)}"
            )
        if len(reference) == 0 or (exclude is not None and bool(exclude.all(1).any())):
            raise ValueError("every query must keep at least 1 reference row; give a larger batch")
        with torch.no_grad():
            return self._witness(x, reference, exclude)

    def compare(self, x: Tensor) -> Comparison:
        """A generated batch (M, D) beside the target, for its value and its witnesses at once."""
        return Comparison(self, self._checked(x.detach()))

    @property
    def kernel(self) -> Kernel | None:
        """The kernel on whole feature vectors for a test of two sets; None where there is none.

        It is that of the MMD, but for what only sharpens: see ``mmd``.
        """
        return None

    def describe(self) -> dict[str, float]:
        """Numbers worth logging once: bandwidths and how much the kernel tells apart."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`fit` froze, in tensors and plain values."""
        return {
            "use": self.use,
            "width": self._width,
            "blocks": {name: [b.start, b.stop] for name, b in self._blocks.items()},
            "terms": dict(self._terms),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises:
            RunError: the state is of another discrepancy, or parts of it are missing.
        """
        if state.get("use") != self.use:
            raise RunError(
                f"the checkpoint must hold the state of the discrepancy {self.use!r}, got that "
                f"of {state.get('use')!r}; resume with the settings the run was started with"
            )
        try:
            blocks = {name: slice(*ends) for name, ends in state["blocks"].items()}
            self._lay_out(int(state["width"]), blocks)
            self._terms = dict(state["terms"])
            self._restore()
        except KeyError as missing:
            raise RunError(
                f"the checkpoint's discrepancy must hold {missing}, which is missing; the file "
                "is damaged or of another version: resume from another checkpoint"
            ) from None

    def _checked(self, x: Tensor) -> Tensor:
        if not self._width:
            raise RuntimeError("fit the discrepancy to the target before asking for values")
        if x.ndim != 2 or x.shape[1] != self._width:
            raise ValueError(
                f"features must have shape (M, {self._width}) as the target's have, "
                f"got {tuple(x.shape)}"
            )
        return x

    def _lay_out(self, width: int, blocks: Mapping[str, slice]) -> None:
        """Note the columns' meaning; those outside the classes block are the features."""
        self._width = width
        self._blocks = {name: slice(*block.indices(width)[:2]) for name, block in blocks.items()}
        classes = self._blocks.get(CLASSES)
        if classes is None:
            self._columns = None
        else:
            others = [i for i in range(width) if not classes.start <= i < classes.stop]
            self._columns = torch.tensor(others, dtype=torch.long)

    def _features(self, x: Tensor) -> Tensor:
        """The columns of ``x`` outside the classes block."""
        return x if self._columns is None else x[:, self._columns]

    def _whole(self, kernel: Kernel) -> Kernel:
        """A kernel of :meth:`_features` as one of whole feature vectors."""
        return kernel if self._columns is None else Selected(kernel, self._columns)

    @abstractmethod
    def _measure(self, target: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
        """The tensors to freeze."""

    def _restore(self) -> None:  # noqa: B027 - most need nothing
        """Rebuild whatever is derived from the frozen tensors."""

    @abstractmethod
    def _value(self, x: Tensor, weights: Tensor | None) -> Tensor: ...

    @abstractmethod
    def _witness(self, x: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor: ...


class Comparison:
    """A generated batch beside the target; what its numbers have in common is computed once.

    Attributes:
        discrepancy: fitted.
        x: (M, D), the batch, without gradient.
    """

    def __init__(self, discrepancy: Discrepancy, x: Tensor) -> None:
        self.discrepancy, self.x = discrepancy, x

    def value(self) -> Tensor:
        """The discrepancy of the batch, (); see :meth:`Discrepancy.value`."""
        return self.discrepancy.value(self.x)

    def witness(self, rows: slice = slice(None)) -> Tensor:
        """The witness of some rows among themselves; see :meth:`Discrepancy.witness`."""
        return self.discrepancy.witness(self.x[rows])
