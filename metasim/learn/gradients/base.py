"""What a gradient estimator is: a loss whose gradient is the discrepancy's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch

from metasim.learn.discrepancies import Comparison
from metasim.learn.distribution import Edit, EditDistribution
from metasim.learn.examples import Examples
from metasim.learn.objective import Objective
from metasim.render.base import Rendered
from metasim.scene.graph import Scene

__all__ = ["Estimate", "GradientEstimator", "Step", "advantage", "along", "baseline"]


@dataclass(frozen=True)
class Step:
    """One batch of a training step.

    Attributes:
        scenes: B scenes of the prior.
        batch: the same, encoded.
        distribution: what the editor makes of them.
        generator: the step's own randomness.
    """

    scenes: Sequence[Scene]
    batch: Batch
    distribution: EditDistribution
    generator: torch.Generator


@dataclass(frozen=True)
class Estimate:
    """What an estimator found.

    Attributes:
        loss: (), its gradient is the estimate; its value means nothing.
        value: the discrepancy, as estimated from this batch.
        features: (B, D), the features it was estimated from.
        edit: the draw that was rendered.
        rendered: B images of just that draw, where the estimator made such.
        predicted: the features are no render's, but what a network takes them to be.
    """

    loss: Tensor
    value: float
    features: Tensor
    edit: Edit
    rendered: Rendered | None = None
    predicted: bool = False


class GradientEstimator(ABC):
    """Estimates the gradient of the discrepancy by the editor's parameters.

    With w the discrepancy's witness function, the exact gradient is
    ``E[w(features(scene)) * d log q(scene)]``, or, along the draw, ``E[dw/du * du]``.

    Attributes:
        explores: whether it learns from how draws around a value differ, so that a head
            that makes one value must be drawn around it.
    """

    explores: ClassVar[bool] = False

    def study(  # noqa: B027 - most learn nothing
        self, examples: Sequence[Examples], generator: torch.Generator
    ) -> None:
        """Learn from what was rendered before the first step."""

    @abstractmethod
    def estimate(self, step: Step, objective: Objective) -> Estimate:
        """Render what is needed; the loss returned has the estimate as its gradient."""

    def state_dict(self) -> dict[str, Any]:
        """What must be kept for a resumed run to be identical."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most keep nothing
        """Take over what :meth:`state_dict` gave."""


def along(
    edit: Edit, slope: Tensor, distribution: EditDistribution, reward: Callable[[], Tensor]
) -> Tensor:
    """A loss whose gradient moves draws along ``slope``, and weights of components by reward.

    Args:
        edit: the draw; its latent positions carry the gradient.
        slope: (N, A), derivative of the batch mean of the witness by each position.
        distribution: where the draw is from.
        reward: gives (B,), for the choice of component, which has no derivative; not asked
            where there is no choice.
    """
    loss = (slope.detach() * edit.latent).sum()
    if distribution.logits.shape[1] > 1:
        loss = loss + (reward() * distribution.component_log_prob(edit)).mean()
    return loss


def advantage(batch: Comparison) -> Tensor:
    """How much worse than the others each image is: its witness minus a baseline (B,).

    The baseline of each half of the batch is the mean witness of the other half among
    itself (cf. Kool et al., 2019). The plain mean of the others' witnesses would not do:
    they were compared with this image too, so it would bias the gradient by O(1/B).

    Args:
        batch: B >= 4 images beside the target.
    """
    return batch.witness() - baseline(batch)


def baseline(batch: Comparison) -> Tensor:
    """For each image the mean witness of the half of the batch that it is not in (B,)."""
    count = len(batch.x)
    half = count // 2
    first = batch.witness(slice(half)).mean()
    second = batch.witness(slice(half, None)).mean()
    return torch.cat([second.expand(half), first.expand(count - half)])
