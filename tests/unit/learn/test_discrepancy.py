"""Laws that hold for every discrepancy: values, gradients, freezing, resuming, mistakes."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.errors import ConfigError, DataError, RunError
from metasim.learn import options
from metasim.learn.discrepancies import RBF, Discrepancy, make_discrepancy, mmd2
from metasim.learn.discrepancies.kernels import frozen_scale
from metasim.learn.features.base import CLASSES

EVERY: dict[str, options.Discrepancy] = {
    "mmd": options.MMD(),
    "mmd_biased": options.MMD(unbiased=False),
    "mmd_rational": options.MMD(kernel="rational_quadratic", bandwidths=(1.0,)),
    "mmd_rff": options.RandomFourierMMD(),
    "energy": options.Energy(),
    "sliced_wasserstein": options.SlicedWasserstein(),
    "coral": options.Coral(),
    "jmmd": options.JointMMD(),
    "classwise_mmd": options.ClasswiseMMD(),
}
WITH_BANDWIDTH = ["mmd", "mmd_rff", "jmmd", "classwise_mmd"]
IGNORE_CLASSES = ["mmd", "mmd_rff", "energy", "sliced_wasserstein", "coral"]
BLOCKS = {"trunk": slice(0, 4), CLASSES: slice(4, 7)}

every = pytest.mark.parametrize("name", EVERY)


def draw(seed: int, count: int, *, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Four features and three class probabilities that depend on them, (count, 7)."""
    rng = np.random.default_rng(seed)
    trunk = torch.from_numpy(rng.standard_normal((count, 4)) * scale + shift)
    return torch.cat([trunk, (trunk[:, :3] - shift).softmax(1)], 1)


def fitted(name: str, target: Tensor, reference: Tensor | None = None) -> Discrepancy:
    discrepancy = make_discrepancy(EVERY[name], seed=3)
    discrepancy.fit(target, reference=reference, blocks=BLOCKS)
    return discrepancy


@every
def test_near_zero_for_equal_distributions_and_positive_for_shifted_ones(name: str) -> None:
    discrepancy = fitted(name, draw(0, 300))
    equal = np.array([float(discrepancy.value(draw(10 + i, 200))) for i in range(8)])
    small = np.array([float(discrepancy.value(draw(30 + i, 200, shift=0.3))) for i in range(8)])
    large = float(discrepancy.value(draw(50, 200, shift=2.0)))
    wide = float(discrepancy.value(draw(51, 200, scale=2.5)))
    assert equal.max() < small.min()
    assert np.abs(equal).max() < 0.05 * large
    assert np.abs(equal).max() < 0.2 * wide
    assert small.max() < large


@every
def test_the_gradient_is_the_numerical_one(name: str) -> None:
    discrepancy = fitted(name, draw(0, 12))
    x = draw(1, 10, shift=0.2).requires_grad_()
    assert torch.autograd.gradcheck(discrepancy.value, (x,), eps=1e-6, atol=1e-6)


@every
def test_the_gradient_moves_a_batch_to_the_target(name: str) -> None:
    discrepancy = fitted(name, draw(0, 100, shift=1.0))
    trunk = draw(1, 60, shift=0.5)[:, :4].clone().requires_grad_()
    classes = draw(1, 60, shift=0.5)[:, 4:]
    step = torch.optim.Adam([trunk], lr=0.02)
    before = float(discrepancy.value(torch.cat([trunk.detach(), classes], 1)))
    for _ in range(60):
        step.zero_grad()
        discrepancy.value(torch.cat([trunk, classes], 1)).backward()
        step.step()
    after = float(discrepancy.value(torch.cat([trunk.detach(), classes], 1)))
    assert after < 0.3 * before
    assert float(trunk.detach().mean()) == pytest.approx(1.0, abs=0.25)


@every
def test_gradients_stay_finite_where_points_coincide(name: str) -> None:
    target = draw(0, 12).float()
    discrepancy = fitted(name, target)
    x = torch.cat([target[:6], target[:6]]).requires_grad_()
    discrepancy.value(x).backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


@every
def test_single_precision_agrees_with_double(name: str) -> None:
    target, x = draw(0, 120), draw(1, 90, shift=0.3)
    double, single = fitted(name, target), fitted(name, target.float())
    assert float(single.value(x.float())) == pytest.approx(float(double.value(x)), abs=2e-5)
    torch.testing.assert_close(
        single.witness(x.float()).double(), double.witness(x), atol=1e-4, rtol=1e-4
    )


@every
def test_weights_count_as_copies(name: str) -> None:
    discrepancy = make_discrepancy(EVERY[name], seed=3)
    discrepancy.unbiased = False  # a copy is a pair of its own only in the biased estimate
    discrepancy.fit(draw(0, 40), blocks=BLOCKS)
    x = draw(1, 12, shift=0.3)
    copies = torch.arange(12) % 3 + 1
    weighted = discrepancy.value(x, copies.double())
    # Which classes have enough images goes by the number of rows: both ways all have.
    assert float(weighted) == pytest.approx(
        float(discrepancy.value(x.repeat_interleave(copies, dim=0)))
    )


@every
def test_a_resumed_one_is_bit_identical(name: str) -> None:
    first = fitted(name, draw(0, 40).float(), draw(1, 60, scale=3.0).float())
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make_discrepancy(EVERY[name], seed=99)  # the seed is in the state
    second.load_state_dict(torch.load(file, weights_only=True))
    x = draw(2, 30, shift=0.5).float()
    assert torch.equal(first.value(x), second.value(x))
    assert torch.equal(first.witness(x), second.witness(x))
    assert first.describe() == second.describe()


@every
def test_the_seed_alone_decides_and_no_global_state_is_touched(name: str) -> None:
    before = torch.random.get_rng_state()
    x = draw(2, 30, shift=0.5)
    assert torch.equal(fitted(name, draw(0, 40)).value(x), fitted(name, draw(0, 40)).value(x))
    assert torch.equal(before, torch.random.get_rng_state())


@every
def test_what_is_described_is_finite_and_plain(name: str) -> None:
    described = fitted(name, draw(0, 40)).describe()
    assert all(type(value) is float and math.isfinite(value) for value in described.values())
    assert described


@every
def test_states_of_another_discrepancy_and_damaged_ones_are_refused(name: str) -> None:
    discrepancy = fitted(name, draw(0, 40))
    state = discrepancy.state_dict()
    with pytest.raises(RunError, match="must hold the state of the discrepancy"):
        discrepancy.load_state_dict({**state, "use": "other"})
    with pytest.raises(RunError, match="missing"):
        discrepancy.load_state_dict({k: v for k, v in state.items() if k != "terms"})


@every
def test_bad_targets_are_refused(name: str) -> None:
    discrepancy = make_discrepancy(EVERY[name], seed=0)
    with pytest.raises(RuntimeError, match="fit"):
        discrepancy.value(draw(0, 5))
    with pytest.raises(DataError, match="at least 2 target images"):
        discrepancy.fit(draw(0, 1), blocks=BLOCKS)
    with pytest.raises(DataError, match="finite"):
        discrepancy.fit(draw(0, 9).fill_(math.nan), blocks=BLOCKS)
    discrepancy.fit(draw(0, 40), blocks=BLOCKS)
    with pytest.raises(ValueError, match=r"\(M, 7\)"):
        discrepancy.value(draw(0, 5)[:, :6])


@pytest.mark.parametrize("name", IGNORE_CLASSES)
def test_the_classes_block_is_left_out(name: str) -> None:
    discrepancy = fitted(name, draw(0, 40))
    x = draw(1, 30, shift=0.5)
    other = torch.cat([x[:, :4], 1 - x[:, 4:]], 1)
    assert torch.equal(discrepancy.value(x), discrepancy.value(other))
    assert torch.equal(discrepancy.witness(x), discrepancy.witness(other))
    bare = make_discrepancy(EVERY[name], seed=3)
    bare.fit(draw(0, 40)[:, :4])
    assert torch.equal(discrepancy.value(x), bare.value(x[:, :4]))


@pytest.mark.parametrize("name", ["jmmd", "classwise_mmd"])
def test_the_classes_block_counts(name: str) -> None:
    discrepancy = fitted(name, draw(0, 60))
    x = draw(1, 60)
    other = torch.cat([x[:, :4], x[:, 4:].roll(1, 1)], 1)
    assert float(discrepancy.value(other)) > float(discrepancy.value(x)) + 0.01


@pytest.mark.parametrize("name", WITH_BANDWIDTH)
def test_the_bandwidth_is_the_median_frozen_and_widened_by_the_reference(name: str) -> None:
    target, wide = draw(0, 50), draw(1, 80, scale=6.0)
    key = "bandwidth_trunk" if name == "jmmd" else "bandwidth"
    alone, pooled = fitted(name, target), fitted(name, target, wide)
    both = torch.cat([target, wide])[:, :4]
    assert alone.describe()[key] == pytest.approx(frozen_scale(target[:, :4]))
    assert pooled.describe()[key] == pytest.approx(frozen_scale(both))
    alone.value(draw(2, 50, scale=30.0))
    assert alone.describe()[key] == pytest.approx(frozen_scale(target[:, :4]))


@pytest.mark.parametrize("name", WITH_BANDWIDTH)
def test_a_constant_target_needs_a_reference(name: str) -> None:
    constant = draw(0, 1).repeat(20, 1)
    with pytest.raises(DataError, match="constant"):
        fitted(name, constant)
    assert float(fitted(name, constant, draw(1, 50)).value(draw(2, 30))) > 0.05


@pytest.mark.parametrize(
    "settings",
    [
        options.MMD(bandwidths=(0.02,)),
        options.RandomFourierMMD(bandwidths=(0.02,)),
        options.ClasswiseMMD(bandwidths=(0.02,)),
        options.MMD(bandwidths=(50.0,)),
    ],
)
def test_a_bandwidth_that_makes_the_discrepancy_flat_is_refused(
    settings: options.Discrepancy,
) -> None:
    discrepancy = make_discrepancy(settings, seed=0)
    with pytest.raises(ConfigError, match=r"discrepancy\.bandwidths.*\[0\.001, 0\.999\]"):
        discrepancy.fit(draw(0, 100), blocks=BLOCKS)


def test_classwise_mmd_says_what_it_needs() -> None:
    discrepancy = make_discrepancy(options.ClasswiseMMD(), seed=0)
    with pytest.raises(ConfigError, match="predict classes"):
        discrepancy.fit(draw(0, 20))
    with pytest.raises(DataError, match="at least 3 target images"):
        discrepancy.fit(draw(0, 4), blocks=BLOCKS)


def test_joint_mmd_takes_a_single_class() -> None:
    target = draw(0, 30)
    target[:, 4:] = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    x = draw(1, 30, shift=1.0)
    x[:, 4:] = target[:, 4:]
    assert float(fitted("jmmd", target).value(x)) > 0.05


def test_fourier_frequencies_are_shared_equally_by_the_bandwidths() -> None:
    target, x = draw(0, 80), draw(1, 60, shift=0.7)
    exact = make_discrepancy(options.MMD(bandwidths=(0.5, 1.0, 2.0)), seed=0)
    linear = make_discrepancy(
        options.RandomFourierMMD(frequencies=20000, bandwidths=(0.5, 1.0, 2.0)), seed=0
    )
    for discrepancy in (exact, linear):
        discrepancy.fit(target, blocks=BLOCKS)
    assert float(linear.value(x)) == pytest.approx(float(exact.value(x)), abs=0.005)
    torch.testing.assert_close(linear.witness(x), exact.witness(x), atol=0.03, rtol=0)


def test_an_uneven_number_of_frequencies_still_weighs_the_bandwidths_equally() -> None:
    discrepancy = make_discrepancy(
        options.RandomFourierMMD(frequencies=3, bandwidths=(0.5, 2.0)), seed=0
    )
    discrepancy.fit(draw(0, 80), blocks=BLOCKS)
    assert discrepancy.state_dict()["terms"]["weights"].tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("name", ["mmd", "mmd_rational", "energy", "jmmd"])
def test_the_kernel_is_that_of_the_value(name: str) -> None:
    target, x = draw(0, 40), draw(1, 30, shift=0.5)
    discrepancy = fitted(name, target)
    assert discrepancy.kernel is not None
    assert float(mmd2(x, target, discrepancy.kernel)) == pytest.approx(float(discrepancy.value(x)))


READ = {"digit": slice(0, 6), CLASSES: slice(6, 9), "digit readings": slice(9, 11)}


def seen(seed: int, count: int, spread: float) -> Tensor:
    """Features that differ from one object to the next, and readings of about 0, (count, 11)."""
    rng = np.random.default_rng(seed)
    objects = torch.from_numpy(rng.standard_normal((count, 6)))
    read = torch.from_numpy(rng.standard_normal((count, 2)) * (0.02**2 + spread**2) ** 0.5)
    return torch.cat([objects, torch.full((count, 3), 1 / 3, dtype=torch.float64), read], 1)


def wide(seed: int, count: int) -> Tensor:
    found = seen(seed, count, 0.0)
    found[:, 9:] = torch.from_numpy(np.random.default_rng(seed + 1).uniform(-1, 1, (count, 2)))
    return found


def comparing(*, readings: bool) -> Discrepancy:
    discrepancy = make_discrepancy(options.MMD(readings=readings), seed=0)
    discrepancy.fit(seen(0, 750, 0.0), reference=wide(5, 600), blocks=READ)
    return discrepancy


def test_readings_tell_a_narrow_target_from_one_a_little_wider() -> None:
    told = {}
    for readings in (True, False):
        discrepancy = comparing(readings=readings)
        narrow, wider = (
            np.array([float(discrepancy.value(seen(10 + i, 128, spread))) for i in range(12)])
            for spread in (0.0, 0.06)
        )
        told[readings] = (wider.mean() - narrow.mean()) / narrow.std()
    assert told[False] < 1.5
    assert told[True] > 8


def test_readings_are_one_more_mmd_around_their_median_distance_in_the_target() -> None:
    target, x = seen(0, 750, 0.0), seen(3, 60, 0.1)
    own = RBF([float(torch.pdist(target[:, 9:]).median()) * m for m in (0.25, 0.5, 1.0, 2.0)])
    near = mmd2(x[:, 9:], target[:, 9:], own) / 2  # classes that tell nothing
    with_them, without = comparing(readings=True), comparing(readings=False)
    torch.testing.assert_close(with_them.value(x), (near + without.value(x)) / 2)


def test_readings_that_go_with_the_class_are_told_from_those_that_do_not() -> None:
    """As many aside to either hand as in the target; but there, whatever the class is."""
    rng = np.random.default_rng(0)

    def batch(seed: int, count: int, *, by_class: bool) -> Tensor:
        found = seen(seed, count, 0.0)
        side = rng.integers(0, 2, count)
        kind = side if by_class else rng.integers(0, 2, count)
        found[:, 6:9] = torch.eye(3, dtype=torch.float64)[kind]
        found[:, 9] += 0.05 * torch.from_numpy(2.0 * side - 1)
        return found

    discrepancy = make_discrepancy(options.MMD(), seed=0)
    discrepancy.fit(batch(0, 750, by_class=False), reference=wide(5, 600), blocks=READ)
    free, bound = (
        np.array([float(discrepancy.value(batch(10 + i, 128, by_class=b))) for i in range(12)])
        for b in (False, True)
    )
    assert (bound.mean() - free.mean()) / free.std() > 5


def test_the_test_at_the_end_leaves_the_readings_own_scale_out() -> None:
    x, y = seen(3, 30, 0.1), seen(4, 20, 0.0)
    with_them, without = comparing(readings=True).kernel, comparing(readings=False).kernel
    assert with_them is not None
    assert without is not None
    torch.testing.assert_close(with_them(x, y), without(x, y))


def test_readings_that_are_all_equal_are_compared_on_the_scale_of_the_reference() -> None:
    discrepancy = make_discrepancy(options.MMD(), seed=0)
    target = seen(0, 50, 0.0)
    target[:, 9:] = 0.25
    discrepancy.fit(target, reference=wide(5, 60), blocks=READ)
    assert float(discrepancy.value(wide(7, 40))) > 0.01
