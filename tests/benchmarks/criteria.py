"""The figures each shipped experiment has to reach, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasim.report.statistics import correlation, mass_within, wasserstein1

Summary = Mapping[str, Any]
Evaluation = Mapping[str, Any]

TRUE_SPREAD = 25.0
MODES = (90.0, 200.0)


@dataclass(frozen=True)
class Criterion:
    """One number and where it has to lie.

    Attributes:
        value: what was measured.
        low, high: the bounds, both included; None where there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Value, bounds and verdict."""
        passed = not (
            (self.low is not None and self.value < self.low)
            or (self.high is not None and self.value > self.high)
        )
        return {"value": self.value, "low": self.low, "high": self.high, "passed": passed}


def judge(name: str, summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Any]:
    """Every criterion of an experiment by name, with the verdict.

    Args:
        name: of the experiment, as its file is called.
        summary: what ``metasim train --json`` printed.
        evaluation: the run's ``evaluation.json``.
        wall: seconds that the whole command took.
    """
    found = dict(_OWN.get(name, _nothing)(summary, evaluation, wall))
    if name in _OWN and name not in _NEED_NOT_PASS:
        found["p_value"] = Criterion(summary["p_value"], low=0.05)
    if name in _OWN:
        # Strictly below 0.01: with 500 permutations the largest such p-value is 5 / 501.
        found["p_value_prior"] = Criterion(summary["p_value_prior"], high=0.00999)
    return {label: criterion.as_json() for label, criterion in found.items()}


def _nothing(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {}


def _rot(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "yaw error": _off(summary, "digit.yaw", 3),
        "yaw W1": _w1(summary, "digit.yaw", 6),
        "renders": Criterion(summary["renders"], high=20_000),
        "seconds": Criterion(wall, high=60),
    }


def _rot_trans(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "x error": _off(summary, "digit.x", 1),
        "y error": _off(summary, "digit.y", 1),
        "yaw error": _off(summary, "digit.yaw", 5),
        "renders": Criterion(summary["renders"], high=150_000),
        "seconds": Criterion(wall, high=180),
    }


def _spread(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    deviation = summary["attributes"]["digit.yaw"]["learned"]["std"]
    return {
        "deviation ratio": Criterion(deviation / TRUE_SPREAD, low=0.8, high=1.2),
        "yaw W1": _w1(summary, "digit.yaw", 6),
    }


def _bimodal(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    learned = evaluation["attributes"]["digit.yaw"]["learned"]
    mass = {mode: mass_within(learned, mode, 30, 360) for mode in MODES}
    found = {f"mass at {m:g}": Criterion(share, low=0.35, high=0.65) for m, share in mass.items()}
    return {**found, "mass near a mode": Criterion(sum(mass.values()), low=0.8)}


def _correlated(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    table = evaluation["attributes"]
    x, yaw = table["digit.x"]["learned"], table["digit.yaw"]["learned"]
    return {"correlation": Criterion(correlation(x, yaw, None, 360), low=0.6)}


def _gap(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {"yaw error": _off(summary, "digit.yaw", 8)}


def _multi(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    bounds = {"yaw": 8.0, "x": 1.0, "y": 1.0}
    return {
        f"{label} error": _off(summary, label, bounds[label.rpartition(".")[2]])
        for label in summary["attributes"]
    }


def _task(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "yaw error": _off(summary, "digit.yaw", 3),
        "yaw W1": _w1(summary, "digit.yaw", 6),
        "task accuracy": Criterion(summary["task_accuracy"], low=0.9),
    }


TABLE = 1.0  # metres, a side of the table


def _tabletop_1attr(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "yaw error": _off(summary, "car.yaw", 5),
        "renders in all": Criterion(_renders(summary), high=5_000),
        "seconds": Criterion(wall, high=180),
    }


def _tabletop_2attr(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "x error": _off(summary, "car.x", 0.03 * TABLE),
        "y error": _off(summary, "car.y", 0.03 * TABLE),
    }


def _tabletop_3attr(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        **_tabletop_2attr(summary, evaluation, wall),
        "yaw error": _off(summary, "car.yaw", 8),
        "renders in all": Criterion(_renders(summary), high=15_000),
        "seconds": Criterion(wall, high=720),
    }


def _tabletop_gap(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    return {
        "x error": _off(summary, "car.x", 0.05 * TABLE),
        "y error": _off(summary, "car.y", 0.05 * TABLE),
        "yaw error": _off(summary, "car.yaw", 10),
    }


def _tabletop_many(summary: Summary, evaluation: Evaluation, wall: float) -> dict[str, Criterion]:
    """Of every attribute that shows in the images: how far below the prior's W1."""
    unseen = summary["unidentifiable"]
    return {
        f"{label} W1 of the prior's": Criterion(_share_of_prior(evaluation, label), high=0.25)
        for label in summary["attributes"]
        if label not in unseen
    }


def _renders(summary: Summary) -> int:
    """Images drawn of the learner's scenes: for features, training and evaluation."""
    return sum(summary[name] for name in ("feature_renders", "renders", "evaluation_renders"))


def _share_of_prior(evaluation: Evaluation, label: str) -> float:
    row = evaluation["attributes"][label]
    period = row["high"] - row["low"] if row["periodic"] else None
    prior, learned = (
        wasserstein1(np.array(row[which]), np.array(row["target"]), period=period)
        for which in ("prior", "learned")
    )
    return learned / prior


def _off(summary: Summary, label: str, most: float) -> Criterion:
    return Criterion(summary["attributes"][label]["mean_error"], high=most)


def _w1(summary: Summary, label: str, most: float) -> Criterion:
    return Criterion(summary["attributes"][label]["w1"], high=most)


_OWN: dict[str, Callable[[Summary, Evaluation, float], dict[str, Criterion]]] = {
    "mnist_rot": _rot,
    "mnist_rot_trans": _rot_trans,
    "mnist_spread": _spread,
    "mnist_bimodal": _bimodal,
    "mnist_correlated": _correlated,
    "mnist_gap": _gap,
    "mnist_multi": _multi,
    "mnist_task": _task,
    "tabletop_1attr": _tabletop_1attr,
    "tabletop_2attr": _tabletop_2attr,
    "tabletop_3attr": _tabletop_3attr,
    "tabletop_5attr": _tabletop_many,
    "tabletop_multi": _tabletop_many,
    "tabletop_camera": _tabletop_many,
    "tabletop_gap": _tabletop_gap,
    "unity_1attr": _tabletop_1attr,
    "unity_multi": _tabletop_many,
}
_NEED_NOT_PASS = frozenset(name for name in _OWN if name.startswith("tabletop_")) - {
    "tabletop_1attr"
} | {"unity_multi"}
"""Experiments that are to come near, whether or not the test at the end tells the images apart."""
