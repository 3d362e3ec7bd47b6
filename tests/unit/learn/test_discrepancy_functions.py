"""The pure functions against double loops, scipy, and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance_nd
from torch import Tensor

from metasim.errors import ConfigError, DataError, TrainingError
from metasim.learn.discrepancies import (
    RBF,
    Distance,
    Kernel,
    Polynomial,
    Product,
    RationalQuadratic,
    classwise_mmd2,
    cmmd,
    coral,
    energy_distance,
    fourier_features,
    fourier_mmd2,
    jmmd2,
    kid,
    mmd2,
    scores,
    sliced_wasserstein,
    squared_distances,
)
from metasim.learn.discrepancies import kernels as kernels_module
from metasim.learn.discrepancies.kernels import (
    Mean,
    SameClass,
    frozen_scale,
    kernel_sums,
    mean_kernel,
    pooled,
)

KERNELS: dict[str, tuple[Kernel, Callable[[Tensor, Tensor], float]]] = {
    "rbf": (
        RBF([0.5, 2.0]),
        lambda a, b: sum(math.exp(-float((a - b) @ (a - b)) / (2 * s * s)) for s in (0.5, 2)) / 2,
    ),
    "rational_quadratic": (
        RationalQuadratic([1.5], alpha=0.7),
        lambda a, b: (1 + float((a - b) @ (a - b)) / (2 * 0.7 * 1.5**2)) ** -0.7,
    ),
    "distance": (Distance(), lambda a, b: -float((a - b).norm())),
    "polynomial": (Polynomial(3), lambda a, b: (float(a @ b) / len(a) + 1) ** 3),
    "same_class": (SameClass(), lambda a, b: (1 + len(a) * float(a @ b)) / (1 + len(a))),
    "mean": (
        Mean([RBF([1.0]), Polynomial(1)]),
        lambda a, b: (math.exp(-float((a - b) @ (a - b)) / 2) + float(a @ b) / len(a) + 1) / 2,
    ),
    "product": (
        Product([(slice(0, 2), RBF([1.0])), (slice(2, 3), RBF([3.0]))]),
        lambda a, b: math.exp(
            -float((a[:2] - b[:2]).square().sum()) / 2 - float((a[2] - b[2]) ** 2) / 18
        ),
    ),
}


def draw(seed: int, count: int, width: int = 3, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((count, width)) + shift)


def naive_mmd2(
    x: Tensor,
    y: Tensor,
    k: Callable[[Tensor, Tensor], float],
    unbiased: bool,
    wx: Tensor,
    wy: Tensor,
) -> float:
    def inside(z: Tensor, w: Tensor) -> float:
        total = mass = 0.0
        for i in range(len(z)):
            for j in range(len(z)):
                if i != j or not unbiased:
                    total += float(w[i] * w[j]) * k(z[i], z[j])
                    mass += float(w[i] * w[j])
        return total / mass

    between = sum(
        float(wx[i] * wy[j]) * k(x[i], y[j]) for i in range(len(x)) for j in range(len(y))
    ) / float(wx.sum() * wy.sum())
    return inside(x, wx) + inside(y, wy) - 2 * between


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("name", KERNELS)
def test_mmd_equals_the_double_loop(name: str, unbiased: bool, weighted: bool) -> None:
    kernel, k = KERNELS[name]
    x, y = draw(0, 6), draw(1, 9, shift=0.3)
    wx, wy = torch.ones(6).double(), torch.ones(9).double()
    if weighted:
        wx, wy = draw(2, 6, 1).exp()[:, 0], draw(3, 9, 1).exp()[:, 0]
    expected = naive_mmd2(x, y, k, unbiased, wx, wy)
    given = (wx, wy) if weighted else (None, None)
    value = mmd2(x, y, kernel, unbiased=unbiased, x_weights=given[0], y_weights=given[1])
    assert float(value) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_sums_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weights = draw(0, 11), draw(1, 11, 2)
    exclude = torch.from_numpy(np.random.default_rng(2).random((11, 11)) < 0.3)
    whole = kernel_sums(RBF([1.0]), x, x, weights, same=True, exclude=exclude)
    monkeypatch.setattr(kernels_module, "_BLOCK", 11 * 4)
    blocks = kernel_sums(RBF([1.0]), x, x, weights, same=True, exclude=exclude)
    torch.testing.assert_close(blocks, whole)


def test_distances_survive_features_far_from_the_origin() -> None:
    x, y = draw(0, 5).float() + 1000, draw(1, 7).float() + 1000
    exact = torch.cdist(x.double(), y.double()).square().float()
    torch.testing.assert_close(squared_distances(x, y), exact, rtol=1e-4, atol=1e-4)
    assert float(squared_distances(x, x).min()) >= 0


def test_the_biased_estimate_is_too_large_and_the_unbiased_one_is_not() -> None:
    kernel = RBF([1.0, 2.0])
    pairs = [(draw(2 * i, 50, 2), draw(2 * i + 1, 50, 2)) for i in range(60)]
    fair = torch.stack([mmd2(x, y, kernel) for x, y in pairs])
    high = torch.stack([mmd2(x, y, kernel, unbiased=False) for x, y in pairs])
    error = float(fair.std()) / math.sqrt(len(pairs))
    assert abs(float(fair.mean())) < 4 * error
    assert float(fair.min()) < 0
    assert float(high.mean()) > 10 * error


def test_a_bandwidth_a_fiftieth_of_the_median_is_refused() -> None:
    pool = draw(0, 100, 16)
    scale = frozen_scale(pool)
    with pytest.raises(ConfigError, match=r"too small.*larger bandwidths"):
        mean_kernel(RBF([scale / 50]), pool)
    with pytest.raises(ConfigError, match=r"too large.*smaller bandwidths"):
        mean_kernel(RBF([scale * 100]), pool)
    assert 0.3 < mean_kernel(RBF([scale]), pool) < 0.9


def test_the_scale_is_the_median_over_pairs() -> None:
    assert frozen_scale(torch.tensor([[0.0], [1.0], [3.0]])) == 2.0  # distances 1, 3, 2


def test_the_scale_falls_back_to_the_mean_and_refuses_a_constant() -> None:
    mostly_equal = torch.zeros(9, 2)
    mostly_equal[0] = torch.tensor([3.0, 4.0])
    assert frozen_scale(mostly_equal) == pytest.approx(5 * 8 / 36)
    with pytest.raises(DataError, match="constant"):
        frozen_scale(torch.ones(9, 2))


def test_both_sets_are_equally_well_represented_in_the_pool() -> None:
    assert len(pooled(torch.zeros(5000, 1), torch.ones(1500, 1))) == 2000
    assert float(pooled(torch.zeros(5000, 1), torch.ones(1500, 1)).mean()) == 0.5


def test_energy_distance_of_points_is_twice_their_distance() -> None:
    x, y = torch.zeros(3, 2), torch.tensor([[3.0, 4.0]]).repeat(5, 1)
    assert float(energy_distance(x, y)) == pytest.approx(10.0, rel=1e-5)


def test_energy_distance_of_gaussians_is_the_closed_form() -> None:
    # E|N(m, s)| with m = 1 and s^2 = 2; E|x - x'| = 2 / sqrt(pi).
    folded = math.sqrt(2) * math.sqrt(2 / math.pi) * math.exp(-0.25) + math.erf(0.5)
    expected = 2 * folded - 4 / math.sqrt(math.pi)
    x, y = draw(0, 3000, 1), draw(1, 3000, 1, shift=1.0)
    assert float(energy_distance(x, y)) == pytest.approx(expected, rel=0.1)


def test_fourier_features_approach_the_kernel_and_its_mmd() -> None:
    x, y = draw(0, 30), draw(1, 40, shift=0.5)
    frequencies = draw(2, 3, 20000) / 1.5
    z = fourier_features(x, frequencies)
    torch.testing.assert_close(z.square().sum(1), torch.ones(30).double())
    torch.testing.assert_close(z @ z.T, RBF([1.5])(x, x), atol=0.03, rtol=0)
    for unbiased in (True, False):
        exact = float(mmd2(x, y, RBF([1.5]), unbiased=unbiased))
        assert float(fourier_mmd2(x, y, frequencies, unbiased=unbiased)) == pytest.approx(
            exact, abs=0.01
        )


def test_fourier_mmd_is_exactly_the_mmd_of_its_own_kernel() -> None:
    x, y, frequencies = draw(0, 6), draw(1, 9), draw(2, 3, 5)
    wx, wy = draw(3, 6, 1).exp()[:, 0], draw(4, 9, 1).exp()[:, 0]
    share = torch.tensor([0.1, 0.3, 0.2, 0.2, 0.2]).double()

    def k(a: Tensor, b: Tensor) -> float:
        return float(share @ ((a - b) @ frequencies).cos())

    for unbiased in (True, False):
        value = fourier_mmd2(
            x, y, frequencies, share, unbiased=unbiased, x_weights=wx, y_weights=wy
        )
        assert float(value) == pytest.approx(naive_mmd2(x, y, k, unbiased, wx, wy))


@pytest.mark.parametrize(("m", "n"), [(7, 7), (7, 12), (13, 5), (1, 4)])
def test_sliced_wasserstein_is_exact_optimal_transport_on_each_line(m: int, n: int) -> None:
    x, y = draw(0, m), draw(1, n, shift=0.5)
    directions = torch.nn.functional.normalize(draw(2, 3, 4), dim=0)
    weights = draw(3, m, 1).exp()[:, 0]
    expected = 0.0
    for line in directions.T:
        # W2 on the line by repeating points until both samples have the same size.
        a, b = (x @ line).sort().values, (y @ line).sort().values
        a, b = a.repeat_interleave(n), b.repeat_interleave(m)
        expected += float((a - b).square().mean()) / directions.shape[1]
    assert float(sliced_wasserstein(x, y, directions)) == pytest.approx(expected)
    whole = (weights / weights.min()).round()
    repeated = x.repeat_interleave(whole.long(), dim=0)
    assert float(sliced_wasserstein(x, y, directions, x_weights=whole)) == pytest.approx(
        float(sliced_wasserstein(repeated, y, directions))
    )


def test_sliced_wasserstein_bounds_the_distance_in_the_plane() -> None:
    x, y = draw(0, 15, 2), draw(1, 15, 2, shift=2.0)
    directions = torch.nn.functional.normalize(draw(2, 2, 200), dim=0)
    root = math.sqrt(2 * float(sliced_wasserstein(x, y, directions)))
    assert root >= 0.9 * wasserstein_distance_nd(x.numpy(), y.numpy())


def test_coral_is_the_distance_of_moments() -> None:
    x, y = draw(0, 20), 2 * draw(1, 30, shift=0.5)
    means = (x.mean(0) - y.mean(0)).square().sum() / 3
    covariances = (x.T.cov() - y.T.cov()).square().sum() / 36
    assert float(coral(x, y)) == pytest.approx(float(means + covariances))
    whole = torch.arange(1, 21).double()
    assert float(coral(x, y, x_weights=whole, unbiased=False)) == pytest.approx(
        float(coral(x.repeat_interleave(whole.long(), dim=0), y.repeat(2, 1), unbiased=False))
    )


def test_joint_mmd_sees_a_dependence_between_blocks_that_margins_hide() -> None:
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.standard_normal((300, 1)))
    b = torch.from_numpy(rng.standard_normal((300, 1)))
    dependent = torch.cat([a, a], 1)
    independent = torch.cat([a, b], 1)
    factors: list[tuple[slice, Kernel]] = [(slice(0, 1), RBF([1.0])), (slice(1, 2), RBF([1.0]))]
    null = torch.cat([draw(3, 300, 1), draw(4, 300, 1)], 1)
    assert float(jmmd2(dependent, null, factors)) > 0.02
    assert abs(float(jmmd2(independent, null, factors))) < 0.005


def test_classwise_mmd_is_the_mean_over_classes_of_plain_ones() -> None:
    x, y = draw(0, 20), draw(1, 25, shift=0.5)
    kernel = RBF([1.0])
    x_labels, y_labels = torch.arange(20) % 2, torch.arange(25) % 2
    x_classes = torch.nn.functional.one_hot(x_labels, 3).double()
    y_classes = torch.nn.functional.one_hot(y_labels, 3).double()
    for unbiased in (True, False):
        each = [
            float(mmd2(x[x_labels == c], y[y_labels == c], kernel, unbiased=unbiased))
            for c in (0, 1)
        ]
        value = classwise_mmd2(x, y, x_classes, y_classes, kernel, unbiased=unbiased)
        assert float(value) == pytest.approx(sum(each) / 2)


def test_classwise_mmd_weights_pairs_by_soft_classes() -> None:
    x, y = draw(0, 9), draw(1, 11, shift=0.5)
    p, q = draw(2, 9, 2).softmax(1), draw(3, 11, 2).softmax(1)
    kernel, k = KERNELS["rbf"]
    expected = sum(naive_mmd2(x, y, k, True, p[:, c], q[:, c]) for c in (0, 1)) / 2
    assert float(classwise_mmd2(x, y, p, q, kernel)) == pytest.approx(expected)


def test_classwise_mmd_refuses_sets_without_a_common_class() -> None:
    x = draw(0, 10)
    ones, zeros = torch.ones(10, 1).double(), torch.zeros(10, 1).double()
    first, second = torch.cat([ones, zeros], 1), torch.cat([zeros, ones], 1)
    with pytest.raises(TrainingError, match="at least 3 images"):
        classwise_mmd2(x, x, first, second, RBF([1.0]))


def test_scores_for_reports() -> None:
    x, y = draw(0, 30, 4), draw(1, 40, 4, shift=0.5)
    cube, gauss = KERNELS["polynomial"][1], RBF([10.0])
    ones = torch.ones(40).double()
    assert float(kid(x, y)) == pytest.approx(naive_mmd2(x, y, cube, True, ones[:30], ones))
    assert float(cmmd(x, y)) == pytest.approx(1000 * float(mmd2(x, y, gauss)))
    assert float(cmmd(x, y, unbiased=False)) > float(cmmd(x, y))
    told = scores(x.float(), y.float())
    assert told == pytest.approx({"kid": float(kid(x, y)), "cmmd": float(cmmd(x, y))}, rel=1e-4)
