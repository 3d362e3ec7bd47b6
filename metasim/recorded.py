"""The shape of what a run records, as far as anything reads it.

Whatever is absent or null is not known, and keys that are not told of here may hold anything.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Epoch", "Evaluation", "Recorded", "Refined", "Summary"]

_Number = float | None
_Numbers = list[_Number] | None
_Flag = bool | None
_Text = str | None


class Recorded(BaseModel):
    """Base of what is recorded: no text for a number, no number for a flag."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @classmethod
    def mistake(cls, data: dict[str, Any]) -> str:
        """What is wrong with JSON values, with the place of it; empty where nothing is."""
        try:
            cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            return f"{place}: {first['msg'].replace('Input should be', 'must be')}"
        return ""


class _Moments(Recorded):
    mean: _Number = None
    std: _Number = None


class _Read(Recorded):
    learned: _Moments | None = None
    target: _Moments | None = None
    w1: _Number = None


class _Attribute(Recorded):
    unit: _Text = None
    periodic: _Flag = None
    prior: _Moments | None = None
    learned: _Moments | None = None
    target: _Moments | None = None
    w1: _Number = None
    mean_error: _Number = None
    read: _Read | None = None
    sensitivity: _Number = None
    identifiable: _Flag = None


class _Features(Recorded):
    use: list[str] | None = None
    error: dict[str, _Number] | None = None


class _Question(Recorded):
    threshold: _Number = None
    refused: _Number = None
    rate: _Number = None


class _Gate(Recorded):
    rate: _Number = None
    rejected: _Number = None
    renders: _Number = None
    reason: _Text = None
    questions: dict[str, _Question] | None = None


class Refined(Recorded):
    """What a refinement came to."""

    method: _Text = None
    steps: _Number = None
    seconds: _Number = None
    renders: _Number = None
    images_per_second: _Number = None
    problems: list[str] | None = None
    judged: _Number = None
    gate: _Gate | None = None
    fid: _Number = None
    fid_unrefined: _Number = None
    kid: _Number = None
    kid_unrefined: _Number = None
    mmd: _Number = None
    mmd_unrefined: _Number = None
    ssim: _Number = None
    accuracy: dict[str, _Number] | None = None


class Summary(Recorded):
    """What came out."""

    converged: _Flag = None
    judged: _Flag = None
    renders: _Number = None
    feature_renders: _Number = None
    evaluation_renders: _Number = None
    seconds: _Number = None
    discrepancy: _Number = None
    discrepancy_prior: _Number = None
    p_value: _Number = None
    p_value_prior: _Number = None
    kid: _Number = None
    kid_prior: _Number = None
    cmmd: _Number = None
    cmmd_prior: _Number = None
    held_out: _Number = None
    steps: _Number = None
    attempts: _Number = None
    reason: _Text = None
    gradient: _Text = None
    images_per_second: _Number = None
    features: _Features | None = None
    unidentifiable: list[str] | None = None
    attributes: dict[str, _Attribute] | None = None
    task_accuracy: _Number = None
    refine: Refined | None = None


class _Samples(Recorded):
    unit: _Text = None
    periodic: _Flag = None
    low: _Number = None
    high: _Number = None
    prior: _Numbers = None
    learned: _Numbers = None
    target: _Numbers = None
    learned_read: _Numbers = None
    target_read: _Numbers = None


class Evaluation(Recorded):
    """Values of the attributes."""

    attributes: dict[str, _Samples] | None = None


class Epoch(Recorded):
    """One line of the metrics."""

    step: _Number = None
    attempt: _Number = None
    renders: _Number = None
    seconds: _Number = None
    discrepancy: _Number = None
    p_value: _Number = None
    task_accuracy: _Number = None
    attributes: dict[str, _Moments] | None = None
