"""SPADE is what its paper says, and learns images from conditions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from metasim.errors import DataError
from metasim.learn.initial import initial_weights
from metasim.refine.method import Batch
from metasim.refine.methods.spade import SPADEMethod, feature_matching, perceptual_difference
from metasim.refine.networks.spade import (
    SPADE as Normalisation,
)
from metasim.refine.networks.spade import (
    ImageEncoder,
    MultiscaleDiscriminator,
    SPADEBlock,
    SPADEGenerator,
)
from metasim.refine.options import SPADE

SIZE = (16, 16)
CHANNELS = 4
Features = Callable[[Tensor], list[Tensor]]


def small(**settings: Any) -> SPADE:
    return SPADE(**{"width": 4, "hidden": 8, "halvings": 2, "layers": 2, "noise": 0.0} | settings)


def made(options: SPADE, size: tuple[int, int] = SIZE, see: Features | None = None) -> SPADEMethod:
    given = CHANNELS if options.condition else 0
    with initial_weights(0):
        return SPADEMethod(options, size, given, see)


def pairs(seed: int, count: int = 4) -> Batch:
    """Patches of four classes, of which each has a colour."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(CHANNELS, (count, 4, 4), generator=generator)
    classes = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    condition = F.one_hot(classes, CHANNELS).permute(0, 3, 1, 2).float()
    colours = torch.tensor([[0.8, -0.8, 0], [-0.8, 0.8, 0.4], [0.8, 0.8, -0.8], [-0.8, -0.8, 0.8]])
    real = torch.einsum("nkhw,kc->nchw", condition, colours)
    return Batch(torch.rand(real.shape, generator=generator), real, condition)


def trained(method: SPADEMethod, steps: range, count: int = 4) -> list[dict[str, Tensor]]:
    told = []
    for number in steps:
        with initial_weights(number):
            told.append(method.train().step(number, pairs(number, count)))
    return told


def refined(method: SPADEMethod, batch: Batch) -> Tensor:
    with torch.no_grad():
        return method.eval().refine(batch.sim, batch.condition)


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def conv(before: int, after: int, side: int = 3, bias: int = 1) -> int:
    """Weights of a convolution."""
    return before * after * side**2 + bias * after


def norm(channels: int, condition: int, hidden: int = 128) -> int:
    """Weights of a SPADE: to the hidden layer, to gamma, and to beta."""
    return conv(condition, hidden) + 2 * conv(hidden, channels)


def same(width: int, condition: int) -> int:
    """Weights of a block that keeps the number of channels."""
    return 2 * (norm(width, condition) + conv(width, width))


def halving(width: int, condition: int) -> int:
    """Weights of a block that halves the number of channels, with its shortcut."""
    half = width // 2
    main = norm(width, condition) + conv(width, half) + norm(half, condition) + conv(half, half)
    return main + norm(width, condition) + conv(width, half, side=1, bias=0)


def blocks(condition: int) -> int:
    """Weights of the paper's seven blocks."""
    return 3 * same(1024, condition) + sum(halving(w, condition) for w in (1024, 512, 256, 128))


@cache
def paper() -> SPADEMethod:
    """For Cityscapes, without memory for its weights."""
    with initial_weights(0), torch.device("meta"):
        return SPADEMethod(SPADE(preset="paper"), (256, 256), 36)


def test_the_papers_generator_has_as_many_weights() -> None:
    """Without a style, those reported for Cityscapes, ADE20K and COCO-Stuff, in millions."""
    with initial_weights(0), torch.device("meta"):
        generator = SPADEGenerator((256, 256), 5, 64, 128, condition=36)
    by_hand = {c: conv(c, 1024) + blocks(c) + conv(64, 3) for c in (36, 151, 184)}
    assert count(generator) == by_hand[36]
    assert [round(c / 1e6, 1) for c in by_hand.values()] == [93.0, 96.5, 97.5]


def test_the_papers_style_code_takes_the_conditions_place() -> None:
    linear = (256 + 1) * 1024 * 8 * 8
    assert count(paper().generator) == linear + blocks(36) + conv(64, 3)
    down = conv(3, 64) + conv(64, 128) + conv(128, 256) + conv(256, 512) + 2 * conv(512, 512)
    encoder = paper().encoder
    assert encoder is not None
    assert count(encoder) == down + (512 * 4 * 4 + 1) * 2 * 256


def test_the_papers_discriminators_have_as_many_weights() -> None:
    widths = [36 + 3, 64, 128, 256, 512, 1]
    one = sum(conv(before, after, side=4) for before, after in pairwise(widths))
    assert count(paper().discriminator) == 2 * one


@pytest.mark.parametrize(
    ("size", "halvings", "sides"),
    [
        (256, 5, [8, 16, 16, 32, 64, 128, 256]),
        (256, 6, [4, 8, 16, 32, 64, 128, 256]),
        (64, 4, [4, 4, 4, 8, 16, 32, 64]),
        (32, 3, [4, 4, 4, 4, 8, 16, 32]),
        (32, 1, [16, 16, 16, 16, 16, 16, 32]),
    ],
)
def test_maps_are_doubled_before_the_last_blocks(
    size: int, halvings: int, sides: list[int]
) -> None:
    with initial_weights(0):
        generator = SPADEGenerator((size, size), halvings, 2, 2, CHANNELS).eval()
    shapes: list[tuple[int, ...]] = []
    for block in generator.blocks:
        block.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        out = generator(torch.zeros(1, CHANNELS, size, size))
    widths = [32, 32, 32, 16, 8, 4, 2]
    assert shapes == [(width, side, side) for width, side in zip(widths, sides, strict=True)]
    assert out.shape == (1, 3, size, size)


def test_spade_is_the_papers_formula() -> None:
    with initial_weights(0):
        spade = Normalisation(3, 2, 5)
        for weights in spade.parameters():
            nn.init.normal_(weights)
    generator = torch.Generator().manual_seed(0)
    maps, condition = (torch.randn(4, c, 6, 6, generator=generator) for c in (3, 2))
    mean = maps.mean((0, 2, 3), keepdim=True)
    variance = ((maps - mean) ** 2).mean((0, 2, 3), keepdim=True)
    hidden = F.conv2d(condition, spade.hidden[0].weight, spade.hidden[0].bias, padding=1).relu()
    weight, bias = spade.modulation.weight, spade.modulation.bias
    assert bias is not None
    gamma = F.conv2d(hidden, weight[:3], bias[:3], padding=1)
    beta = F.conv2d(hidden, weight[3:], bias[3:], padding=1)
    wanted = (maps - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
    torch.testing.assert_close(spade(maps, condition), wanted)
    assert not [*spade.norm.parameters()]


def test_a_condition_is_shrunk_to_the_nearest_pixels() -> None:
    with initial_weights(0):
        spade = Normalisation(3, 2, 5).eval()
    generator = torch.Generator().manual_seed(0)
    condition = torch.rand(1, 2, 8, 8, generator=generator)
    maps = torch.rand(1, 3, 4, 4, generator=generator)
    assert torch.equal(spade(maps, condition), spade(maps, condition[..., ::2, ::2]))


def test_a_constant_condition_modulates_alike_everywhere() -> None:
    """But at the border, which zeros surround."""
    with initial_weights(0):
        spade = Normalisation(3, 2, 5).eval()
        for weights in spade.parameters():
            nn.init.normal_(weights)
    condition = torch.tensor([0.3, -2.0]).view(1, 2, 1, 1).expand(1, 2, 9, 9)
    maps = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    shift = spade(torch.zeros_like(maps), condition)
    scale = (spade(maps, condition) - shift) / maps
    for found in (shift, scale):
        inside = found[..., 2:-2, 2:-2]
        torch.testing.assert_close(inside, inside[..., :1, :1].expand_as(inside))
        assert not torch.allclose(found[..., 0, 0], inside[..., 0, 0])


def test_convolutions_of_blocks_have_spectral_norm_and_those_of_spade_have_none() -> None:
    with initial_weights(0):
        block = SPADEBlock(8, 4, 2, 5)
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):  # of the power iteration
            block(*(torch.rand(2, c, 4, 4, generator=generator) for c in (8, 2)))
    normed = [m for m in block.modules() if is_parametrized(m)]
    assert [(m.in_channels, m.out_channels) for m in normed] == [(8, 4), (4, 4), (8, 4)]
    block.eval()
    for convolution in normed:
        weight = convolution.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=1e-3)
    spades = [m for m in block.modules() if isinstance(m, Normalisation)]
    assert [s.norm.num_features for s in spades] == [8, 4, 8]
    assert not any(is_parametrized(m) for spade in spades for m in spade.modules())


def test_a_block_adds_to_what_comes_in() -> None:
    """Around it where the channels stay, and through one pixel and SPADE where they do not."""
    with initial_weights(0):
        same_width, narrower = SPADEBlock(4, 4, 2, 5).eval(), SPADEBlock(4, 2, 2, 5).eval()
        generator = torch.Generator().manual_seed(0)
    maps, condition = (torch.rand(1, c, 4, 4, generator=generator) for c in (4, 2))
    for block in (same_width, narrower):
        remove_parametrizations(block.convolutions[1], "weight")
        nn.init.zeros_(block.convolutions[1].weight)
        nn.init.constant_(block.convolutions[1].bias, 0.5)
    assert same_width.shortcut is None
    assert torch.equal(same_width(maps, condition), maps + 0.5)
    assert narrower.shortcut is not None
    around = narrower.shortcut(narrower.shortcut_norm(maps, condition))
    assert torch.equal(narrower(maps, condition), around + 0.5)


def test_discriminators_see_two_scales_and_give_all_layers() -> None:
    with initial_weights(0):
        judge = MultiscaleDiscriminator(5, 8, layers=4, scales=2)
    found = judge(torch.rand(2, 5, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert [[maps.shape[1] for maps in one] for one in found] == [[8, 16, 32, 64, 1]] * 2
    # n // 2 + 1 with a stride of two, n + 1 with one
    assert [[maps.shape[-1] for maps in one] for one in found] == [
        [17, 9, 5, 6, 7],
        [9, 5, 3, 4, 5],
    ]
    for scale in judge.scales:
        layers: list[nn.Module] = list(scale.children())
        assert [any(map(is_parametrized, m.modules())) for m in layers] == [
            False,
            *[True] * 3,
            False,
        ]
        normed = [any(isinstance(m, nn.InstanceNorm2d) for m in one.modules()) for one in layers]
        assert normed == [False, *[True] * 3, False]


def test_the_second_discriminator_sees_half_the_size() -> None:
    with initial_weights(0):
        judge = MultiscaleDiscriminator(3, 4, layers=2, scales=2).eval()
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    judge.scales[0] = judge.scales[1]
    whole = judge(images)
    smaller = judge(F.avg_pool2d(images, 3, 2, 1, count_include_pad=False))
    assert torch.equal(whole[1][-1], smaller[0][-1])


@pytest.mark.parametrize(("side", "layers"), [(256, 6), (128, 5), (32, 3), (8, 1)])
def test_the_encoder_goes_down_to_four_pixels(side: int, layers: int) -> None:
    with initial_weights(0), torch.device("meta"):
        encoder = ImageEncoder((side, side), 8, 5)
        mean, log_variance = encoder(torch.empty(2, 3, side, side))
    assert len(encoder.layers) == layers
    assert encoder.code.in_features == 8 * min(2 ** (layers - 1), 8) * 16
    assert mean.shape == log_variance.shape == (2, 5)


def test_features_are_matched_over_layers_and_discriminators() -> None:
    a, b, c = (torch.tensor([v], requires_grad=True) for v in (1.0, 2.0, 5.0))
    judgement = torch.tensor([100.0])
    value = feature_matching(
        [[a, b, judgement], [c, c, judgement]], [[c, c, -judgement], [b, c, -judgement]]
    )
    assert float(value.detach()) == pytest.approx(((4 + 3) + (3 + 0)) / 2)
    value.backward()
    assert a.grad is not None
    assert b.grad is not None
    assert c.grad is not None
    assert (float(a.grad), float(b.grad)) == (-0.5, -0.5)
    assert float(c.grad) == 0.5  # of generated features alone: target images' have no gradients


def five(images: Tensor) -> list[Tensor]:
    """In VGG19's place."""
    return [images.mean(dim=(2, 3)) * factor for factor in (1.0, 2.0, 4.0, 8.0, 16.0)]


def test_the_perceptual_difference_has_the_papers_weights() -> None:
    images = torch.full((1, 3, 2, 2), 0.5).requires_grad_()
    wanted = torch.zeros(1, 3, 2, 2).requires_grad_()
    value = perceptual_difference(five, images, wanted)
    terms = [0.5 / 32, 1 / 16, 2 / 8, 4 / 4, 8.0]
    assert float(value.detach()) == pytest.approx(sum(terms))
    value.backward()
    assert images.grad is not None
    assert wanted.grad is None


@pytest.mark.parametrize("style", [0, 3])
def test_a_steps_losses_and_gradients_are_those_of_the_sheet(style: int) -> None:
    method = made(small(style=style, perceptual=10.0), see=five)
    copy = deepcopy(method)
    batch = pairs(0)
    with initial_weights(1):
        told = method.step(0, batch)
    given = batch.condition
    assert given is not None
    wanted: dict[str, Tensor] = {}
    code, divergence = None, torch.zeros(())
    if copy.encoder is not None:
        mean, log_variance = copy.encoder(batch.real)
        with initial_weights(1):
            code = mean + (log_variance / 2).exp() * torch.randn(mean.shape)
        terms = mean**2 + log_variance.exp() - 1 - log_variance
        wanted["divergence"] = divergence = terms.sum() / 2 / len(mean)
    image = copy.generator(given, code)
    both = torch.cat([torch.cat([given, image], 1), torch.cat([given, batch.real], 1)])
    scales = copy.discriminator(both)
    wanted["generator"] = -(scales[0][-1][:4].mean() + scales[1][-1][:4].mean()) / 2
    wanted["feature_matching"] = (
        sum(
            (
                torch.zeros(()) + (m[:4] - m[4:].detach()).abs().mean()
                for one in scales
                for m in one[:-1]
            ),
            torch.zeros(()),
        )
        / 2
    )
    wanted["perceptual"] = perceptual_difference(five, image, batch.real)
    whole = (
        wanted["generator"]
        + 10 * wanted["feature_matching"]
        + 10 * wanted["perceptual"]
        + 0.05 * divergence
    )
    made_by = [*copy.generator.parameters()]
    encoded_by = [] if copy.encoder is None else [*copy.encoder.parameters()]
    grads = torch.autograd.grad(whole, made_by + encoded_by)
    scales = copy.discriminator(both.detach())
    wanted["discriminator"] = (
        sum(
            ((1 + one[-1][:4]).relu().mean() + (1 - one[-1][4:]).relu().mean() for one in scales),
            torch.zeros(()),
        )
        / 2
    )
    judged = torch.autograd.grad(wanted["discriminator"], [*copy.discriminator.parameters()])
    assert told.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(told[name], value.detach())
        assert not told[name].requires_grad
    learned = [*method.generator.parameters()]
    learned += [] if method.encoder is None else [*method.encoder.parameters()]
    for weights, grad in zip(
        [*learned, *method.discriminator.parameters()], [*grads, *judged], strict=True
    ):
        torch.testing.assert_close(weights.grad, grad, rtol=1e-3, atol=1e-6)


def test_both_sides_have_learning_rates_of_their_own() -> None:
    method = made(SPADE(preset="paper", width=4, hidden=8, halvings=2, style=0))
    groups = {name: one.param_groups[0] for name, one in method.optimisers.items()}
    assert {name: (g["lr"], g["betas"]) for name, g in groups.items()} == {
        "generator": (1e-4, (0.0, 0.9)),
        "discriminator": (4e-4, (0.0, 0.9)),
    }


class Counting(nn.Module):
    """In VGG19's place, with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.calls = 0

    def forward(self, images: Tensor) -> list[Tensor]:
        self.calls += 1
        return five(images)


def test_the_perceptual_network_is_used_and_is_no_part_of_the_method() -> None:
    with initial_weights(0):
        network = Counting()
    method = made(small(perceptual=10.0), see=network)
    assert "perceptual" in trained(method, range(1))[0]
    assert network.calls == 2
    assert not [name for name in method.state_dict() if "linear" in name]
    assert "perceptual" not in trained(made(small(perceptual=0.0), see=network), range(1))[0]
    assert "perceptual" not in trained(made(small(perceptual=10.0)), range(1))[0]
    assert network.calls == 2


@pytest.mark.parametrize("style", [0, 3])
def test_refining_is_the_same_each_time_and_in_each_batch(style: int) -> None:
    method = made(small(style=style))
    trained(method, range(4))
    batch = pairs(9)
    assert batch.condition is not None
    before = {name: value.clone() for name, value in method.state_dict().items()}
    whole = refined(method, batch)
    assert torch.equal(whole, refined(method, batch))
    assert float(whole.abs().max()) <= 1
    for i in range(4):
        rows = slice(i, i + 1)
        alone = refined(method, Batch(batch.sim[rows], batch.real[rows], batch.condition[rows]))
        torch.testing.assert_close(alone[0], whole[i], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_refining_takes_the_mean_of_all_styles() -> None:
    method = made(small(style=3))
    trained(method, range(2))
    batch = pairs(9)
    found = refined(method, batch)
    with torch.no_grad():
        assert torch.equal(found, method.generator(batch.condition, torch.zeros(4, 3)))
        assert not torch.equal(found, method.generator(batch.condition, torch.ones(4, 3)))


def test_the_render_is_shown_where_it_is_asked_for() -> None:
    batch, other = pairs(0), pairs(1)
    without, beside = made(small()), made(small(render=True))
    alone = made(small(render=True, condition=()))
    swapped = Batch(other.sim, batch.real, batch.condition)
    assert torch.equal(refined(without, batch), refined(without, swapped))
    assert not torch.equal(refined(beside, batch), refined(beside, swapped))
    bare = Batch(batch.sim, batch.real)
    with initial_weights(0):
        alone.step(0, bare)
    assert refined(alone, bare).shape == batch.sim.shape


def test_it_learns_from_pairs() -> None:
    assert SPADEMethod.paired
    method = made(small(learning_rate=2e-3, discriminator_rate=2e-3, hidden=16))
    unseen = pairs(1000)
    before = float((refined(method, unseen) - unseen.real).abs().mean())
    told = trained(method, range(25))
    after = float((refined(method, unseen) - unseen.real).abs().mean())
    assert after < 0.5 * before
    assert all(bool(value.isfinite()) for losses in told for value in losses.values())


@pytest.mark.parametrize("style", [0, 3])
def test_a_resumed_training_is_the_uninterrupted_one(style: int) -> None:
    whole = made(small(style=style))
    trained(whole, range(2))
    networks, training = deepcopy((whole.state_dict(), whole.training_state()))
    with initial_weights(99):
        resumed = SPADEMethod(small(style=style), SIZE, CHANNELS)
    resumed.load_state_dict(networks)
    resumed.load_training_state(training)
    for one, other in zip(trained(whole, range(2, 4)), trained(resumed, range(2, 4)), strict=True):
        assert one == other
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_nothing_to_make_images_of_is_refused() -> None:
    with pytest.raises(ValidationError, match="there must be a condition"):
        SPADE(condition=())
    with pytest.raises(ValidationError, match="halvings"):
        small(halvings=7)


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        ((12, 16), {"halvings": 3}, "multiples of 8, got 12 x 16; set halvings to 2 at the most"),
        ((4, 16), {"scales": 3}, "at least 8 pixels, got 4 x 16; set scales lower"),
        ((4, 4), {"batch_size": 1}, "leaves one pixel of 4 x 4"),
    ],
)
def test_images_that_the_networks_cannot_take_are_refused(
    size: tuple[int, int], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        made(small(**settings), size)
