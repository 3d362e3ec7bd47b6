"""Published scores of image sets, for reports; here in whatever features a run has."""

from __future__ import annotations

from torch import Tensor

from metasim.learn.discrepancies.kernels import RBF, Polynomial
from metasim.learn.discrepancies.mmd import mmd2

__all__ = ["cmmd", "kid", "scores"]


def kid(x: Tensor, y: Tensor) -> Tensor:
    """Kernel inception distance: unbiased squared MMD, kernel (x . y / D + 1)^3.

    Binkowski et al., "Demystifying MMD GANs", ICLR 2018; over the whole sets, not averaged
    over subsets.

    Args:
        x: (M, D), by the original's convention features of InceptionV3.
        y: (N, D).

    Returns:
        ().
    """
    return mmd2(x, y, Polynomial(3))


def cmmd(x: Tensor, y: Tensor, *, unbiased: bool = True) -> Tensor:
    """CMMD: 1000 times the squared MMD under an RBF kernel of bandwidth 10.

    Jayasumana et al., "Rethinking FID", CVPR 2024.

    Args:
        x: (M, D), by the original's convention CLIP embeddings.
        y: (N, D).
        unbiased: see :func:`~metasim.learn.discrepancies.mmd2`.

    Returns:
        ().
    """
    return 1000 * mmd2(x, y, RBF([10.0]), unbiased=unbiased)


def scores(x: Tensor, y: Tensor) -> dict[str, float]:
    """Both by name, in double precision: where sets agree, they are differences of near equals.

    Args:
        x: (M, D), M >= 2.
        y: (N, D), N >= 2.
    """
    x, y = x.detach().double(), y.detach().double()
    return {"kid": float(kid(x, y)), "cmmd": float(cmmd(x, y))}
