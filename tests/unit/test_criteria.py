"""The verdicts of the benchmarks, which the README tells, can fail."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.benchmarks.criteria import judge

ROT: dict[str, Any] = {
    "p_value": 0.3,
    "p_value_prior": 0.002,
    "renders": 10100,
    "attributes": {"digit.yaw": {"mean_error": 1.0, "w1": 2.0, "learned": {"std": 25.0}}},
}


def passed(name: str, summary: dict[str, Any], wall: float = 50.0) -> dict[str, bool]:
    return {label: c["passed"] for label, c in judge(name, summary, {}, wall).items()}


def test_a_run_that_reaches_all_passes() -> None:
    assert all(passed("mnist_rot", ROT).values())
    assert set(passed("mnist_rot", ROT)) == {
        "yaw error", "yaw W1", "renders", "seconds", "p_value", "p_value_prior"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("missed", "change"),
    [
        ("yaw error", {"attributes": {"digit.yaw": {"mean_error": 3.1, "w1": 3.1}}}),
        ("yaw W1", {"attributes": {"digit.yaw": {"mean_error": 1.0, "w1": 6.1}}}),
        ("renders", {"renders": 20001}),
        ("p_value", {"p_value": 0.0499}),
        ("p_value_prior", {"p_value_prior": 0.01}),
    ],
)
def test_a_run_that_misses_one_figure_fails_there_alone(
    missed: str, change: dict[str, Any]
) -> None:
    summary = copy.deepcopy(ROT) | change
    found = passed("mnist_rot", summary)
    assert [label for label, ok in found.items() if not ok] == [missed]


def test_the_time_counts() -> None:
    assert not passed("mnist_rot", ROT, wall=60.1)["seconds"]


def test_the_spread_counts() -> None:
    assert not passed("mnist_spread", {**ROT, "attributes": {"digit.yaw": {
        "w1": 1.0, "learned": {"std": 19.0}}}})["deviation ratio"]  # fmt: skip


def test_an_experiment_without_figures_to_reach_has_none() -> None:
    assert passed("smoke", ROT) == {}


def test_a_task_that_is_not_learned_is_told() -> None:
    assert all(passed("mnist_task", {**ROT, "task_accuracy": 0.95}).values())
    assert not passed("mnist_task", {**ROT, "task_accuracy": 0.4})["task accuracy"]
