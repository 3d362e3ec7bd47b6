"""A batch beside the target under a kernel, with every pair of images looked at once."""

from __future__ import annotations

from torch import Tensor

from metasim.learn.discrepancies.base import Comparison, Discrepancy, shares
from metasim.learn.discrepancies.kernels import Kernel, kernel_sums

__all__ = ["GramComparison"]


class GramComparison(Comparison):
    """Value and witnesses from one kernel matrix.

    Args:
        discrepancy: fitted; says what is wrong with too few rows.
        x: (M, D), the batch; the kernel's matrix of it is held, M squared numbers.
        target: (N, D), the target's.
        within: (), the mean kernel within the target.
        kernel: of the discrepancy.
    """

    def __init__(
        self,
        discrepancy: Discrepancy,
        x: Tensor,
        target: Tensor,
        within: Tensor,
        kernel: Kernel,
    ) -> None:
        super().__init__(discrepancy, x)
        self._pairs = kernel(x, x).fill_diagonal_(0)
        self._diagonal = kernel.diagonal(x)
        self._far = kernel_sums(kernel, x, target, shares(target, None)[:, None])[:, 0]
        self._target = within

    def value(self) -> Tensor:
        """The discrepancy of the batch, ()."""
        count, total = len(self.x), self._pairs.sum()
        if not self.discrepancy.unbiased:
            inside = (total + self._diagonal.sum()) / count**2
        elif count < 2:
            return super().value()  # refuses
        else:
            inside = total / (count * (count - 1))
        return inside + self._target - 2 * self._far.mean()

    def witness(self, rows: slice = slice(None)) -> Tensor:
        """The witness of some rows among themselves."""
        among = self._pairs[rows, rows]
        if len(among) < 2:
            return super().witness(rows)  # refuses
        return 2 * (among.sum(dim=1) / (len(among) - 1) - self._far[rows])
