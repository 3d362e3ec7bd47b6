"""Processes that train one method together, each with its part of every batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["ALONE", "Processes", "Team"]


class Team:
    """One process alone, and what it would do with others.

    All processes hold the same weights, draw the same random numbers and keep the same pools, so
    that the state of any is that of all. Only their parts of the batches differ.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def own(self, count: int) -> slice:
        """Which of so many images of a batch are this process's; all have as many."""
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def normal(self, mine: Tensor) -> Tensor:
        """Standard normal numbers for this process's part (B, ...) of a batch.

        They are drawn for the whole batch, so that they depend on no process's part, and on the
        processor, whose generator is the one that steps are seeded by.
        """
        whole = torch.randn((self.size * len(mine), *mine.shape[1:]))
        return whole[self.own(len(whole))].to(mine)

    def gather(self, images: Tensor) -> Tensor:
        """The whole batch of which these images are a part, in its order; without gradients."""
        return images.detach()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the processes' means into their places."""

    def follow(self, tensors: Sequence[Tensor]) -> None:
        """Put the first process's values into their places."""


ALONE: Final = Team()


class Processes(Team):
    """Those of torch's process group, which has been made."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, images: Tensor) -> Tensor:
        """All parts, one after another."""
        mine = images.detach().contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """By one exchange."""

        def mean(whole: Tensor) -> None:
            dist.all_reduce(whole)
            whole /= self.size

        _as_one(tensors, mean)

    def follow(self, tensors: Sequence[Tensor]) -> None:
        """By one exchange."""
        _as_one(tensors, lambda whole: dist.broadcast(whole, 0))


def _as_one(tensors: Sequence[Tensor], change: Callable[[Tensor], object]) -> None:
    """Change tensors in place as one, since each exchange costs as much as many numbers do."""
    if not tensors:
        return
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    change(whole)
    parts = torch.split(whole, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
