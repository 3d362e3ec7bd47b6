"""What training finds: of a step, of an epoch, and at the end of an attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["Epoch", "Outcome", "step_trouble", "weight_trouble"]

# Weights that learn well stay below 10. Beyond this the editor's values say nothing any more, and
# much further on they are no numbers at all.
_LARGEST_WEIGHT = 1000.0


def step_trouble(value: float, norm: float, features: Tensor) -> str:
    """What of a step is not finite, and what to look at; empty where all is well.

    Args:
        value: the discrepancy.
        norm: of the gradient.
        features: (B, D).
    """
    if math.isfinite(value) and math.isfinite(norm):
        return ""
    if not bool(torch.isfinite(features).all()):
        return "the features of the renders hold NaN or infinity: check the images"
    if not math.isfinite(value):
        return "the discrepancy is not finite: check its bandwidths"
    return "the gradient is not finite: lower training.lr"


@torch.no_grad()
def weight_trouble(editor: nn.Module) -> str:
    """What is wrong with an editor's weights, and what to do; empty where all is well."""
    largest = float(nn.utils.parameters_to_vector(editor.parameters()).abs().max())
    if largest <= _LARGEST_WEIGHT:  # False for NaN too
        return ""
    return (
        f"the editor's weights came to {largest:.3g}, where at most {_LARGEST_WEIGHT:g} is of use: "
        "start a new run with a lower training.lr"
    )


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed.

    Attributes:
        attempt, epoch, step: counted from 0, 1 and 1; steps over all attempts.
        renders: images rendered so far.
        discrepancy: mean over the epoch's steps; one that drew nothing counts as the last
            that did.
        p_value: of the latest renders against held-out target images.
        lr, min_scale, grad_norm: of the last step.
        values: learned attribute values by label, a few hundred each.
        task_accuracy: on the labelled validation images, where there is a task.
        images: the last renders, uint8 (B, H, W, 3).
    """

    attempt: int
    epoch: int
    step: int
    renders: int
    discrepancy: float
    p_value: float
    lr: float
    min_scale: float
    grad_norm: float
    values: dict[str, npt.NDArray[np.float64]]
    task_accuracy: float | None
    images: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: discrepancy and p-value of fresh renders, and the editor then.

    Attributes:
        scores: of the same renders, by name; see
            :func:`metasim.learn.discrepancies.scores.scores`.
        readings: what the features read from the same renders, (M,) by label, in attribute
            units; empty for features that read nothing.
        task_accuracy: at its end, where there is a task.
    """

    attempt: int
    discrepancy: float
    p_value: float
    editor: dict[str, Tensor]
    min_scale: float
    scores: dict[str, float]
    readings: dict[str, Tensor]
    task_accuracy: float | None = None
