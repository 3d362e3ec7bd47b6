"""Pix2Pix is what its paper says, and learns from pairs."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.learn.initial import initial_weights
from metasim.refine.method import Batch
from metasim.refine.methods.pix2pix import Pix2PixMethod
from metasim.refine.networks.layers import Dropout
from metasim.refine.networks.unet import UNet
from metasim.refine.options import Pix2Pix

SIZE = (16, 16)


def small(**settings: Any) -> Pix2Pix:
    """With six halvings of 64 pixels or four of 16, and dropout where there are six."""
    return Pix2Pix(**{"width": 4, "depth": 4, "discriminator_width": 8} | settings)


def made(options: Pix2Pix, size: tuple[int, int] = SIZE, channels: int = 0) -> Pix2PixMethod:
    with initial_weights(0):
        return Pix2PixMethod(options, size, channels)


def pairs(seed: int, count: int = 4, channels: int = 0, size: tuple[int, int] = SIZE) -> Batch:
    """Flat patches of colours, and the same with their channels turned round and inverted."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size[0] // 4, size[1] // 4, generator=generator) * 1.6 - 0.8
    sim = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    told = torch.rand(count, channels, *size, generator=generator) if channels else None
    return Batch(sim, -sim.roll(1, 1), told)


def trained(method: Pix2PixMethod, steps: range, **batch: Any) -> list[dict[str, Tensor]]:
    told = []
    for number in steps:
        with initial_weights(number):
            told.append(method.train().step(number, pairs(number, **batch)))
    return told


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def of(network: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, kind)]


@cache
def paper() -> Pix2PixMethod:
    """Without memory for its weights."""
    with torch.device("meta"):
        return made(Pix2Pix(preset="paper"), (256, 256))


def test_the_papers_unet_has_the_papers_layers() -> None:
    unet = paper().generator
    downs = [(c.in_channels, c.out_channels) for c in of(unet, nn.Conv2d)]
    assert downs == [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
    ups = [(c.in_channels, c.out_channels) for c in of(unet, nn.ConvTranspose2d)]
    assert ups == [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]
    for layer in [*of(unet, nn.Conv2d), *of(unet, nn.ConvTranspose2d)]:
        assert (layer.kernel_size, layer.stride) == ((4, 4), (2, 2))


def test_the_papers_unet_has_as_many_weights() -> None:
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 4 * 512 * 512)
    transposed = 16 * (512 * 512 + 3 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)
    norms = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    biases = 64 + 512 + 3  # of the first, of the innermost and of the last: those without norm
    assert count(paper().generator) == convolutions + transposed + norms + biases == 54_414_531


def test_the_papers_discriminator_sees_both_images_in_patches_of_70_pixels() -> None:
    judge = paper().discriminator
    layers = of(judge, nn.Conv2d)
    widths = [(c.in_channels, c.out_channels) for c in layers]
    assert widths == [(6, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    reach = 1
    for layer in reversed(layers):
        reach = (reach - 1) * layer.stride[0] + layer.kernel_size[0]
    assert reach == 70
    weights = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    biases = 64 + 128 + 256 + 512 + 1
    assert count(judge) == weights + biases + 2 * (128 + 256 + 512)
    assert [n.num_features for n in of(judge, nn.BatchNorm2d)] == [128, 256, 512]


def test_maps_are_halved_to_a_pixel_and_doubled_again() -> None:
    sizes: list[tuple[int, ...]] = []
    with initial_weights(0):
        unet = UNet(2, 8)
    for layer in [*unet.downs, *unet.ups]:
        layer.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))
    with initial_weights(0), torch.no_grad():
        out = unet(torch.zeros(1, 3, 256, 256))  # a single image, in training
    sides = [128, 64, 32, 16, 8, 4, 2, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert sizes == [(side, side) for side in sides]
    assert out.shape == (1, 3, 256, 256)


def test_norm_and_dropout_are_where_the_paper_has_them() -> None:
    unet = paper().generator
    assert [bool(of(down, nn.BatchNorm2d)) for down in unet.downs] == [False, *[True] * 6, False]
    assert [bool(of(up, nn.BatchNorm2d)) for up in unet.ups] == [*[True] * 7, False]
    dropped = [[layer.p for layer in of(up, nn.Dropout)] for up in unet.ups]
    assert dropped == [[], [0.5], [0.5], [0.5], [], [], [], []]
    assert not of(made(small(depth=4)).generator, nn.Dropout)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float) -> None:
    layer, maps = Dropout(share), torch.full((4, 8, 50, 50), 2.0)
    with initial_weights(0):
        out = layer(maps)
    with initial_weights(0):
        assert torch.equal(layer(maps), out)
    assert float((out == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert float(out.mean()) == pytest.approx(2.0 if share < 1 else 0.0, abs=0.05)
    assert torch.equal(layer.eval()(maps), maps)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_unet_hands_each_scale_across(depth: int) -> None:
    """What is far away from a pixel reaches it through the middle, what is near by all scales."""
    with initial_weights(0):
        unet = UNet(4, depth, channels=5).eval()
    maps = torch.rand(2, 5, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = unet(maps)
    assert out.shape == (2, 3, 16, 16)
    out[0, :, 8, 8].sum().backward()
    assert maps.grad is not None
    assert bool(maps.grad[0].any())
    assert not bool(maps.grad[1].any())
    for down in unet.downs:
        assert bool(down[-1 if isinstance(down[-1], nn.Conv2d) else -2].weight.grad.any())


def test_a_steps_losses_and_gradients_are_those_of_the_sheet() -> None:
    """Cross entropy of logits, 100 times the mean absolute difference, half the judgement."""
    method = made(small(condition=("edges", "depth")), channels=2)
    batch = pairs(0, channels=2)
    unet, judge = deepcopy(method.generator), deepcopy(method.discriminator)
    with initial_weights(1):
        told = method.step(0, batch)
    assert batch.condition is not None
    given = torch.cat([batch.sim, batch.condition], 1)
    refined = unet(given)
    real_logits = judge(torch.cat([given, batch.real], 1))
    fake_logits = judge(torch.cat([given, refined], 1))
    fooled = (1 + (-fake_logits).exp()).log().mean()
    difference = (refined - batch.real).abs().mean()
    fooled_grads = torch.autograd.grad(
        fooled + 100 * difference, [*unet.parameters()], retain_graph=True
    )
    judged = ((1 + (-real_logits).exp()).log().mean() + (1 + fake_logits.exp()).log().mean()) / 2
    judged_grads = torch.autograd.grad(judged, [*judge.parameters()])
    wanted = {"generator": fooled, "l1": difference, "discriminator": judged}
    assert told.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(told[name], value.detach())
        assert not told[name].requires_grad
    for network, grads in ((method.generator, fooled_grads), (method.discriminator, judged_grads)):
        for weights, grad in zip(network.parameters(), grads, strict=True):
            torch.testing.assert_close(weights.grad, grad, rtol=1e-4, atol=1e-6)


def test_refining_is_the_same_each_time_and_in_each_batch() -> None:
    """After steps whose statistics and dropout would otherwise show."""
    method = made(small(depth=6), (64, 64))
    assert of(method.generator, nn.Dropout)
    trained(method, range(3), size=(64, 64))
    sim = pairs(9, size=(64, 64)).sim
    before = {name: value.clone() for name, value in method.state_dict().items()}
    with torch.no_grad():
        method.eval()
        whole, again = method.refine(sim), method.refine(sim)
        alone = torch.cat([method.refine(image) for image in sim[:, None]])
        beside = method.refine(torch.cat([sim[:1], 5 * sim[1:].flip(0)]))
    assert torch.equal(whole, again)
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(beside[0], whole[0], rtol=1e-4, atol=1e-5)
    assert float(whole.abs().max()) <= 1
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_it_learns_from_pairs() -> None:
    assert Pix2PixMethod.paired
    method = made(small(learning_rate=2e-3, width=8))
    told = trained(method, range(80))
    assert float(told[-1]["l1"]) < 0.4 * float(told[0]["l1"])
    unseen = pairs(1000)
    with torch.no_grad():
        refined = method.eval().refine(unseen.sim)
    assert float((refined - unseen.real).abs().mean()) < 0.5 * float(unseen.real.abs().mean())


@pytest.mark.parametrize("settings", [{}, {"depth": 6}])
def test_a_resumed_training_is_the_uninterrupted_one(settings: dict[str, Any]) -> None:
    size = (64, 64) if settings else SIZE
    whole = made(small(**settings), size)
    trained(whole, range(2), size=size)
    networks, training = deepcopy((whole.state_dict(), whole.training_state()))
    with initial_weights(99):
        resumed = Pix2PixMethod(small(**settings), size)
    resumed.load_state_dict(networks)
    resumed.load_training_state(training)
    for one, other in zip(
        trained(whole, range(2, 4), size=size),
        trained(resumed, range(2, 4), size=size),
        strict=True,
    ):
        assert one == other
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_without_the_render_only_the_condition_counts() -> None:
    method = made(small(render=False, condition=("edges", "depth")), channels=2).eval()
    batch = pairs(0, channels=2)
    with torch.no_grad():
        first = method.refine(batch.sim, batch.condition)
        second = method.refine(-batch.sim, batch.condition)
        third = method.refine(batch.sim, pairs(1, channels=2).condition)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_nothing_to_translate_is_refused() -> None:
    with pytest.raises(ValidationError, match="there must be a condition"):
        Pix2Pix(render=False)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((24, 48), r"multiples of 16, got 24 x 48; set depth to 3 at the most"),
        ((32, 40), r"set depth to 3 at the most"),
        ((16, 17), r"make them even, or choose another image size"),
    ],
)
def test_images_that_cannot_be_halved_so_often_are_refused(
    size: tuple[int, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        made(small(depth=4), size)
