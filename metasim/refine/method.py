"""What all methods of refinement are to those that train and apply them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metasim.refine.descent import descend
from metasim.refine.options import Trained
from metasim.refine.pool import ImagePool
from metasim.refine.team import ALONE, Team

__all__ = ["Batch", "Method"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of both domains, from -1 to 1.

    Attributes:
        sim: (B, 3, H, W), renders.
        real: (B, 3, H, W), target images; for methods that need pairs, of the same scenes.
        condition: (B, C, H, W), what the simulator knows of the renders' pixels.
    """

    sim: Tensor
    real: Tensor
    condition: Tensor | None = None


class Method(nn.Module, ABC):
    """Networks that are trained to refine renders, and how they are.

    What is random in :meth:`step` is drawn from torch's own generator, which whoever trains
    seeds for each step, so that a step depends on its number and on what was learned alone.

    Attributes:
        paired: whether it learns from pairs of a render and a target image of one scene.
        optimisers: by name; their learning rates fall as the training goes on.
        pools: of generated images, by name.
        team: the processes that train it.
    """

    paired: ClassVar[bool] = False

    def __init__(self, options: Trained) -> None:
        super().__init__()
        self.settings = options
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.pools: dict[str, ImagePool] = {}
        self.team: Team = ALONE

    @property
    def warm_up(self) -> int:
        """How many steps come before those of the options, at the full learning rate."""
        return 0

    @abstractmethod
    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """Train all networks once.

        Args:
            number: of the step, from 0, those of the warm-up included.
            batch: of both domains.

        Returns:
            The losses by name, scalars without gradients; "generator" and "discriminator" are the
            adversarial ones, where there are some.
        """

    @abstractmethod
    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """Renders (B, 3, H, W) from -1 to 1 refined, each for itself; nothing is random.

        The networks are in evaluation mode, and no gradients are kept.
        """

    def adam(
        self, name: str, weights: Iterable[nn.Parameter], rate: float | None = None
    ) -> torch.optim.Optimizer:
        """An optimiser of the options' settings, or of another learning rate."""
        # Fused: one pass over the weights, where several are a good part of a small network's step.
        made = torch.optim.Adam(
            weights, lr=rate or self.settings.learning_rate, betas=self.settings.betas, fused=True
        )
        self.optimisers[name] = made
        return made

    def descend(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        """A step of one of the optimisers, as :func:`metasim.refine.descent.descend` does it."""
        descend(optimiser, loss, self.team)

    def pooled(self, name: str, images: Tensor) -> Tensor:
        """As many images (B, 3, H, W) as come, some of them old ones of a pool."""
        swapped = self.pools[name].swap(self.team.gather(images))
        return swapped[self.team.own(len(swapped))]

    def noisy(self, images: Tensor) -> Tensor:
        """Images with normal noise of the options' standard deviation, for a discriminator."""
        noise = self.settings.noise
        return images + noise * self.team.normal(images) if noise else images

    def telling_apart(
        self,
        loss: Callable[[Tensor, bool], Tensor],
        discriminator: Callable[[Tensor], Tensor],
        own: Tensor,
        generated: Tensor,
    ) -> Tensor:
        """A discriminator's loss on images of its domain and on generated ones."""
        found = loss(discriminator(self.noisy(own)), True)
        return found + loss(discriminator(self.noisy(generated.detach())), False)

    def training_state(self) -> dict[str, Any]:
        """What a next step needs beside the networks' weights, copied."""
        return deepcopy(
            {
                "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
                "pools": {name: pool.images for name, pool in self.pools.items()},
            }
        )

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Take what :meth:`training_state` gave, and leave it as it is."""
        state = deepcopy(dict(state))
        for name, one in self.optimisers.items():
            one.load_state_dict(state["optimisers"][name])
        for name, pool in self.pools.items():
            pool.images = state["pools"][name]
