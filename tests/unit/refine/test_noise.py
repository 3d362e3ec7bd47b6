"""Noise on what discriminators see, in all methods that have some."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metasim.learn.initial import initial_weights
from metasim.refine.make import make_method
from metasim.refine.method import Batch, Method
from metasim.refine.networks.patch import PatchDiscriminator
from metasim.refine.networks.simgan import LocalDiscriminator
from metasim.refine.networks.spade import MultiscaleDiscriminator
from metasim.refine.networks.unit import StridedDiscriminator
from metasim.refine.team import Team
from tests.unit.refine.small import METHODS, small

SIDE, COUNT = 16, 16
SETTINGS: dict[str, dict[str, Any]] = {
    "simgan": {"refiner_warmup": 0, "discriminator_warmup": 0},
    "spade": {"render": True, "condition": []},
}
# How often some are shown: generated images twice and a domain's own once, to each of the
# discriminators; SPADE's see both at once.
SEEN = {"cyclegan": 6, "unit": 6, "spade": 2}
JUDGES = (PatchDiscriminator, LocalDiscriminator, MultiscaleDiscriminator, StridedDiscriminator)


def made(name: str, noise: float) -> Method:
    options = small(name, batch_size=COUNT, noise=noise, **SETTINGS.get(name, {}))
    return make_method(options, (SIDE, SIDE), 0, seed=0)


class Ones(Team):
    """Draws ones, so that what noise does can be told from what else a step draws."""

    def normal(self, mine: Tensor) -> Tensor:
        return torch.ones_like(mine)


def shown(name: str, noise: float) -> list[Tensor]:
    """The images that discriminators see in a step that changes no network."""
    method, seen = made(name, noise), list[Tensor]()

    def note(_: nn.Module, given: tuple[Tensor]) -> None:
        seen.append(given[0].detach()[:, -3:])  # behind what they are shown with

    for network in method.modules():
        if isinstance(network, JUDGES):
            network.register_forward_pre_hook(note)
    method.descend = lambda *_: None  # type: ignore[method-assign]
    method.team = Ones()
    generator = torch.Generator().manual_seed(0)
    sim, real = (torch.rand(COUNT, 3, SIDE, SIDE, generator=generator) for _ in range(2))
    with initial_weights(1):
        method.step(0, Batch(sim, real))
    return seen


@pytest.mark.parametrize("name", METHODS)
def test_all_images_that_discriminators_see_have_it(name: str) -> None:
    plain, noisy = shown(name, 0.0), shown(name, 0.5)
    assert len(plain) == len(noisy) == SEEN.get(name, 3)
    for before, after in zip(plain, noisy, strict=True):
        torch.testing.assert_close(after, before + 0.5)


def test_it_is_normal_and_new_each_time() -> None:
    method, images = made("cut", 0.5), torch.zeros(COUNT, 3, SIDE, SIDE)
    with initial_weights(0):
        one, other = method.noisy(images), method.noisy(images)
    assert not torch.equal(one, other)
    for noise in (one, other):
        assert float(noise.mean()) == pytest.approx(0, abs=0.02)
        assert float(noise.std()) == pytest.approx(0.5, abs=0.02)
    assert made("cut", 0.0).noisy(images) is images
