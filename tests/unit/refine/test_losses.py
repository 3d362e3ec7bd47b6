from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from metasim.refine.losses import divergence, hinge, least_squares, logistic

JUDGEMENTS = torch.tensor([[0.0, 0.5], [2.0, -1.0]])

judgements = st.lists(st.floats(-30, 30), min_size=1, max_size=9).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def test_least_squares_is_the_mean_square_of_what_is_missing() -> None:
    assert float(least_squares(JUDGEMENTS, True)) == (1 + 0.25 + 1 + 4) / 4
    assert float(least_squares(JUDGEMENTS, False)) == (0 + 0.25 + 4 + 1) / 4


@settings(max_examples=50, deadline=None)
@given(judgements)
def test_least_squares_of_real_and_generated_mirror_each_other(judged: Tensor) -> None:
    assert float(least_squares(judged, True)) == pytest.approx(
        float(least_squares(1 - judged, False))
    )
    assert float(least_squares(torch.ones_like(judged), True)) == 0
    assert float(least_squares(torch.zeros_like(judged), False)) == 0


def test_logistic_is_the_cross_entropy_of_logits() -> None:
    def missing(logit: float) -> float:
        return math.log(1 + math.exp(-logit))

    real = (math.log(2) + missing(0.5) + missing(2) + missing(-1)) / 4
    generated = (math.log(2) + missing(-0.5) + missing(-2) + missing(1)) / 4
    assert float(logistic(JUDGEMENTS, True)) == pytest.approx(real)
    assert float(logistic(JUDGEMENTS, False)) == pytest.approx(generated)


@settings(max_examples=50, deadline=None)
@given(judgements)
def test_logistic_of_real_and_generated_mirror_each_other(judged: Tensor) -> None:
    assert float(logistic(judged, True)) == pytest.approx(float(logistic(-judged, False)))
    # log(1 + exp(-x)) - log(1 + exp(x)) is -x.
    assert float(logistic(judged, True) - logistic(judged, False)) == pytest.approx(
        -float(judged.mean()), abs=1e-9
    )


def test_a_logit_that_is_wrong_by_far_is_no_infinity() -> None:
    assert float(logistic(torch.tensor([-1e4]), True)) == pytest.approx(1e4)


def test_hinge_leaves_what_is_beyond_the_margin() -> None:
    assert float(hinge(JUDGEMENTS, True)) == (1 + 0.5 + 0 + 2) / 4
    assert float(hinge(JUDGEMENTS, False)) == (1 + 1.5 + 3 + 0) / 4


@pytest.mark.parametrize(("real", "expected"), [(True, -1.5 / 4), (False, 1.5 / 4)])
def test_the_generators_hinge_has_no_margin(real: bool, expected: float) -> None:
    assert float(hinge(JUDGEMENTS, real, generator=True)) == expected


@settings(max_examples=50, deadline=None)
@given(judgements)
def test_hinge_is_0_beyond_the_margin_alone(judged: Tensor) -> None:
    assert (float(hinge(judged, True)) == 0) == bool((judged >= 1).all())
    assert float(hinge(judged, True)) == pytest.approx(float(hinge(-judged, False)))


def test_divergence_is_summed_over_the_code_and_a_mean_over_the_batch() -> None:
    mean = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert float(divergence(mean)) == 0.5 * (1 + 4) / 2
    log_variance = torch.tensor([[0.0, 0.0], [math.log(4), 0.0]])
    expected = (0.5 * (1 + 4) + 0.5 * (4 - 1 - math.log(4))) / 2
    assert float(divergence(mean, log_variance)) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(3, 5), (2, 3, 4, 2)]))
def test_divergence_is_that_of_torchs_distributions(seed: int, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = torch.randn((2, *shape), generator=generator).double()
    found = kl_divergence(
        Normal(mean, (0.5 * log_variance).exp()),
        Normal(torch.zeros_like(mean), torch.ones_like(mean)),
    )
    assert float(divergence(mean, log_variance)) == pytest.approx(float(found.sum()) / shape[0])
    assert float(divergence(mean)) == pytest.approx(float(divergence(mean, torch.zeros_like(mean))))


def test_divergence_is_0_for_the_standard_normal_alone() -> None:
    zero = torch.zeros(4, 3)
    assert float(divergence(zero)) == float(divergence(zero, zero)) == 0
    assert float(divergence(zero, zero + 0.1)) > 0
    assert float(divergence(zero, zero - 0.1)) > 0
