"""Laws of randomised appearance."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from metasim.learn.features.appearance import (
    Looks,
    apply_looks,
    draw_looks,
    randomise_appearance,
)

SIZES = [(1, 1), (7, 5), (16, 16), (32, 24)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 8, size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.rand(count, 3, *size, generator=generator(9))


def plain(count: int, size: tuple[int, int], *, gain: float = 1.0, blur: float = 0.0) -> Looks:
    """Looks that do one thing alone."""
    ones = torch.ones(count, 1, 1, 1)
    return Looks(blur * ones, gain * ones, torch.zeros(count, 1, *size))


@pytest.mark.parametrize("size", SIZES)
def test_shape_type_and_range_are_kept(size: tuple[int, int]) -> None:
    given = images(size=size)
    found = randomise_appearance(given, generator())
    assert found.shape == given.shape
    assert found.dtype == given.dtype
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_the_generator_alone_decides() -> None:
    given = images()
    first = randomise_appearance(given, generator(1))
    assert torch.equal(first, randomise_appearance(given, generator(1)))
    assert not torch.equal(first, randomise_appearance(given, generator(2)))


def test_every_image_has_looks_of_its_own() -> None:
    same = images(1).expand(6, -1, -1, -1)
    found = randomise_appearance(same, generator())
    assert len({tuple(image.flatten().tolist()) for image in found}) == 6


def test_half_of_the_images_are_inverted() -> None:
    looks = draw_looks(2000, (4, 4), generator())
    assert float((looks.gain < 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert 0.4 <= float(looks.gain.abs().min()) <= float(looks.gain.abs().max()) <= 1.0


def test_it_is_differentiable_and_moves_nothing() -> None:
    given = images(4).requires_grad_()
    looks = draw_looks(4, (16, 16), generator())
    (slope,) = torch.autograd.grad(apply_looks(given, looks)[:, 0, 5, 9].sum(), given)
    touched = torch.nonzero(slope)
    assert len(touched)
    # A pixel depends on those within the reach of the blur, in its own channel.
    assert bool((touched[:, 1] == 0).all())
    assert int((touched[:, 2] - 5).abs().max()) <= 2
    assert int((touched[:, 3] - 9).abs().max()) <= 2


def test_geometry_survives() -> None:
    # A dot's place can be read back from what is left of it, whatever its looks.
    dots = torch.zeros(64, 3, 16, 16)
    places = torch.randint(4, 12, (64, 2), generator=generator())
    for image, (row, column) in zip(dots, places.tolist(), strict=True):
        image[:, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    looks = draw_looks(64, (16, 16), generator(3))
    quiet = Looks(looks.blur, looks.gain, 0.5 - 0.5 * looks.gain)
    found = apply_looks(dots, Looks(quiet.blur, quiet.gain, quiet.offset.expand(-1, 1, 16, 16)))
    contrast = (found - found[:, :, :1, :1]).abs().mean(dim=1)
    rows = (contrast.sum(dim=2) * torch.arange(16)).sum(dim=1) / contrast.sum(dim=(1, 2))
    torch.testing.assert_close(rows, places[:, 0].float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_the_blur_is_two_means_over_neighbours(size: tuple[int, int]) -> None:
    given = images(3, size)
    padded = F.pad(given, (2, 2, 2, 2), mode="replicate")
    wanted = F.avg_pool2d(F.avg_pool2d(padded, 3, stride=1), 3, stride=1)
    found = apply_looks(given, plain(3, size, blur=1.0))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert torch.equal(apply_looks(given, plain(3, size)), given)


def test_shading_is_smooth_and_noise_is_not() -> None:
    looks = draw_looks(300, (32, 32), generator())
    offset = looks.offset[:, 0]
    rough = (offset[:, 1:] - offset[:, :-1]).std(dim=(1, 2))
    assert float(rough.min()) < 0.02 < float(rough.max())
    # Averaged over blocks, the noise is gone and shading is left.
    blocks = F.avg_pool2d(looks.offset, 8).flatten(1)
    assert float(blocks.std(dim=1).median()) > 0.03


def test_looks_can_be_picked() -> None:
    looks = draw_looks(5, (16, 16), generator())
    given = images(2)
    rows = torch.tensor([3, 0])
    alone = torch.cat([apply_looks(given[i : i + 1], looks[rows[i : i + 1]]) for i in range(2)])
    torch.testing.assert_close(apply_looks(given, looks[rows]), alone)
