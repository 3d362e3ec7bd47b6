"""Whether an adversarial training still learns anything."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Health"]

_MEMORY = 0.98  # of the running mean, at each step
_BEGINNING = 50  # steps, after which the discriminator's loss is what it is compared with
_WON = 0.02  # of that loss: the discriminator tells all apart, and the refiner learns nothing
_PATIENCE = 200  # steps in a row
_ALIKE = 0.25  # of the variety of renders or target images: the refined are all the same


class Health:
    """Watches a training's losses and what comes out of it.

    Attributes:
        problems: what was found, for people; each once.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._mean: float | None = None
        self._first: float | None = None
        self._low = 0

    def look(self, number: int, losses: Mapping[str, float]) -> list[str]:
        """Take note of a step's losses; the problems that are new."""
        judged = losses.get("discriminator")
        if judged is None:
            return []
        before = judged if self._mean is None else self._mean
        self._mean = _MEMORY * before + (1 - _MEMORY) * judged
        if self._first is None:
            self._first = self._mean if number >= _BEGINNING else None
            return []
        self._low = self._low + 1 if self._mean < _WON * self._first else 0
        if self._low != _PATIENCE:
            return []
        return self._tell(
            f"the discriminator has told all images apart since step {number - _PATIENCE + 1} (its "
            f"loss fell from {self._first:.3g} to {self._mean:.3g}), so that the refiner learns "
            "nothing: lower learning_rate, or train it fewer steps"
        )

    def compare(self, number: int, sim: Tensor, refined: Tensor, real: Tensor) -> list[str]:
        """Take note of what becomes of renders; the problems that are new.

        Args:
            number: of the step.
            sim: (B, 3, H, W), renders.
            refined: (B, 3, H, W), what became of them.
            real: (B, 3, H, W), target images.
        """
        found, before, wanted = map(_variety, (refined, sim, real))
        if found >= _ALIKE * min(before, wanted):
            return []
        return self._tell(
            f"refined images are all alike at step {number} (they vary by {found:.2g}, renders by "
            f"{before:.2g}, target images by {wanted:.2g}): lower learning_rate, raise the weight "
            "that holds them to their renders, or try another method"
        )

    def _tell(self, problem: str) -> list[str]:
        kind = problem.split(" at step")[0].split(" since step")[0]
        if any(known.startswith(kind) for known in self.problems):
            return []
        self.problems.append(problem)
        return [problem]

    def state_dict(self) -> dict[str, object]:
        """All of it, as plain data."""
        return {
            "problems": [*self.problems],
            "mean": self._mean,
            "first": self._first,
            "low": self._low,
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.problems = [*state["problems"]]  # type: ignore[misc]
        self._mean, self._first = state["mean"], state["first"]  # type: ignore[assignment]
        self._low = state["low"]  # type: ignore[assignment]


def _variety(images: Tensor) -> float:
    """How much pixels differ from image to image."""
    return float(torch.std(images.detach(), dim=0).mean()) if len(images) > 1 else 0.0
