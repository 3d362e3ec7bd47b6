"""Distributions against scipy's, and the laws that every one of them keeps."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from scipy import stats

from metasim.scene.distributions import (
    Choice,
    Constant,
    Distribution,
    Mixture,
    Normal,
    Prior,
    TruncatedNormal,
    Uniform,
    VonMises,
    WrappedNormal,
)

SHARES = np.linspace(0.001, 0.999, 251)

CONTINUOUS = {
    "uniform": (Uniform(low=-2, high=5), stats.uniform(-2, 7)),
    "normal": (Normal(mean=3, std=2), stats.norm(3, 2)),
    "wrapped_normal": (WrappedNormal(mean=350, std=30), stats.norm(350, 30)),
    "truncated": (
        TruncatedNormal(mean=1, std=2, low=0, high=4),
        stats.truncnorm(-0.5, 1.5, loc=1, scale=2),
    ),
    "truncated_tail": (
        TruncatedNormal(mean=0, std=1, low=3),
        stats.truncnorm(3, np.inf),
    ),
    "von_mises": (
        VonMises(mean=90, kappa=4),
        stats.vonmises(4, loc=90 * math.tau / 360, scale=1),
    ),
    "von_mises_flat": (VonMises(mean=0, kappa=0.05), stats.vonmises(0.05)),
    "von_mises_sharp": (VonMises(mean=0, kappa=3000), stats.vonmises(3000)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_quantiles_are_scipys(name):
    ours, theirs = CONTINUOUS[name]
    unit = 360 / math.tau if name.startswith("von_mises") else 1.0
    got = np.array([ours.quantile(u) for u in SHARES])
    expected = theirs.ppf(SHARES) * unit
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-3 * np.std(expected))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_follow_the_distribution(name):
    ours, theirs = CONTINUOUS[name]
    unit = 360 / math.tau if name.startswith("von_mises") else 1.0
    rng = np.random.default_rng(7)
    drawn = np.array([ours.sample(rng) for _ in range(3000)]) / unit
    assert stats.kstest(drawn, theirs.cdf).pvalue > 0.001


def test_a_period_scales_the_circle():
    degrees = VonMises(mean=0, kappa=2)
    radians = VonMises(mean=0, kappa=2, period=math.tau)
    for u in (0.1, 0.5, 0.8):
        assert radians.quantile(u) == pytest.approx(degrees.quantile(u) * math.tau / 360)


def test_truncated_values_stay_inside_far_out_in_the_tail():
    tail = TruncatedNormal(mean=0, std=1, low=5, high=5.5)
    drawn = [tail.quantile(u) for u in (0.0, 1e-9, 0.5, 1 - 1e-12, 1.0)]
    assert all(5 <= value <= 5.5 for value in drawn)


ALL = [
    *(ours for ours, _ in CONTINUOUS.values()),
    Constant(value=4),
    Constant(value="mug"),
    Choice(values=(1, 2, 5)),
    Choice(values=("a", "b"), weights=(1, 3)),
    Mixture(components=(Normal(mean=0, std=1), Uniform(low=5, high=6)), weights=(0.2, 0.8)),
    Mixture(components=(Choice(values=(1, 2)), Constant(value=3))),
]


class Holder(BaseModel):
    prior: Prior


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_written_form_and_pickle_give_the_same_distribution_back(one):
    written = Holder(prior=one).model_dump_json()
    back = Holder.model_validate_json(written).prior
    assert back == one
    assert type(back) is type(one)
    assert pickle.loads(pickle.dumps(one)) == one
    for u in (0.01, 0.4, 0.77):
        assert back.quantile(u) == one.quantile(u)


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_the_same_generator_gives_the_same_values(one):
    a, b = np.random.default_rng(3), np.random.default_rng(3)
    assert [one.sample(a) for _ in range(5)] == [one.sample(b) for _ in range(5)]


numbers = st.floats(-1e3, 1e3)
widths = st.floats(1e-3, 1e3)
continuous = st.one_of(
    st.builds(lambda low, width: Uniform(low=low, high=low + width), numbers, widths),
    st.builds(Normal, mean=numbers, std=widths),
    st.builds(VonMises, mean=numbers, kappa=st.floats(1e-3, 1e4), period=widths),
    st.builds(
        lambda mean, std, low, width: TruncatedNormal(
            mean=mean, std=std, low=mean + low * std, high=mean + (low + width) * std
        ),
        numbers,
        widths,
        st.floats(-3, 3),
        st.floats(0.01, 6),
    ),
)


@given(continuous, st.floats(0, 1), st.floats(0, 1))
@example(VonMises(mean=0.0, kappa=1166.0, period=1.0), 1.0, 2.2250738585e-313)
def test_quantiles_rise(one, a, b):
    low, high = sorted((a, b))
    assert one.quantile(low) <= one.quantile(high)
    assert math.isfinite(one.quantile(high))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=5), st.integers(0, 10**6))
def test_choices_are_as_likely_as_their_weights(weights, seed):
    one = Choice(values=tuple(range(len(weights))), weights=tuple(weights))
    shares = (np.arange(2000) + np.random.default_rng(seed).random()) / 2000
    counts = np.bincount([one.quantile(u) for u in shares], minlength=len(weights))
    np.testing.assert_allclose(counts / 2000, np.array(weights) / sum(weights), atol=2e-3)


def test_a_choice_of_weight_zero_is_never_taken():
    one = Choice(values=("a", "b", "c"), weights=(0, 1, 0))
    assert {one.quantile(u) for u in (0.0, 1e-15, 0.5, 1 - 1e-15)} == {"b"}


def test_a_mixture_has_its_components_shares_and_spreads():
    one = Mixture(components=(Normal(mean=90, std=5), Normal(mean=200, std=10)), weights=(1, 3))
    drawn = np.array([one.quantile(u) for u in (np.arange(20000) + 0.5) / 20000])
    first = drawn < 140
    assert first.mean() == pytest.approx(0.25, abs=1e-3)
    assert drawn[first].mean() == pytest.approx(90, abs=0.05)
    assert drawn[first].std() == pytest.approx(5, rel=0.01)
    assert drawn[~first].mean() == pytest.approx(200, abs=0.05)
    assert drawn[~first].std() == pytest.approx(10, rel=0.01)


def test_a_bare_value_is_a_constant():
    assert Holder(prior=3).prior == Constant(value=3)
    assert Holder(prior="red").prior == Constant(value="red")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"uniform": {"low": 3, "high": 3}}, "low must be below high, got 3 and 3"),
        ({"normal": {"mean": 0, "std": 0}}, "greater than 0"),
        ({"normal": {"mean": 0, "sd": 1}}, "sd"),
        ({"normal": {"mean": 0}}, "Field required"),
        ({"truncated_normal": {"mean": 0, "std": 1, "low": 2, "high": 1}}, "low must be below"),
        ({"truncated_normal": {"mean": 0, "std": 1, "low": 90}}, "no mass is left"),
        ({"von_mises": {"mean": 0, "kappa": -1}}, "greater than 0"),
        ({"choice": {"values": []}}, "at least 1"),
        ({"choice": {"values": [1, 2], "weights": [1]}}, "there must be 2 weights"),
        ({"choice": {"values": [1, 2], "weights": [0, 0]}}, "at least one weight"),
        ({"choice": {"values": [1, 2], "weights": [1, -1]}}, "greater than or equal to 0"),
        ({"mixture": {"components": [{"normal": {"mean": 0}}]}}, "Field required"),
        ({"gaussian": {"mean": 0, "std": 1}}, "gaussian"),
        ({"normal": {"mean": 0, "std": 1}, "uniform": {"low": 0, "high": 1}}, "exactly one key"),
        ({}, "exactly one key"),
        (True, "prior"),
        ([1, 2], "prior"),
    ],
)
def test_mistakes_are_refused(written, said):
    with pytest.raises(ValidationError, match=said):
        Holder(prior=written)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValidationError):
        Holder(prior={"normal": {"mean": value, "std": 1}})
    with pytest.raises(ValidationError):
        Holder(prior={"normal": {"mean": 0, "std": value}})
    with pytest.raises(ValidationError):
        Holder(prior={"uniform": {"low": 0, "high": value}})
    with pytest.raises(ValidationError):
        Holder(prior=value)


@pytest.mark.parametrize(
    "written",
    [
        1e100,
        -1e308,
        {"constant": {"value": 1e308}},
        {"uniform": {"low": -1e308, "high": 1e308}},
        {"uniform": {"low": -1e100, "high": 0}},
        {"normal": {"mean": 1e300, "std": 1}},
        {"normal": {"mean": 0, "std": 1e300}},
        {"truncated_normal": {"mean": 0, "std": 1, "low": -1e300}},
        {"von_mises": {"mean": 0, "kappa": 1, "period": 1e300}},
        {"choice": {"values": [1, 1e300]}},
        {"choice": {"values": [1, 2], "weights": [1e308, 1e308]}},
        {"mixture": {"components": [1, 2], "weights": [1e308, 1e308]}},
    ],
)
def test_numbers_that_cannot_be_computed_with_are_refused(written):
    with pytest.raises(ValidationError, match=r"(less|greater) than"):
        Holder(prior=written)


def test_large_numbers_are_kept_and_computed_with():
    largest = 9.9e99
    one = Uniform(low=-largest, high=largest)
    assert [one.quantile(u) for u in (0.0, 0.5)] == [-largest, 0.0]
    weighted = Choice(values=("a", "b"), weights=(largest, largest))
    assert [weighted.quantile(u) for u in (0.4, 0.6)] == ["a", "b"]
    assert TruncatedNormal(mean=0, std=1, low=-math.inf, high=math.inf).quantile(0.5) == 0


def test_a_distribution_cannot_be_changed():
    one = Normal(mean=0, std=1)
    with pytest.raises(ValidationError):
        one.mean = 3
    assert isinstance(one, Distribution)
