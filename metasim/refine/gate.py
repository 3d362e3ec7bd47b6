"""The gate: which refined images still show what their labels say.

A refiner may move things, and invent or lose them. So every refined image is asked some questions
whose answers its labels know, and it passes where it answers each better than nearly all images
would whose labels are another's. How well those do is seen on renders that were not refined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["Gate", "Judged", "calibrate"]

Scores = Mapping[str, npt.NDArray[np.float64]]
"""By question, one number for each image: the more the better."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gate says of N images.

    Attributes:
        scores: float64 (N,) by question.
        passed: bool (N,).
    """

    scores: Scores
    passed: npt.NDArray[np.bool_]

    @property
    def rate(self) -> float:
        """The share of images that passed."""
        return float(self.passed.mean()) if len(self.passed) else 1.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What an image's scores must be at least.

    Attributes:
        thresholds: by question.
        kept: the share of unrefined renders that pass, which is how strict it is.
        refused: of wrong labels, the share that each question alone refuses.
    """

    thresholds: Mapping[str, float]
    kept: float
    refused: Mapping[str, float]

    def judge(self, scores: Scores) -> Judged:
        """Which images pass: those that reach every threshold.

        Raises:
            DataError: when the questions are not those of the calibration.
        """
        if {*scores} != {*self.thresholds}:
            raise DataError(
                f"the gate must be asked its own questions, {', '.join(sorted(self.thresholds))}, "
                f"got {', '.join(sorted(scores))}"
            )
        answers = [scores[name] >= least for name, least in self.thresholds.items()]
        return Judged(scores, np.logical_and.reduce(answers))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "thresholds": dict(self.thresholds),
            "kept": self.kept,
            "refused": dict(self.refused),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gate:
        """What :meth:`to_json` gave."""
        return cls(dict(data["thresholds"]), float(data["kept"]), dict(data["refused"]))


def calibrate(right: Scores, wrong: Scores, wrong_passes: float = 0.05) -> Gate:
    """A gate that lets few wrong labels pass.

    A question that cannot tell right from wrong labels of unrefined renders (it refuses fewer than
    half of the wrong at a threshold that all but a twentieth of the right reach) is left out.

    Args:
        right: scores of unrefined renders with their own labels.
        wrong: scores of unrefined renders with the labels of others.
        wrong_passes: the share of wrong labels that a question may let pass.

    Raises:
        DataError: when no question can tell them apart.
    """
    thresholds, refused = {}, {}
    for name, mine in right.items():
        others = wrong[name]
        lenient = float(np.quantile(mine, 0.05))
        if (others < lenient).mean() < 0.5:
            continue
        strict = float(np.quantile(others, 1 - wrong_passes))
        thresholds[name] = min(strict, lenient)
        refused[name] = float((others < thresholds[name]).mean())
    if not thresholds:
        raise DataError(
            "the gate must be able to tell right labels from wrong ones on renders that were not "
            f"refined, but none of {', '.join(right)} can; give more renders, or features that "
            "read the attributes (features: {use: simulator})"
        )
    reached = [right[name] >= least for name, least in thresholds.items()]
    return Gate(thresholds, float(np.logical_and.reduce(reached).mean()), refused)
