"""Finite differences with common random numbers, one attribute at a time or all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasim.learn.gradients.base import Estimate, GradientEstimator, Step, along, baseline
from metasim.learn.objective import Objective
from metasim.scene.graph import Scene

__all__ = ["FiniteDifferenceEstimator", "SPSAEstimator"]


class FiniteDifferenceEstimator(GradientEstimator):
    """Central differences along each attribute of each node's draw.

    A scene whose nodes have A learnable attributes in all is rendered 2 A times (twice if
    it has none), all scenes in one call; the perturbed copies keep the scene's seed and
    looks, so that only the attribute differs. The witness is taken with the batch's first
    pairs of renders as reference (leaving out the scene's own), so no render at the centre
    is needed; the error is of second order in the step.

    Args:
        step: distance from the centre, as a share of the range.
    """

    def __init__(self, step: float) -> None:
        self.step = 2.0 * step  # latent ranges have length 2

    def directions(self, step: Step) -> Tensor:
        """(P, N, A) directions, P pairs of renders; each entry is -1, 0 or 1."""
        mask = step.distribution.mask
        slot, slots = _slots(mask, step.batch.ptr)
        return torch.stack([(slot == p) & mask for p in range(max(1, slots))]).float()

    def estimate(self, step: Step, objective: Objective) -> Estimate:
        """Render both ends of every difference in one call."""
        edit = step.distribution.sample(step.generator)
        directions = self.directions(step)
        plan = _Plan.of(directions, step.batch.batch, len(step.scenes))
        ends = torch.stack([directions, -directions], dim=1) * self.step
        name_id = step.batch.name_id
        features = objective.edited(
            plan.pick(step.scenes),
            (edit.latent.detach() + ends)[plan.nodes],
            name_id.expand(plan.nodes.shape)[plan.nodes],
            step.generator,
            variant_of=plan.scene,
        )
        first = 2 * len(step.scenes)
        witness = plan.spread(
            objective.discrepancy.witness(
                features,
                features[:first],
                exclude=plan.scene[:, None] == plan.scene[None, :first],
            )
        )
        rise = (witness[:, 0] - witness[:, 1]) / (2 * self.step)  # (P, B)
        slope = (rise[:, step.batch.batch].unsqueeze(-1) * directions).sum(dim=0)
        middle = _alternate(features[:first])
        mean = witness.sum(dim=(0, 1)) / plan.active.sum(dim=(0, 1))
        beside = objective.discrepancy.compare(middle)
        loss = along(
            edit,
            slope / len(step.scenes),
            step.distribution,
            lambda: mean - baseline(beside),
        )
        return Estimate(loss, float(beside.value()), middle, edit)


class SPSAEstimator(FiniteDifferenceEstimator):
    """All attributes perturbed at once along a random sign vector (Spall, 1992)."""

    def directions(self, step: Step) -> Tensor:
        """(1, N, A) random signs."""
        mask = step.distribution.mask
        signs = torch.randint(0, 2, mask.shape, generator=step.generator) * 2.0 - 1.0
        return (signs * mask).unsqueeze(0)


@dataclass(frozen=True)
class _Plan:
    """Which scene is rendered for which end of which difference.

    Attributes:
        active: bool (P, 2, B); the first pair has every scene.
        nodes: bool (P, 2, N), the same for the scenes' nodes.
        scene: int64 (R,), of each of the R renders.
    """

    active: Tensor
    nodes: Tensor
    scene: Tensor

    @classmethod
    def of(cls, directions: Tensor, scene: Tensor, scenes: int) -> _Plan:
        moved = (directions != 0).any(dim=-1)  # (P, N)
        active = torch.zeros(len(moved), scenes).index_add(1, scene, moved.float()) > 0
        active[0] = True
        both = active.unsqueeze(1).expand(-1, 2, -1)
        return cls(both, both[:, :, scene], torch.nonzero(both)[:, 2])

    def pick(self, scenes: Sequence[Scene]) -> list[Scene]:
        return [scenes[i] for i in self.scene.tolist()]

    def spread(self, values: Tensor) -> Tensor:
        """Values of the renders (R,) in their places (P, 2, B), 0 elsewhere."""
        return values.new_zeros(self.active.shape).masked_scatter(self.active, values)


def _alternate(pairs: Tensor) -> Tensor:
    """One end of each of B pairs (2 B, D), now the upper, now the lower: (B, D).

    Both ends are off the centre by a step; a set of both is so in second order only.
    """
    count = len(pairs) // 2
    rows = torch.arange(count)
    return pairs[rows + (rows % 2) * count]


def _slots(mask: Tensor, ptr: Tensor) -> tuple[Tensor, int]:
    """Number the learnable entries (N, A) of each scene from 0; and how many at most."""
    flat = mask.flatten().long()
    order = flat.cumsum(0) - flat
    first = order[(ptr[:-1] * mask.shape[1]).clamp(max=len(order) - 1)]
    sizes = ptr[1:] - ptr[:-1]
    slot = order.view(mask.shape) - first.repeat_interleave(sizes).unsqueeze(-1)
    return slot, int((slot + 1)[mask].max()) if bool(mask.any()) else 0
