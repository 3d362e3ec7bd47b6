"""The permutation test is exact under the null and notices a difference."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from metasim.learn import options
from metasim.learn.discrepancies import RBF, make_discrepancy, mmd2
from metasim.learn.features.base import CLASSES
from metasim.learn.significance import (
    _splits,
    _statistics,
    permutation_p_value,
    smallest_p_value,
)


def draw(rng: np.random.Generator, count: int, shift: float = 0.0) -> Tensor:
    return torch.from_numpy(rng.standard_normal((count, 3)) + shift).float()


def test_the_statistics_are_the_mmd_of_each_split() -> None:
    rng = np.random.default_rng(0)
    both = draw(rng, 11).double()
    kernel = RBF([1.0])
    splits = _splits(4, 11, 6, rng).double()
    assert splits.sum(1).tolist() == [4.0] * 7
    assert splits[0].tolist() == [1.0] * 4 + [0.0] * 7
    gram = kernel(both, both).fill_diagonal_(0)
    for split, statistic in zip(splits, _statistics(gram, splits), strict=True):
        inside = split.bool()
        assert float(statistic) == pytest.approx(float(mmd2(both[inside], both[~inside], kernel)))


def test_rejections_under_the_null_are_as_frequent_as_they_should_be() -> None:
    rng = np.random.default_rng(1)
    values = np.array(
        [
            permutation_p_value(draw(rng, 15), draw(rng, 22), permutations=99, generator=rng)
            for _ in range(300)
        ]
    )
    for alpha in (0.05, 0.2, 0.5, 0.8):
        low, high = binom.interval(0.9995, len(values), alpha)
        assert low <= (values <= alpha).sum() <= high


def test_a_shift_is_noticed_and_more_so_with_more_images() -> None:
    rng = np.random.default_rng(2)

    def power(count: int) -> float:
        hits = [
            permutation_p_value(
                draw(rng, count), draw(rng, count, 0.6), permutations=99, generator=rng
            )
            <= 0.05
            for _ in range(30)
        ]
        return float(np.mean(hits))

    few, many = power(6), power(50)
    assert few < 0.8
    assert many > 0.9


@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (4, 4), (3, 5), (25, 2), (25, 3), (25, 25)])
def test_the_smallest_p_value_is_that_of_sets_far_apart(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    found = [
        permutation_p_value(draw(rng, sizes[0]), draw(rng, sizes[1], 1000.0), generator=rng)
        for _ in range(40)
    ]
    # 20 000 permutations: an error of at most 0.0033 in the mean.
    assert smallest_p_value(*sizes) == pytest.approx(np.mean(found), abs=0.01)


def test_the_p_value_lies_between_one_over_all_and_one() -> None:
    rng = np.random.default_rng(3)
    apart = permutation_p_value(draw(rng, 30), draw(rng, 30, 9.0), permutations=49, generator=rng)
    assert apart == pytest.approx(1 / 50)
    same = torch.ones(10, 3)
    assert permutation_p_value(same, same, permutations=49, generator=rng) == 1.0


def test_the_generator_alone_decides() -> None:
    rng = np.random.default_rng(4)
    x, y = draw(rng, 20), draw(rng, 20, 0.3)
    first, second = (
        permutation_p_value(x, y, generator=np.random.default_rng(7)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    "settings",
    [kind() for kind in get_args(get_args(options.Discrepancy)[0])],
    ids=lambda settings: settings.use,
)
def test_every_discrepancy_lends_its_kernel(settings: options.Discrepancy) -> None:
    rng = np.random.default_rng(5)

    def images(count: int, shift: float) -> Tensor:
        trunk = draw(rng, count, shift)
        return torch.cat([trunk, trunk[:, :2].softmax(1)], 1)

    discrepancy = make_discrepancy(settings, seed=0)
    discrepancy.fit(images(60, 0), blocks={"trunk": slice(0, 3), CLASSES: slice(3, 5)})
    held_out = images(60, 0)
    far, near = (
        permutation_p_value(
            images(60, shift), held_out, kernel=discrepancy.kernel, permutations=199, generator=rng
        )
        for shift in (1.0, 0.0)
    )
    assert far == pytest.approx(1 / 200)
    assert near > 1 / 200


def test_the_given_kernel_is_used() -> None:
    rng = np.random.default_rng(6)
    x, y = draw(rng, 40), draw(rng, 40, 1.0)
    blind = RBF([1e-6])  # sees no two points as alike, so every split is a tie
    assert permutation_p_value(x, y, kernel=blind, permutations=49, generator=rng) == 1.0
    assert permutation_p_value(x, y, permutations=49, generator=rng) < 0.05


def test_too_few_images_are_refused() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(ValueError, match="at least 2 feature vectors"):
        permutation_p_value(draw(rng, 1), draw(rng, 9), generator=rng)
    with pytest.raises(ValueError, match="1 permutation"):
        permutation_p_value(draw(rng, 5), draw(rng, 9), permutations=0, generator=rng)
