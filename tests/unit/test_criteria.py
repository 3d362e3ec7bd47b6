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


def passed(
    name: str, summary: dict[str, Any], wall: float = 50.0, evaluation: dict[str, Any] | None = None
) -> dict[str, bool]:
    return {label: c["passed"] for label, c in judge(name, summary, evaluation or {}, wall).items()}


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


ONE: dict[str, Any] = {
    **ROT,
    "renders": 1300,
    "feature_renders": 2300,
    "evaluation_renders": 900,
    "unidentifiable": [],
    "attributes": {"car.yaw": {"mean_error": 4.0}},
}


def test_renders_for_features_and_evaluation_count_in_all() -> None:
    assert all(passed("tabletop_1attr", ONE).values())
    assert not passed("tabletop_1attr", {**ONE, "evaluation_renders": 1401})["renders in all"]


def test_an_attribute_has_to_come_four_times_nearer_than_the_prior() -> None:
    row = {"periodic": True, "low": 0, "high": 360, "prior": [350.0], "target": [30.0]}
    summary = {**ONE, "attributes": {"car.yaw": {}}}
    for learned, ok in ((21.0, True), (19.0, False)):
        evaluation = {"attributes": {"car.yaw": {**row, "learned": [learned]}}}
        found = passed("tabletop_multi", summary, evaluation=evaluation)
        assert found == {"car.yaw W1 of the prior's": ok, "p_value_prior": True}


def test_what_does_not_show_in_the_images_has_no_figure_to_reach() -> None:
    summary = {**ONE, "unidentifiable": ["light.azimuth"], "attributes": {"light.azimuth": {}}}
    assert passed("tabletop_camera", summary) == {"p_value_prior": True}
