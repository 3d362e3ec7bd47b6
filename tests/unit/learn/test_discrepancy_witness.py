"""The witness is the functional derivative of its discrepancy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from metasim.learn import options
from metasim.learn.discrepancies import Discrepancy, KernelMMD, make_discrepancy
from metasim.learn.features.base import CLASSES

EVERY: dict[str, options.Discrepancy] = {
    "mmd": options.MMD(),
    "mmd_rational": options.MMD(kernel="rational_quadratic", bandwidths=(1.0,)),
    "mmd_rff": options.RandomFourierMMD(frequencies=64),
    "energy": options.Energy(),
    "sliced_wasserstein": options.SlicedWasserstein(projections=16),
    "coral": options.Coral(),
    "jmmd": options.JointMMD(),
    "classwise_mmd": options.ClasswiseMMD(),
}
BLOCKS = {"trunk": slice(0, 1), "digit readings": slice(1, 3), CLASSES: slice(3, 5)}

every = pytest.mark.parametrize("name", EVERY)


def draw(seed: int, count: int, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    trunk = torch.from_numpy(rng.standard_normal((count, 3)) + shift)
    return torch.cat([trunk, trunk[:, :2].softmax(1)], 1)


def fitted(name: str, target: Tensor, *, unbiased: bool = True) -> Discrepancy:
    discrepancy = make_discrepancy(EVERY[name], seed=5)
    discrepancy.unbiased = unbiased
    discrepancy.fit(target, blocks=BLOCKS)
    return discrepancy


@every
def test_witness_is_the_numerical_functional_derivative(name: str) -> None:
    # Sizes without a common divisor: between equal ones the plan of optimal transport is
    # at a kink, and the derivative would depend on the side.
    discrepancy = fitted(name, draw(0, 29), unbiased=False)
    batch, points = draw(1, 16, shift=0.5), draw(2, 12, shift=0.3)
    eps = 1e-5

    def mixed(point: Tensor) -> float:
        weights = torch.cat([torch.full((16,), (1 - eps) / 16), torch.tensor([eps])]).double()
        return float(discrepancy.value(torch.cat([batch, point[None]]), weights))

    start = float(discrepancy.value(batch))
    numerical = torch.tensor([(mixed(point) - start) / eps for point in points]).double()
    witness = discrepancy.witness(points, batch)
    torch.testing.assert_close(
        witness - witness.mean(), numerical - numerical.mean(), atol=5e-4, rtol=1e-3
    )


@every
def test_a_batch_is_its_own_reference_without_each_row_itself(name: str) -> None:
    discrepancy, batch = fitted(name, draw(0, 30)), draw(1, 20, shift=0.5)
    whole = discrepancy.witness(batch)
    pairs = torch.eye(20, dtype=torch.bool)
    torch.testing.assert_close(discrepancy.witness(batch, batch, exclude=pairs), whole)
    one = torch.cat([batch[:7], batch[8:]])
    torch.testing.assert_close(discrepancy.witness(batch[7:8], one)[0], whole[7])


@every
def test_excluded_pairs_count_as_absent(name: str) -> None:
    discrepancy = fitted(name, draw(0, 30))
    batch, points = draw(1, 24, shift=0.5), draw(2, 5)
    exclude = torch.zeros(5, 24, dtype=torch.bool)
    for row in range(5):
        exclude[row, row * 3 : row * 3 + row] = True  # none, one, two, ... left out
    each = [discrepancy.witness(points[row : row + 1], batch[~exclude[row]])[0] for row in range(5)]
    torch.testing.assert_close(
        discrepancy.witness(points, batch, exclude=exclude), torch.stack(each)
    )


@every
def test_excluded_pairs_of_a_batch_come_on_top_of_its_own(name: str) -> None:
    discrepancy, batch = fitted(name, draw(0, 30)), draw(1, 20, shift=0.5)
    own = torch.eye(20, dtype=torch.bool)
    partner = own.roll(1, 1)
    torch.testing.assert_close(
        discrepancy.witness(batch, exclude=partner),
        discrepancy.witness(batch, batch, exclude=own | partner),
    )


@every
@pytest.mark.parametrize("unbiased", [True, False])
def test_a_comparison_gives_the_same_value_and_witnesses(name: str, unbiased: bool) -> None:
    discrepancy = fitted(name, draw(0, 29), unbiased=unbiased)
    batch = draw(1, 15, shift=0.5)
    beside = discrepancy.compare(batch.requires_grad_())
    torch.testing.assert_close(beside.value(), discrepancy.value(batch).detach())
    torch.testing.assert_close(beside.witness(), discrepancy.witness(batch))
    for rows in (slice(7), slice(7, None)):
        torch.testing.assert_close(beside.witness(rows), discrepancy.witness(batch[rows]))
    assert not beside.witness().requires_grad


@every
def test_a_comparison_of_too_few_is_refused_as_the_witness_is(name: str) -> None:
    discrepancy = fitted(name, draw(0, 29))
    with pytest.raises(ValueError, match="at least 1 reference row"):
        discrepancy.compare(draw(1, 3)).witness(slice(1))


@every
def test_the_witness_is_higher_away_from_the_target(name: str) -> None:
    discrepancy = fitted(name, draw(0, 200))
    batch = draw(1, 100, shift=1.0)
    near, far = draw(2, 50), draw(3, 50, shift=1.0)
    mean_near, mean_far = (float(discrepancy.witness(p, batch).mean()) for p in (near, far))
    assert mean_far > mean_near


@every
def test_the_witness_has_no_gradient(name: str) -> None:
    batch = draw(1, 20).requires_grad_()
    assert not fitted(name, draw(0, 30)).witness(batch).requires_grad


def test_exclusions_that_do_not_fit_are_refused() -> None:
    discrepancy, batch = fitted("mmd", draw(0, 30)), draw(1, 4)
    with pytest.raises(ValueError, match="shape"):
        discrepancy.witness(batch, batch, exclude=torch.zeros(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 1 reference"):
        discrepancy.witness(batch, batch, exclude=torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 1 reference"):
        discrepancy.witness(batch[:1])


# --- gradients of a one-dimensional Gaussian generator --------------------------------------

MEAN, DEVIATION = 0.8, 2.2
GRID = torch.from_numpy(norm.ppf((np.arange(1500) + 0.5) / 1500))


def with_classes(x: Tensor) -> Tensor:
    """A feature and the probabilities of two classes that depend on it, (count, 3)."""
    share = torch.sigmoid(x)
    return torch.stack([x, share, 1 - share], 1)


def gaussian_target(settings: options.Discrepancy) -> Discrepancy:
    """Fitted to a standard normal target, drawn without noise."""
    discrepancy = make_discrepancy(settings, seed=5)
    discrepancy.fit(with_classes(GRID), blocks={"x": slice(0, 1), CLASSES: slice(1, 3)})
    return discrepancy


def score_gradient(discrepancy: Discrepancy, batches: int, size: int) -> tuple[Tensor, Tensor]:
    """Score-function gradient by mean and deviation: its mean and standard error, (2,) each."""
    rng = np.random.default_rng(11)
    gradients = []
    for _ in range(batches):
        z = torch.from_numpy(rng.standard_normal(size))
        witness = discrepancy.witness(with_classes(MEAN + DEVIATION * z))
        score = torch.stack([z, z.square() - 1], 1) / DEVIATION
        # The witness's mean as a baseline: of the other samples, so that nothing is biased.
        baseline = (witness.sum() - witness) / (size - 1)
        gradients.append(((witness - baseline)[:, None] * score).mean(0))
    stacked = torch.stack(gradients)
    return stacked.mean(0), stacked.std(0) / math.sqrt(batches)


@every
def test_the_score_function_gradient_is_the_pathwise_gradient(name: str) -> None:
    discrepancy = gaussian_target(EVERY[name])
    parameters = torch.tensor([MEAN, DEVIATION], dtype=torch.float64, requires_grad=True)
    discrepancy.value(with_classes(parameters[0] + parameters[1] * GRID)).backward()
    assert parameters.grad is not None
    estimate, error = score_gradient(discrepancy, batches=60, size=200)
    assert bool((error < 0.25 * parameters.grad.abs()).all())
    # Besides chance, a bias of O(1 / size) where the witness is no mean over the batch.
    allowed = 4 * error + 0.01 * parameters.grad.abs().max()
    assert bool(((estimate - parameters.grad).abs() <= allowed).all())


def test_the_gradient_of_the_mmd_is_the_closed_form() -> None:
    # E k(x, y) = s / sqrt(v) exp(-m^2 / 2v) with v = s^2 + the sum of both variances.
    discrepancy = gaussian_target(options.MMD(bandwidths=(0.5, 1.0)))
    unit = discrepancy.describe()["bandwidth"]
    parameters = torch.tensor([MEAN, DEVIATION], dtype=torch.float64, requires_grad=True)

    def expected(squared_mean: Tensor, variance: Tensor, bandwidth: float) -> Tensor:
        total = bandwidth**2 + variance
        return bandwidth / total.sqrt() * (-squared_mean / (2 * total)).exp()

    mean, variance = parameters[0], parameters[1].square()
    parts = [
        expected(torch.zeros_like(mean), 2 * variance, s * unit)
        - 2 * expected(mean.square(), variance + 1, s * unit)
        for s in (0.5, 1.0)
    ]
    torch.stack(parts).mean().backward()
    assert parameters.grad is not None
    estimate, error = score_gradient(discrepancy, batches=100, size=200)
    assert bool((error < 0.1 * parameters.grad.abs()).all())
    assert bool(((estimate - parameters.grad).abs() <= 4 * error).all())


def test_the_gradient_of_the_wasserstein_distance_is_the_closed_form() -> None:
    # W2^2 of two normal distributions is (m1 - m2)^2 + (s1 - s2)^2.
    discrepancy = gaussian_target(EVERY["sliced_wasserstein"])
    estimate, error = score_gradient(discrepancy, batches=100, size=200)
    truth = torch.tensor([2 * MEAN, 2 * (DEVIATION - 1)]).double()
    assert bool(((estimate - truth).abs() <= 4 * error + 0.03).all())


def test_the_witness_of_mmd_leaves_out_only_the_row_itself() -> None:
    batch, target = draw(1, 6, shift=0.5), draw(0, 7)
    discrepancy = KernelMMD([1.0])
    discrepancy.fit(target)
    kernel = discrepancy.kernel
    for i, value in enumerate(discrepancy.witness(batch)):
        near = [float(kernel(batch[i : i + 1], batch[j : j + 1])) for j in range(6) if j != i]
        far = [float(kernel(batch[i : i + 1], target[j : j + 1])) for j in range(7)]
        assert float(value) == pytest.approx(2 * np.mean(near) - 2 * np.mean(far))
