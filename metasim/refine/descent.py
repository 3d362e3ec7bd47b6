"""A step down a loss, by one optimiser."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from metasim.refine.team import ALONE, Team

__all__ = ["descend"]


def descend(optimiser: Optimizer, loss: Tensor, team: Team = ALONE) -> None:
    """Change the optimiser's weights, and no others, so that the loss falls.

    Adversaries' losses go through each other's networks. No gradients are computed for weights of
    networks that belong to another optimiser: none are left there, and no time is lost on them.

    Args:
        optimiser: of the weights that are changed.
        loss: a scalar that depends on them.
        team: that has the same done with other parts of the batch; gradients are its means.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    optimiser.zero_grad()
    loss.backward(inputs=weights)  # type: ignore[no-untyped-call]
    team.average([weight.grad for weight in weights if weight.grad is not None])
    optimiser.step()
