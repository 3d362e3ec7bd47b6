"""Generators whose outcome is added to the image, in all methods that have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metasim.learn.initial import initial_weights
from metasim.refine.make import make_method
from metasim.refine.method import Batch, Method
from metasim.refine.networks.resnet import ResnetGenerator
from metasim.refine.networks.simgan import Refiner
from tests.unit.refine.small import small

SIDE = 16
METHODS = ("simgan", "cyclegan", "cut")


def made(name: str, **settings: Any) -> Method:
    options = small(name, batch_size=4, learning_rate=2e-3, **settings)
    return make_method(options, (SIDE, SIDE), 0, seed=0)


def scenes(seed: int, count: int = 16) -> tuple[Tensor, Tensor]:
    """Squares on grounds of many greys, and the ground's grey (N,)."""
    generator = torch.Generator().manual_seed(seed)
    greys = torch.rand(count, generator=generator) - 0.5
    images = greys.view(-1, 1, 1, 1).repeat(1, 3, SIDE, SIDE)
    images[:, :, 5:10, 5:10] = 0.9
    return images, greys


@pytest.mark.parametrize("name", METHODS)
def test_it_begins_with_the_render_as_it_is(name: str) -> None:
    images, _ = scenes(0)
    with torch.no_grad():
        assert torch.equal(made(name, residual=True).eval().refine(images), images)
        assert not torch.equal(made(name).eval().refine(images), images)


@pytest.mark.parametrize("generator", [ResnetGenerator, Refiner])
def test_twice_what_is_made_is_added_so_that_black_can_become_white(
    generator: type[ResnetGenerator] | type[Refiner],
) -> None:
    with initial_weights(0):
        network = generator(4, 1, True)
    last = [one for one in network.modules() if isinstance(one, nn.Conv2d)][-1]
    nn.init.constant_(last.bias, 20.0)  # type: ignore[arg-type]  # tanh is 1
    images, _ = scenes(0)
    torch.testing.assert_close(network(images), images + 2)


@pytest.mark.parametrize("generator", [ResnetGenerator, Refiner])
def test_all_other_layers_begin_as_they_do_without(
    generator: type[ResnetGenerator] | type[Refiner],
) -> None:
    with initial_weights(0):
        plain = generator(4, 1)
    with initial_weights(0):
        other = generator(4, 1, True)
    *before, last, _ = zip(plain.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in before)
    assert float(last[1].detach().abs().max()) == 0 < float(last[0].detach().abs().max())


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
@pytest.mark.parametrize("residual", [True, False])
def test_grounds_keep_their_greys_where_normalising_images_loses_them(
    name: str, residual: bool
) -> None:
    """Both domains have grounds of all greys; the target's squares are darker."""
    method = made(name, residual=residual)
    (sim, greys), (real, _) = scenes(1), scenes(2)
    real[:, :, 5:10, 5:10] = 0.3
    with initial_weights(0):
        for number in range(40):
            rows = torch.randint(len(sim), (4,))
            method.step(number, Batch(sim[rows], real[torch.randint(len(real), (4,))]))
    with torch.no_grad():
        ground = method.eval().refine(sim)[:, :, 3:13, 3].mean((1, 2))
    kept = float(
        (ground - ground.mean()) @ (greys - greys.mean()) / (greys - greys.mean()).norm() ** 2
    )
    assert kept > 0.7 if residual else kept < 0.3


def test_the_other_direction_of_cyclegan_is_residual_too() -> None:
    method = made("cyclegan", residual=True)
    images, _ = scenes(0)
    assert torch.equal(method.get_submodule("to_sim")(images), images)
