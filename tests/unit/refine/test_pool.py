from __future__ import annotations

import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from metasim.learn.initial import initial_weights
from metasim.refine.pool import ImagePool


def numbered(*numbers: float) -> Tensor:
    """Images (B, 1, 2, 2), each of its number alone."""
    return (
        torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    )


def numbers(images: Tensor | None) -> list[float]:
    assert images is not None
    assert images.shape[1:] == (1, 2, 2)
    return images[:, 0, 0, 0].tolist()


def test_it_is_filled_first_and_gives_back_what_comes() -> None:
    pool = ImagePool(5)
    with initial_weights(0):
        assert numbers(pool.swap(numbered(1, 2, 3))) == [1, 2, 3]
        assert numbers(pool.swap(numbered(4, 5))) == [4, 5]
    assert numbers(pool.images) == [1, 2, 3, 4, 5]


def test_filling_draws_nothing() -> None:
    ImagePool(3).swap(numbered(1, 2, 3))  # a moved generator would fail the test


def test_a_batch_can_fill_it_and_be_swapped_with_itself() -> None:
    pool = ImagePool(1)
    with initial_weights(0):
        given = [numbers(pool.swap(numbered(1, 2))) for pool.images in [None] * 40]
    assert {tuple(one) for one in given} == {(1, 1), (1, 2)}


def test_half_of_what_a_full_one_gives_is_old_from_any_place() -> None:
    size, count = 4, 4000
    pool = ImagePool(size)
    with initial_weights(1):
        pool.swap(numbered(*range(size)))
        places = dict.fromkeys(range(size), 0)
        for number in range(size, size + count):
            before = numbers(pool.images)
            (given,) = numbers(pool.swap(numbered(number)))
            after = numbers(pool.images)
            if given == number:
                assert after == before
                continue
            place = before.index(given)
            places[place] += 1
            assert after == [*before[:place], number, *before[place + 1 :]]
    low, high = binom.interval(0.9999, count, 0.5)
    assert low <= sum(places.values()) <= high
    low, high = binom.interval(0.9999, count, 0.5 / size)
    assert all(low <= found <= high for found in places.values())


@pytest.mark.parametrize("size", [1, 3, 50])
def test_it_never_keeps_more_than_its_size(size: int) -> None:
    pool = ImagePool(size)
    with initial_weights(2):
        for start in range(0, 70, 7):
            assert pool.swap(numbered(*range(start, start + 7))).shape == (7, 1, 2, 2)
            assert len(numbers(pool.images)) == min(size, start + 7)


def test_without_a_size_what_comes_goes_back_and_nothing_is_kept() -> None:
    pool = ImagePool(0)
    images = numbered(1, 2).requires_grad_()
    given = pool.swap(images)
    assert torch.equal(given, images)
    assert not given.requires_grad
    assert pool.images is None


def test_what_is_kept_is_a_copy_without_gradients() -> None:
    pool = ImagePool(2)
    weight = torch.ones((), requires_grad=True)
    images = numbered(1, 2)
    given = pool.swap(weight * images)
    assert not given.requires_grad
    assert pool.images is not None
    assert not pool.images.requires_grad

    pool = ImagePool(2)
    given = pool.swap(images)
    images.fill_(9)
    given.fill_(8)
    assert numbers(pool.images) == [1, 2]


def test_what_was_given_back_is_not_changed_by_later_swaps() -> None:
    pool = ImagePool(2)
    with initial_weights(3):
        given = [pool.swap(numbered(number, number + 1)) for number in range(0, 40, 2)]
        before = [numbers(one) for one in given]
        for number in range(100, 140):
            pool.swap(numbered(number))
    assert [numbers(one) for one in given] == before


def test_equal_seeds_give_equal_images() -> None:
    def given() -> list[float]:
        pool = ImagePool(3)
        with initial_weights(4):
            return [n for start in range(0, 60, 4) for n in numbers(pool.swap(numbered(start)))]

    assert given() == given()
