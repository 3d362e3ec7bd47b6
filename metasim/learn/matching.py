"""Kernel mean matching: which known images look like the target, as weights on them.

Letters: n known images, k neighbours of each.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["kernel_mean_matching"]

_NOTHING = -50.0  # as a logarithm; weights that need denormal numbers slow it down tenfold


def kernel_mean_matching(
    within: Tensor,
    across: Tensor,
    neighbours: Tensor | None = None,
    *,
    steps: int = 600,
    rate: float = 20.0,
) -> Tensor:
    """Weights on known images whose mean embedding is the target's (Huang et al., 2006).

    Minimises ``w' K w - 2 w' k`` over the simplex by mirror descent (exponentiated
    gradient), which starts from equal weights and keeps them spread out. A step that would
    raise the objective is not taken, but the rate is halved; it recovers with time.

    Args:
        within: (n, n), kernel between the known images.
        across: (n,), mean kernel between each known image and the target images.
        neighbours: int64 (n, k); each image's weight is then shared out equally among its k
            neighbours, itself one of them, so that weights are smooth among neighbours.
        steps: of descent; each is one product with ``within``.
        rate: largest step size, over the largest entry of the kernel.

    Returns:
        (n,), non-negative, sum 1.
    """
    if neighbours is None:
        neighbours = torch.arange(len(across)).unsqueeze(1)

    def share_out(weight: Tensor) -> Tensor:
        shares = (weight / neighbours.shape[1]).unsqueeze(1).expand_as(neighbours)
        return torch.zeros_like(weight).index_add(0, neighbours.flatten(), shares.flatten())

    largest = rate / float(within.abs().max().clamp(min=1e-12))
    rate, log_weight = largest, torch.zeros_like(across)
    weight = share_out(log_weight.softmax(dim=0))
    image = within @ weight
    objective = float(weight @ (image - 2 * across))
    for _ in range(steps):
        slope = (image - across)[neighbours].mean(dim=1)
        proposed = (log_weight - rate * slope).log_softmax(dim=0)
        proposed = proposed.clamp(min=_NOTHING)
        new_weight = share_out(proposed.exp())
        new_image = within @ new_weight
        new_objective = float(new_weight @ (new_image - 2 * across))
        if new_objective > objective:
            rate *= 0.5
            continue
        log_weight, weight, image, objective = proposed, new_weight, new_image, new_objective
        rate = min(largest, rate * 1.2)
    return weight
