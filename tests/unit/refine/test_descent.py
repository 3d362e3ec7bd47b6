"""A step down a loss moves the weights of one optimiser."""

from __future__ import annotations

import torch
from torch import nn

from metasim.learn.initial import initial_weights
from metasim.refine.descent import descend


def test_only_the_optimisers_own_weights_move_and_get_gradients() -> None:
    with initial_weights(0):
        generator, discriminator = nn.Linear(3, 3), nn.Linear(3, 1)
    before = [one.detach().clone() for one in (generator.weight, discriminator.weight)]
    loss = discriminator(generator(torch.ones(2, 3))).square().mean()
    descend(torch.optim.SGD(generator.parameters(), 0.1), loss)
    assert not torch.equal(generator.weight, before[0])
    assert torch.equal(discriminator.weight, before[1])
    assert discriminator.weight.grad is None


def test_it_is_the_gradient_of_this_loss_alone() -> None:
    weight = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimiser = torch.optim.SGD([weight], 0.5)
    descend(optimiser, (weight * torch.tensor([1.0, 4.0])).sum())
    assert weight.tolist() == [1.5, -3.0]
    descend(optimiser, weight[0] * 2)  # what the step before left is gone
    assert weight.tolist() == [0.5, -3.0]


def test_weights_that_a_loss_does_not_depend_on_stay() -> None:
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    descend(torch.optim.Adam([used, unused], 0.1), used.sum())
    assert used.item() < 1
    assert unused.item() == 1
