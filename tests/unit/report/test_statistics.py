"""Statistics on the line and the circle against scipy and brute force."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import circmean, circstd, spearmanr, wasserstein_distance

from metasim.report.statistics import (
    circular_difference,
    correlation,
    histogram,
    mass_within,
    middle_spread,
    summarise,
    wasserstein1,
)
from metasim.rng import stream

angles = st.lists(st.floats(-800, 800), min_size=1, max_size=12)


def brute_force_circle(a: np.ndarray, b: np.ndarray, period: float) -> float:
    """Optimal assignment after repeating both samples to one size."""
    size = np.lcm(len(a), len(b))
    a, b = np.repeat(a, size // len(a)), np.repeat(b, size // len(b))
    away = np.abs(a[:, None] - b[None, :]) % period
    cost = np.minimum(away, period - away)
    return float(cost[linear_sum_assignment(cost)].mean())


@pytest.mark.parametrize(("low", "high"), [(0.0, 360.0), (-180.0, 180.0), (-1.0, 3.0)])
def test_circular_summary_equals_scipy(low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(high, (high - low) / 12, 50)  # around the seam
    summary = summarise(values, True, low, high)
    assert summary["mean"] == pytest.approx(circmean(values, high=high, low=low))
    assert summary["std"] == pytest.approx(circstd(values, high=high, low=low))
    assert low <= summary["mean"] < high


def test_a_small_circular_spread_is_the_usual_one() -> None:
    values = np.random.default_rng(1).normal(90, 3, 20000)
    summary = summarise(values, True, 0, 360)
    assert summary["mean"] == pytest.approx(90, abs=0.1)
    assert summary["std"] == pytest.approx(3, rel=0.02)


def test_linear_summary() -> None:
    assert summarise([1.0, 3.0], False, 0, 10) == {"mean": 2.0, "std": 1.0}


@pytest.mark.parametrize("values", [[90.0], [90.0, 270.0], [0.0, 90.0, 180.0, 270.0], [360.0]])
def test_degenerate_circular_summaries_are_valid_json(values: list[float]) -> None:
    summary = summarise(values, True, 0, 360)
    json.dumps(summary, allow_nan=False)
    assert summary["std"] >= 0
    assert 0 <= summary["mean"] < 360


@given(angles, st.floats(-400, 400))
def test_a_circular_deviation_does_not_depend_on_the_zero(values: list[float], by: float) -> None:
    array = np.array(values)
    turned = summarise(array + by, True, 0, 360)["std"]
    straight = summarise(array, True, 0, 360)["std"]
    # R of 1 - 1e-16 is a deviation of 1e-6 degrees, and R of 1e-16 is noise.
    assert np.exp(-(np.radians(turned) ** 2)) == pytest.approx(
        np.exp(-(np.radians(straight) ** 2)), abs=1e-9
    )


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9), angles)
def test_wasserstein_on_the_line_equals_scipy(a: list[float], b: list[float]) -> None:
    assert wasserstein1(a, b) == pytest.approx(wasserstein_distance(a, b), abs=1e-9)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-400, 400), min_size=1, max_size=6),
    st.lists(st.floats(-400, 400), min_size=1, max_size=6),
    st.sampled_from([360.0, 180.0, 7.5]),
)
def test_wasserstein_on_the_circle_equals_brute_force(
    a: list[float], b: list[float], period: float
) -> None:
    exact = brute_force_circle(np.array(a), np.array(b), period)
    assert wasserstein1(a, b, period=period) == pytest.approx(exact, abs=1e-9)


def test_wasserstein_on_the_circle_goes_the_short_way() -> None:
    assert wasserstein1([359.0], [1.0, 1.0, 1.0], period=360) == pytest.approx(2.0)
    assert wasserstein1([0.0], [180.0], period=360) == pytest.approx(180.0)
    assert wasserstein1([0.0, 180.0], [90.0, 270.0], period=360) == pytest.approx(90.0)
    assert wasserstein1([5.0], [365.0], period=360) == 0.0


def test_wasserstein_of_a_wide_and_a_narrow_angle() -> None:
    values = np.random.default_rng(2).normal(0, 25, 4000)
    # The mean distance of a normal sample from its mean is s sqrt(2 / pi).
    assert wasserstein1(values, [0.0], period=360) == pytest.approx(
        25 * np.sqrt(2 / np.pi), rel=0.03
    )


@given(st.floats(-800, 800), st.floats(-800, 800))
def test_circular_differences_are_short_and_right(a: float, b: float) -> None:
    difference = float(circular_difference(a, b, 360))
    assert -180 <= difference < 180
    turns = (a - b - difference) / 360
    assert turns == pytest.approx(round(turns), abs=1e-9)


def test_correlation_is_pearsons_on_the_line() -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal(50)
    b = a + rng.standard_normal(50)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_correlation_with_an_angle_does_not_break_at_the_seam() -> None:
    rng = np.random.default_rng(4)
    both = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000)
    yaw, x = (both[:, 0] * 20) % 360, both[:, 1] * 3 + 16
    assert correlation(yaw, x, period_a=360) == pytest.approx(0.8, abs=0.03)
    assert correlation(x, yaw, period_b=360) == pytest.approx(0.8, abs=0.03)
    assert correlation(yaw, (yaw + 350) % 360, 360, 360) == pytest.approx(1.0)
    assert abs(correlation(yaw, x)) < 0.7  # what the seam would do


def test_a_few_values_far_off_hardly_change_ranks_and_middles() -> None:
    rng = stream(4, "far off")
    a, noise = rng.normal(size=(2, 1000))
    b = 350 + 10 * (0.8 * a + 0.6 * noise)
    far = np.where(rng.random(1000) < 0.04, b + 180, b) % 360
    assert correlation(a, b, of_ranks=True) == pytest.approx(spearmanr(a, b)[0])
    assert correlation(a, far, None, 360, of_ranks=True) == pytest.approx(0.75, abs=0.05)
    assert correlation(a, far, None, 360) < 0.5
    assert middle_spread(b) == pytest.approx(10, abs=0.7)
    assert middle_spread(far, 360) == pytest.approx(10.5, abs=1)
    assert correlation(a, np.ones(1000), of_ranks=True) == 0


def test_a_constant_has_no_correlation() -> None:
    assert correlation([0.1] * 7, range(7)) == 0.0
    assert correlation([350.0, -10.0, 710.0], [1.0, 2.0, 3.0], period_a=360) == 0.0


def test_histogram_shares_sum_to_one_and_wrap() -> None:
    edges, shares = histogram([355.0, -5.0, 10.0, 360.0], 0, 360, bins=36, periodic=True)
    assert edges[[0, -1]].tolist() == [0.0, 360.0]
    assert shares[[0, 1, 35]].tolist() == [0.25, 0.25, 0.5]
    clipped = histogram([-5.0, 3.0, 99.0], 0, 10, bins=2)
    np.testing.assert_allclose(clipped.shares, [2 / 3, 1 / 3])


def test_mass_within_goes_round_the_circle() -> None:
    values = [350.0, 5.0, 31.0, 180.0]
    assert mass_within(values, 0, 30, period=360) == 0.5
    assert mass_within(values, 0, 30) == 0.25


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarise(values, False, 0, 1)
    with pytest.raises(ValueError, match="finite"):
        wasserstein1(values, [1.0])
    with pytest.raises(ValueError, match="finite"):
        mass_within(values, 0, 1)


def test_other_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="period"):
        wasserstein1([1.0], [2.0], period=0)
    with pytest.raises(ValueError, match="pairs"):
        correlation([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="low must be below high"):
        histogram([1.0], 2, 2)


def test_a_point_on_the_circle_has_a_deviation_of_plain_zero():
    std = summarise(np.full(5, 90.0), True, 0.0, 360.0)["std"]
    assert not np.signbit(std)
    assert std < 1e-5
