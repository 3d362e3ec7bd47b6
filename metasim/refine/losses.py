"""Losses that several methods share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["divergence", "hinge", "least_squares", "logistic"]


def least_squares(judged: Tensor, real: bool) -> Tensor:
    """Mean squared difference of judgements from 1 (real) or 0 (Mao et al., "LSGAN", 2017)."""
    return ((judged - float(real)) ** 2).mean()


def logistic(judged: Tensor, real: bool) -> Tensor:
    """Mean binary cross entropy of judgements, which are logits (Goodfellow et al., 2014)."""
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, float(real)))


def hinge(judged: Tensor, real: bool, *, generator: bool = False) -> Tensor:
    """Mean hinge loss (Lim and Ye, "Geometric GAN", 2017).

    Args:
        judged: of any shape.
        real: what the discriminator should find.
        generator: whether it is the generator's, which has no margin.
    """
    signed = judged if real else -judged
    return -signed.mean() if generator else F.relu(1 - signed).mean()


def divergence(mean: Tensor, log_variance: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence of a normal distribution from the standard one.

    Summed over the code, mean over the batch. Without ``log_variance`` the variance is 1.

    Args:
        mean: (B, ...).
        log_variance: (B, ...).
    """
    terms = mean**2
    if log_variance is not None:
        terms = terms + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.flatten(1).sum(1).mean()
