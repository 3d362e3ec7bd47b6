"""The loop that trains any method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from metasim.errors import TrainingError
from metasim.learn.initial import initial_weights
from metasim.progress import Progress
from metasim.refine.health import Health
from metasim.refine.method import Batch, Method
from metasim.refine.sampling import Domains
from metasim.refine.team import Team
from metasim.rng import derive

__all__ = ["Training", "rate_factor"]

_TOLD: Final = 50  # steps between two looks at the losses and at what comes out


def rate_factor(step: int, steps: int, decay: float) -> float:
    """By what the learning rate is multiplied: 1, then linearly down to (nearly) 0.

    Args:
        step: from 0; below 0 in a warm-up.
        steps: in all.
        decay: the share of them, at the end, over which it falls.
    """
    constant = steps * (1 - decay)
    return 1.0 if step < constant else (steps - step) / (steps - constant)


class Training:
    """Trains a method, step after step; each follows from its number and what was learned.

    Args:
        method: to be trained.
        domains: what it learns from.
        seed: of all that is random.
        device: that it is done on.
        progress: told how far it is.

    Attributes:
        step: how many steps were done.
        means: of the last losses, by name.
        health: what is wrong with it.
    """

    def __init__(
        self,
        method: Method,
        domains: Domains,
        seed: int,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.method = method.to(device)
        self.domains, self.seed, self.device, self.progress = domains, seed, device, progress
        self.step = 0
        self.means: dict[str, float] = {}
        self.health = Health()
        self._rates = {
            name: [group["lr"] for group in one.param_groups]
            for name, one in method.optimisers.items()
        }

    @property
    def steps(self) -> int:
        """How many there are in all, those of the warm-up included."""
        return self.method.warm_up + self.method.settings.steps

    def run(self, on_step: Callable[[], None] = lambda: None) -> None:
        """Go on until the last step.

        Args:
            on_step: called after each; whatever it raises ends the training, which can go on later.

        Raises:
            TrainingError: when a loss is no number any more.
        """
        self.progress.start("refining", self.steps)
        while self.step < self.steps:
            batch = self.domains.batch(
                self.seed, self.step, self.method.settings.batch_size, self.device, self.method.team
            )
            self._set_rates()
            self.method.train()
            with (
                initial_weights(derive(self.seed, "refine", "step", self.step)),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed),
            ):
                losses = self.method.step(self.step, batch)
            self._note(self._agreed(losses), batch)
            self.step += 1
            on_step()
        self.progress.finish()

    def join(self, team: Team) -> None:
        """Train with others from now on, who are as far as this is."""
        self.method.team = team

    def _agreed(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """The team's losses; what networks have counted beside their weights is the first's."""
        team = self.method.team
        team.follow([one for one in self.method.buffers() if one.is_floating_point()])
        values = torch.stack([value.float() for value in losses.values()])
        team.average([values])
        return dict(zip(losses, values.tolist(), strict=True))

    @property
    def _mixed(self) -> bool:
        return self.method.settings.precision == "mixed"

    def _set_rates(self) -> None:
        settings = self.method.settings
        factor = rate_factor(self.step - self.method.warm_up, settings.steps, settings.decay)
        for name, one in self.method.optimisers.items():
            for group, rate in zip(one.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor

    def _note(self, losses: Mapping[str, float], batch: Batch) -> None:
        wrong = [
            name for name, value in losses.items() if value != value or abs(value) == float("inf")
        ]
        if wrong:
            raise TrainingError(
                f"every loss must be a number, but of step {self.step} {', '.join(wrong)} is "
                f"{losses[wrong[0]]}; lower refine.learning_rate"
            )
        for name, value in losses.items():
            self.means[name] = 0.98 * self.means.get(name, value) + 0.02 * value
        problems = self.health.look(self.step, losses)
        if self.step % _TOLD == _TOLD - 1:
            with torch.no_grad():
                refined = self.method.eval().refine(batch.sim, batch.condition)
            problems += self.health.compare(self.step, batch.sim, refined, batch.real)
            self.progress.advance(self.step + 1, **self.means)
        for problem in problems:
            self.progress.log(problem)

    def state_dict(self) -> dict[str, Any]:
        """All that a next step needs, networks included."""
        return {
            "step": self.step,
            "means": dict(self.means),
            "health": self.health.state_dict(),
            "networks": self.method.state_dict(),
            "training": self.method.training_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave; what follows is the same, bit for bit."""
        self.step, self.means = state["step"], dict(state["means"])
        self.health.load_state_dict(state["health"])
        self.method.load_state_dict(state["networks"])
        self.method.load_training_state(state["training"])
