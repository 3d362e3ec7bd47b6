from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from metasim.errors import DataError
from metasim.refine.measures import (
    farther,
    frechet_distance,
    kernel_distance,
    measures,
    similarity,
)


def sample(count: int, width: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return scale * drawn + shift


def test_fid_is_that_of_the_formula() -> None:
    x, y = sample(300, 5, 0), sample(200, 5, 1, shift=0.5, scale=2.0)
    a, b = (np.cov(one.double().numpy(), rowvar=False) for one in (x, y))
    apart = (x.double().mean(0) - y.double().mean(0)).pow(2).sum()
    wanted = float(apart) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_distance(x, y) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_fid_of_gaussians_that_differ_in_their_mean_is_the_distance_squared() -> None:
    x = sample(400, 3, 0)
    assert frechet_distance(x, x + 2) == pytest.approx(12, rel=1e-4)


def test_kid_is_the_unbiased_mmd_of_a_cubic_kernel() -> None:
    """With subsets of half of each sample its mean comes near that of the whole."""
    x, y = sample(60, 4, 0), sample(60, 4, 1, shift=1.0)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / 4 + 1) ** 3

    def within(a: Tensor) -> float:
        k = kernel(a, a)
        return float((k.sum() - k.trace()) / (len(a) * (len(a) - 1)))

    wanted = within(x) + within(y) - 2 * float(kernel(x, y).mean())
    found = kernel_distance(x, y, seed=3, subsets=400)
    assert found.mean == pytest.approx(wanted, rel=0.15)
    assert found.deviation > 0


def test_kid_of_the_same_distribution_is_about_0_and_follows_from_its_seed() -> None:
    x, y = sample(200, 4, 0), sample(200, 4, 1)
    one = kernel_distance(x, y, seed=3)
    assert abs(one.mean) < 3 * one.deviation
    assert kernel_distance(x, y, seed=3) == one
    assert kernel_distance(x, y, seed=4) != one


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    kernel_distance(sample(20, 4, 0), sample(20, 4, 1), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_ssim_is_1_of_the_same_and_less_of_others() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 16, 16, 3)).astype(np.uint8)
    assert similarity(images, images) == pytest.approx(1)
    noisy = np.clip(images.astype(int) + rng.integers(-20, 21, images.shape), 0, 255).astype("u1")
    near, far = similarity(noisy, images), similarity(255 - images, images)
    assert near.shape == (70,)
    assert (near > far).all()
    assert near.max() < 1
    one = similarity(noisy[3:4], images[3:4])
    assert one[0] == pytest.approx(near[3], abs=1e-6)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 4)), ((5,), (5, 3))])
def test_samples_that_say_nothing_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    x, y = (torch.zeros(shape) for shape in shapes)
    for measure in (frechet_distance, lambda a, b: kernel_distance(a, b, 0)):
        with pytest.raises(DataError, match="must be"):
            measure(x, y)


def test_images_of_other_sizes_are_refused() -> None:
    images = np.zeros((2, 16, 16, 3), np.uint8)
    for other in (images[:1], images[:, :8], images[:, :6, :6]):
        with pytest.raises(DataError, match="as many and as large"):
            similarity(images if other.shape[1] > 6 else other, other)


def test_refined_images_that_look_like_the_target_s_are_nearer_and_the_same_are_the_same() -> None:
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 100, (60, 16, 16, 3)).astype(np.uint8)
    real = 255 - rng.integers(0, 100, (40, 16, 16, 3)).astype(np.uint8)
    better = measures(plain, 255 - plain, real, seed=0)
    for name in ("fid", "kid", "mmd"):
        assert better[name] < 0.2 * better[f"{name}_unrefined"], name
    same = measures(plain, plain, real, seed=0)
    assert same["ssim"] == pytest.approx(1)
    assert same["fid"] == same["fid_unrefined"] == better["fid_unrefined"]
    assert same["kid_unrefined"] < 100  # features on a scale of their own would give millions


def test_refining_that_leads_away_from_the_target_is_told() -> None:
    rng = np.random.default_rng(0)
    near, real, far = (
        (start + rng.integers(0, 100, (40, 16, 16, 3))).astype(np.uint8) for start in (20, 0, 150)
    )
    (problem,) = farther(measures(near, far, real, seed=0))
    assert problem.startswith("refined images are farther from the target's than plain renders")
    assert not farther(measures(far, near, real, seed=0))
    assert not farther(measures(near, near, real, seed=0)), "not changed is not farther"


def test_what_nobody_sees_does_not_decide_where_images_are_much_alike() -> None:
    """Grounds of one grey, but for a square: a shade of the ground counts less than the square."""
    rng = np.random.default_rng(0)

    def scenes(square: int, ground: int) -> np.ndarray:
        images = np.full((40, 32, 32, 3), ground, np.uint8)
        images[:, 12:20, 12:20] = (square + rng.integers(-20, 20, (40, 1, 1, 1))).astype(np.uint8)
        return images

    plain, real = scenes(220, 80), scenes(60, 80)
    found = measures(plain, scenes(60, 82), real, seed=0)
    for name in ("fid", "kid"):
        assert found[name] < 0.1 * found[f"{name}_unrefined"], name


def test_few_images_are_measured_by_the_scale_of_many() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 100, (200, 16, 16, 3)).astype(np.uint8)
    plain = (150 + rng.integers(0, 100, (200, 16, 16, 3))).astype(np.uint8)
    refined = (20 + rng.integers(0, 100, (200, 16, 16, 3))).astype(np.uint8)
    many = measures(plain, refined, real, seed=0)
    few = measures(plain[:20], refined[:20], real, seed=0)
    for name in ("kid", "kid_unrefined", "mmd_unrefined"):
        assert few[name] == pytest.approx(many[name], rel=0.15), name
