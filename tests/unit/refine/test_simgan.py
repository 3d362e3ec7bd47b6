"""SimGAN has the paper's layers, losses, history and order of training, and goes on as it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.learn.archive import pack, unpack
from metasim.learn.initial import initial_weights
from metasim.refine.method import Batch
from metasim.refine.methods.simgan import History, SimGANMethod, local_cross_entropy
from metasim.refine.networks.simgan import LocalDiscriminator, Refiner
from metasim.refine.options import SimGAN

SIZE = (16, 20)


def options(**given: Any) -> SimGAN:
    small = {"batch_size": 4, "width": 8, "blocks": 2, "history": 6, "noise": 0.0}
    return SimGAN(**{**small, "refiner_warmup": 0, "discriminator_warmup": 0, **given})


def method(seed: int = 0, **given: Any) -> SimGANMethod:
    with initial_weights(seed):
        return SimGANMethod(options(**given), SIZE)


def squares(ground: float, square: float, seed: int, count: int = 4) -> Tensor:
    """Images (count, 3, 16, 20) of a square somewhere on a plain ground."""
    images = torch.full((count, 3, *SIZE), ground)
    places = torch.randint(0, 10, (count, 2), generator=torch.Generator().manual_seed(seed))
    for image, (row, column) in zip(images, places.tolist(), strict=True):
        image[:, row : row + 6, column : column + 6] = square
    return images


def batch(number: int = 0, count: int = 4) -> Batch:
    return Batch(squares(-0.9, -0.3, 2 * number, count), squares(0.2, 0.8, 2 * number + 1, count))


def train(made: SimGANMethod, start: int, stop: int) -> list[dict[str, Tensor]]:
    losses = []
    for number in range(start, stop):
        with initial_weights(number):
            losses.append(made.step(number, batch(number)))
    return losses


def weights(network: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def blank(network: nn.Module) -> None:
    """Set all weights to 0: a refiner's images are grey, a discriminator is undecided."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()


# --- networks ------------------------------------------------------------------------------


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """Inputs, outputs, side and stride of all convolutions, in order."""
    return [
        (one.in_channels, one.out_channels, one.kernel_size[0], one.stride[0])
        for one in network.modules()
        if isinstance(one, nn.Conv2d)
    ]


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_refiner_is_the_paper_s() -> None:
    settings = SimGAN(preset="paper")
    with initial_weights(0):
        refiner = Refiner(settings.width, settings.blocks)
    assert convolutions(refiner) == [(3, 64, 3, 1), *[(64, 64, 3, 1)] * 8, (64, 3, 1, 1)]
    first, last = 3 * 3 * 3 * 64 + 64, 64 * 3 + 3
    block = 2 * (3 * 3 * 64 * 64 + 64)
    assert parameters(refiner) == first + 4 * block + last == 297_411
    kinds = {type(one) for one in refiner.modules() if not [*one.children()]}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.Tanh}  # nothing is normalised


def test_a_residual_block_rectifies_the_sum() -> None:
    with initial_weights(0):
        refiner = Refiner(4, 1)
    first, relu, block, _, _ = refiner.layers
    maps = relu(first(squares(-0.5, 0.5, 0)))
    inner, _, outer = block.layers  # type: ignore[union-attr, misc]
    assert torch.equal(block(maps), F.relu(maps + outer(F.relu(inner(maps)))))


def test_the_discriminator_is_the_paper_s() -> None:
    with initial_weights(0):
        discriminator = LocalDiscriminator()
    assert convolutions(discriminator) == [
        (3, 96, 3, 2), (96, 64, 3, 2), (64, 32, 3, 1), (32, 32, 1, 1), (32, 2, 1, 1)
    ]  # fmt: skip
    strided = 3 * 3 * 3 * 96 + 96 + 3 * 3 * 96 * 64 + 64
    others = 3 * 3 * 64 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2
    assert parameters(discriminator) == strided + others == 77_634
    order = [type(one) for one in discriminator.layers if not isinstance(one, nn.ReLU)]
    assert order == [nn.Conv2d, nn.Conv2d, nn.MaxPool2d, *[nn.Conv2d] * 3]
    assert discriminator(torch.zeros(2, 3, 35, 55)).shape == (2, 2, 9, 14)


def test_the_discriminator_judges_places_by_the_23_pixels_around_them() -> None:
    with initial_weights(0):
        discriminator = LocalDiscriminator()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    discriminator(images)[0, :, 8, 8].sum().backward()
    seen = images.grad.abs().sum((0, 1)).nonzero()  # type: ignore[union-attr]
    assert (seen.amax(0) - seen.amin(0) + 1 <= 23).all()
    assert (seen.amax(0) - seen.amin(0) + 1 >= 17).all()  # max pooling leaves some out


# --- losses --------------------------------------------------------------------------------


def test_the_local_loss_is_the_cross_entropy_over_all_places() -> None:
    judged = torch.tensor([[[[0.0, math.log(3)]], [[0.0, 0.0]]]])  # refined: 1/2 and 3/4
    assert judged.shape == (1, 2, 1, 2)
    real = local_cross_entropy(judged, True)
    refined = local_cross_entropy(judged, False)
    assert float(real) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert float(refined) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_losses_of_blank_networks() -> None:
    made = method()
    blank(made)
    with initial_weights(0):
        told = made.step(0, batch())
    # A square has 36 of 320 pixels.
    assert float(told["self_regularisation"]) == pytest.approx((36 * 0.3 + 284 * 0.9) / 320)
    assert float(told["generator"]) == pytest.approx(math.log(2))
    assert float(told["discriminator"]) == pytest.approx(2 * math.log(2))
    assert not any(value.requires_grad for value in told.values())


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_refiner_follows_its_two_losses(weight: float) -> None:
    made = method(self_regularisation=weight, refiner_steps=1)
    before = copy.deepcopy(made)
    sim = batch().sim
    refined = before.refiner(sim)
    judged = before.discriminator(refined).log_softmax(1)
    (weight * (refined - sim).abs().mean() - judged[:, 1].mean()).backward()
    train(made, 0, 1)
    for found, wanted in zip(made.refiner.parameters(), before.refiner.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)


def test_the_discriminator_follows_its_loss_alone() -> None:
    made = method(discriminator_warmup=1)
    before = copy.deepcopy(made)
    given = batch()
    judged = before.discriminator(given.real).log_softmax(1)
    refined = before.discriminator(before.refiner(given.sim).detach()).log_softmax(1)
    (-judged[:, 1].mean() - refined[:, 0].mean()).backward()
    train(made, 0, 1)  # the history is empty
    for found, wanted in zip(
        made.discriminator.parameters(), before.discriminator.parameters(), strict=True
    ):
        torch.testing.assert_close(found.grad, wanted.grad)


# --- the order of training -----------------------------------------------------------------


def test_the_refiner_is_trained_then_the_discriminator_and_then_both() -> None:
    made = method(refiner_warmup=2, discriminator_warmup=3)
    assert made.warm_up == 5
    moved, told = [], []
    for number in range(7):
        refiner, discriminator = weights(made.refiner), weights(made.discriminator)
        told += [{*losses} for losses in train(made, number, number + 1)]
        moved.append(
            (not same(refiner, weights(made.refiner)))
            + 2 * (not same(discriminator, weights(made.discriminator)))
        )
    assert moved == [1, 1, 2, 2, 2, 3, 3]
    both = {"self_regularisation", "generator", "discriminator"}
    assert told == [{"self_regularisation"}] * 2 + [{"discriminator"}] * 3 + [both] * 2


@pytest.mark.parametrize(("refiner", "discriminator"), [(1, 1), (2, 1), (1, 3)])
def test_each_is_trained_as_often_as_the_options_say(refiner: int, discriminator: int) -> None:
    made = method(refiner_steps=refiner, discriminator_steps=discriminator)
    train(made, 0, 2)
    for name, wanted in (("refiner", refiner), ("discriminator", discriminator)):
        states = made.optimisers[name].state.values()
        assert {int(state["step"]) for state in states} == {2 * wanted}


def test_the_first_warm_up_brings_the_refiner_close_to_its_renders() -> None:
    made = method(refiner_warmup=60, learning_rate=2e-3)
    losses = train(made, 0, 60)
    assert losses[-1]["self_regularisation"] < 0.3 * losses[0]["self_regularisation"]


def test_the_warm_up_leaves_no_averages_to_the_adversarial_steps() -> None:
    """Its gradients are much smaller: with averages of them the first steps would be huge."""
    made = method(refiner_warmup=3, discriminator_warmup=1)
    train(made, 0, 4)
    assert not made.optimisers["refiner"].state
    train(made, 4, 5)
    steps = {int(state["step"]) for state in made.optimisers["refiner"].state.values()}
    assert steps == {made.options.refiner_steps}


def test_refined_images_come_to_look_like_the_target_s() -> None:
    made = method(refiner_warmup=30, discriminator_warmup=5, learning_rate=2e-3)
    train(made, 0, 130)
    given = batch(1000)
    with torch.no_grad():
        refined = made.eval().refine(given.sim)
    before = float((given.sim.mean() - given.real.mean()).abs())
    assert float((refined.mean() - given.real.mean()).abs()) < 0.4 * before


# --- the history ---------------------------------------------------------------------------


def numbered(start: int, count: int) -> Tensor:
    """Images (count, 1, 1, 2) that tell their numbers."""
    return torch.arange(start, start + count, dtype=torch.float32)[:, None, None, None].expand(
        -1, -1, -1, 2
    )


def numbers(images: Tensor | None) -> list[int]:
    assert images is not None
    return [int(number) for number in images[:, 0, 0, 0]]


def test_the_history_is_filled_first() -> None:
    history = History(5)
    with initial_weights(0):
        assert numbers(history.swap(numbered(0, 4))) == [0, 1, 2, 3]
        assert numbers(history.images) == [0, 1]
        shown = numbers(history.swap(numbered(4, 4)))
        assert shown[:2] == [4, 5]
        assert sorted(shown[2:]) == [0, 1]
        assert numbers(history.images) == [0, 1, 4, 5]
        history.swap(numbered(8, 4))
        kept = numbers(history.images)
    assert len(kept) == 5
    assert {*kept} >= {9}
    assert len({*kept}) == 5


def test_half_of_what_comes_back_is_old_and_half_a_batch_is_replaced() -> None:
    history = History(10)
    with initial_weights(0):
        for start in range(0, 40, 4):
            history.swap(numbered(start, 4))
        for start in range(40, 400, 4):
            before = numbers(history.images)
            shown = numbers(history.swap(numbered(start, 4)))
            after = numbers(history.images)
            assert shown[:2] == [start, start + 1]
            assert len({*shown[2:]} & {*before}) == 2
            assert {*after} - {*before} == {start, start + 1}
            assert len(after) == 10


def test_old_images_and_their_places_are_drawn_evenly() -> None:
    history = History(8)
    drawn, replaced = torch.zeros(8), torch.zeros(8)
    with initial_weights(0):
        for start in range(0, 8, 2):
            history.swap(numbered(start, 4))
        for start in range(100, 100 + 4 * 1000, 4):
            before = numbers(history.images)
            for old in numbers(history.swap(numbered(start, 4)))[2:]:
                drawn[before.index(old)] += 1
            for place, (one, other) in enumerate(zip(before, numbers(history.images), strict=True)):
                replaced[place] += one != other
    # Each of 8 places 250 times, with a deviation of about 14.
    assert drawn.sum() == replaced.sum() == 2000
    assert float((drawn - 250).abs().max()) < 56
    assert float((replaced - 250).abs().max()) < 56


@pytest.mark.parametrize(("size", "count"), [(1, 8), (3, 8), (5, 5), (4, 1), (1, 2)])
def test_batches_of_any_size_come_back_whole(size: int, count: int) -> None:
    history = History(size)
    with initial_weights(0):
        for start in range(0, 10 * count, count):
            images = numbered(start, count).clone().requires_grad_()
            shown = history.swap(images)
            assert shown.shape == images.shape
            assert not shown.requires_grad
            assert numbers(shown)[0] == start  # of an odd number, more are new
    assert len(numbers(history.images)) == min(size, 10 * (count // 2))


def test_what_was_given_back_and_kept_does_not_change_later() -> None:
    history = History(2)
    with initial_weights(0):
        images = numbered(0, 4).clone()
        history.swap(images)
        shown = history.swap(numbered(4, 4))
        was = numbers(shown)
        for start in range(8, 40, 4):
            history.swap(numbered(start, 4))
    assert numbers(images) == [0, 1, 2, 3]
    assert numbers(shown) == was


def test_the_discriminator_sees_the_history() -> None:
    made = method(discriminator_warmup=9)
    seen: list[Tensor] = []
    made.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    train(made, 0, 4)
    _, shown = seen[-2:]  # target images, then refined ones
    with torch.no_grad():
        new = made.refiner(batch(3).sim)
        old = torch.cat([made.refiner(batch(number).sim)[:2] for number in range(3)])
    torch.testing.assert_close(shown[:2], new[:2])
    for image in shown[2:]:
        assert float((old - image).abs().amax((1, 2, 3)).min()) < 1e-6
        assert float((new - image).abs().amax((1, 2, 3)).min()) > 1e-3


# --- refining ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 20), (13, 7), (2, 2)])
def test_each_image_is_refined_for_itself_and_the_same_each_time(size: tuple[int, int]) -> None:
    made = method().double().eval()
    sim = 2 * torch.rand(5, 3, *size, generator=torch.Generator().manual_seed(0)).double() - 1
    with torch.no_grad():
        refined, again = made.refine(sim), made.refine(sim)
        alone = torch.cat([made.refine(image[None]) for image in sim])
    assert refined.shape == sim.shape
    assert refined.abs().max() <= 1
    assert torch.equal(refined, again)
    torch.testing.assert_close(refined, alone, atol=1e-9, rtol=0)  # float32 rounds by batch size


# --- going on ------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_step_after_a_break_is_the_same_bit_for_bit(stop: int) -> None:
    warm = {"refiner_warmup": 2, "discriminator_warmup": 2, "refiner_steps": 2}
    made, other = method(**warm), method(seed=1, **warm)
    train(made, 0, stop)
    state = unpack(pack({"networks": made.state_dict(), "training": made.training_state()}))
    other.load_state_dict(state["networks"])
    other.load_training_state(state["training"])
    assert train(made, stop, stop + 3) == train(other, stop, stop + 3)
    assert same(weights(made), weights(other))
    assert torch.equal(made.pools["refined"].images, other.pools["refined"].images)  # type: ignore[arg-type]
