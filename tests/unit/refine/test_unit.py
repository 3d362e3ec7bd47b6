"""UNIT has the paper's layers, losses and shared blocks, and goes on as it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.learn.archive import pack, unpack
from metasim.learn.initial import initial_weights
from metasim.refine.method import Batch
from metasim.refine.methods.unit import UNITMethod, code_divergence
from metasim.refine.networks.unit import Encoder, Generator, StridedDiscriminator, code_block
from metasim.refine.options import UNIT

SIZE = (16, 20)
WEIGHTS = ("gan", "reconstruction", "divergence", "cycle", "cycle_divergence")


def method(seed: int = 0, **given: Any) -> UNITMethod:
    small = {"batch_size": 3, "width": 4, "blocks": 1, "layers": 3}
    with initial_weights(seed):
        return UNITMethod(UNIT(**{**small, **given}), SIZE)


def squares(ground: float, square: float, seed: int, count: int = 3) -> Tensor:
    """Images (count, 3, 16, 20) of a square somewhere on a plain ground."""
    images = torch.full((count, 3, *SIZE), ground)
    places = torch.randint(0, 10, (count, 2), generator=torch.Generator().manual_seed(seed))
    for image, (row, column) in zip(images, places.tolist(), strict=True):
        image[:, row : row + 6, column : column + 6] = square
    return images


def batch(number: int = 0) -> Batch:
    return Batch(squares(-0.9, -0.3, 2 * number), squares(0.2, 0.8, 2 * number + 1))


def train(made: UNITMethod, start: int, stop: int) -> list[dict[str, Tensor]]:
    losses = []
    for number in range(start, stop):
        with initial_weights(number):
            losses.append(made.step(number, batch(number)))
    return losses


def weights(network: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def blank(*networks: nn.Module) -> None:
    """Set all weights to 0: codes have mean 0, images are grey, discriminators undecided."""
    with torch.no_grad():
        for network in networks:
            for weight in network.parameters():
                weight.zero_()


def learns(network: nn.Module) -> bool:
    """Whether a gradient that is not 0 has reached it."""
    return any(w.grad is not None and bool(w.grad.any()) for w in network.parameters())


# --- networks ------------------------------------------------------------------------------


def convolutions(network: nn.Module) -> list[tuple[str, int, int, int, int]]:
    """Direction, inputs, outputs, side and stride of all convolutions, in order."""
    directions = {nn.Conv2d: "down", nn.ConvTranspose2d: "up"}
    return [
        (
            directions[type(one)],
            one.in_channels,
            one.out_channels,
            one.kernel_size[0],
            one.stride[0],
        )
        for one in network.modules()
        if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d))
    ]


def parameters(*networks: nn.Module) -> int:
    return sum(w.numel() for w in nn.ModuleList(networks).parameters())


# Of the paper's settings: a block next to the code, and what else a network has.
BLOCK = 2 * (3 * 3 * 256 * 256 + 256)
ENCODER = (
    (7 * 7 * 3 * 64 + 64)
    + (3 * 3 * 64 * 128 + 128)
    + (3 * 3 * 128 * 256 + 256)
    + 3 * BLOCK
)  # fmt: skip
GENERATOR = (
    3 * BLOCK
    + (3 * 3 * 256 * 128 + 128)
    + (3 * 3 * 128 * 64 + 64)
    + (7 * 7 * 64 * 3 + 3)
)  # fmt: skip
DISCRIMINATOR = (
    (3 * 3 * 3 * 64 + 64)
    + (3 * 3 * 64 * 128 + 128)
    + (3 * 3 * 128 * 256 + 256)
    + (3 * 3 * 256 * 512 + 512)
    + (3 * 3 * 512 * 1024 + 1024)
    + (1024 + 1)
)  # fmt: skip


@pytest.mark.parametrize(("share", "blocks"), [(True, 2), (False, 4)])
def test_the_networks_have_the_paper_s_parameters(share: bool, blocks: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        made = UNITMethod(UNIT(preset="paper", share=share), (256, 256))
    assert parameters(made.encode_sim) == ENCODER + BLOCK
    assert parameters(made.make_real) == GENERATOR + BLOCK
    assert parameters(made.of_sim) == parameters(made.of_real) == DISCRIMINATOR
    assert parameters(made) == 2 * (ENCODER + GENERATOR + DISCRIMINATOR) + blocks * BLOCK


def test_the_networks_have_the_paper_s_layers() -> None:
    with torch.device("meta"):
        made = UNITMethod(UNIT(preset="paper"), (256, 256))
    residual = ("down", 256, 256, 3, 1)
    assert convolutions(made.encode_sim) == [
        ("down", 3, 64, 7, 1), ("down", 64, 128, 3, 2), ("down", 128, 256, 3, 2),
        *[residual] * 6,
        *[residual] * 2,
    ]  # fmt: skip
    assert convolutions(made.make_sim.first) == [residual] * 2
    assert convolutions(made.make_sim.layers) == [
        *[residual] * 6,
        ("up", 256, 128, 3, 2), ("up", 128, 64, 3, 2), ("down", 64, 3, 7, 1),
    ]  # fmt: skip
    assert convolutions(made.of_sim) == [
        ("down", 3, 64, 3, 2), ("down", 64, 128, 3, 2), ("down", 128, 256, 3, 2),
        ("down", 256, 512, 3, 2), ("down", 512, 1024, 3, 2), ("down", 1024, 1, 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(16, 20), (32, 8), (8, 12)])
def test_codes_are_a_quarter_of_the_image_and_images_come_back_whole(
    size: tuple[int, int],
) -> None:
    with initial_weights(0):
        encoder = Encoder(4, 1, code_block(4))
        generator = Generator(4, 1, code_block(4))
    codes = encoder(torch.zeros(2, 3, *size))
    assert codes.shape == (2, 16, size[0] // 4, size[1] // 4)
    images = generator(codes + 100)
    assert images.shape == (2, 3, *size)
    assert images.abs().max() <= 1


@pytest.mark.parametrize(("layers", "shape"), [(1, (16, 20)), (2, (8, 10)), (6, (1, 1))])
def test_a_discriminator_halves_images_in_all_layers_but_the_last(
    layers: int, shape: tuple[int, int]
) -> None:
    with initial_weights(0):
        discriminator = StridedDiscriminator(2, layers)
    assert discriminator(torch.zeros(2, 3, *SIZE)).shape == (2, 1, *shape)
    assert len(convolutions(discriminator)) == layers


@pytest.mark.parametrize("size", [(18, 20), (16, 21), (4, 8)])
def test_images_that_would_not_come_back_whole_are_refused(size: tuple[int, int]) -> None:
    with initial_weights(0), pytest.raises(DataError, match=f"got {size[0]} x {size[1]}; choose"):
        UNITMethod(UNIT(), size)


# --- what is shared ------------------------------------------------------------------------


def test_the_domains_share_the_blocks_next_to_the_code() -> None:
    made = method()
    assert made.encode_sim.last is made.encode_real.last
    assert made.make_sim.first is made.make_real.first
    assert made.encode_sim.last is not made.make_sim.first
    apart = {id(w) for w in made.encode_sim.layers.parameters()}
    assert not apart & {id(w) for w in made.encode_real.parameters()}
    trained = [
        id(w) for one in made.optimisers.values() for g in one.param_groups for w in g["params"]
    ]
    assert len(trained) == len({*trained}) == len([*made.parameters()])


def test_without_sharing_each_domain_has_its_own() -> None:
    made = method(share=False)
    for one, other in (
        (made.encode_sim, made.encode_real),
        (made.make_sim, made.make_real),
    ):
        assert not {map(id, one.parameters())} & {map(id, other.parameters())}
        assert not same(weights(one), weights(other))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("domain", ["sim", "real"])
def test_shared_blocks_learn_from_both_domains(share: bool, domain: str) -> None:
    made = method(share=share)
    encode, make = getattr(made, f"encode_{domain}"), getattr(made, f"make_{domain}")
    make(encode(batch().sim)).square().sum().backward()
    other = "real" if domain == "sim" else "sim"
    for network, shared in (
        (getattr(made, f"encode_{other}"), "last"),
        (getattr(made, f"make_{other}"), "first"),
    ):
        assert learns(getattr(network, shared)) == share
        assert not learns(network.layers)


# --- losses --------------------------------------------------------------------------------


def test_the_divergence_is_the_mean_over_the_code_s_elements() -> None:
    means = torch.tensor([[[[1.0, 3.0]]], [[[0.0, 2.0]]]])
    assert float(code_divergence(means)) == pytest.approx((0.5 * (1 + 9) / 2 + 0.5 * 4 / 2) / 2)
    # It is that of the code's distribution, element by element.
    drawn = torch.distributions.Normal(means, 1)
    standard = torch.distributions.Normal(0, 1)
    wanted = torch.distributions.kl_divergence(drawn, standard).mean()
    torch.testing.assert_close(code_divergence(means), wanted)
    assert float(code_divergence(means.repeat(1, 5, 7, 2))) == pytest.approx(float(wanted))


def test_losses_of_blank_networks() -> None:
    made = method()
    blank(made)
    told = train(made, 0, 1)[0]
    # A square has 36 of 320 pixels.
    images = (36 * 0.3 + 284 * 0.9) / 320 + (36 * 0.8 + 284 * 0.2) / 320
    assert {name: float(value) for name, value in told.items()} == pytest.approx(
        {
            "generator": 2 * math.log(2),
            "discriminator": 4 * math.log(2),
            "reconstruction": images,
            "cycle": images,
            "divergence": 0,
            "cycle_divergence": 0,
        }
    )
    assert not any(value.requires_grad for value in told.values())


def test_the_discriminators_losses_are_the_logistic_ones() -> None:
    made = method(gan=3.0)
    for discriminator, logit in ((made.of_sim, 1.0), (made.of_real, -2.0)):
        blank(discriminator)
        with torch.no_grad():
            discriminator.layers[-1].bias.fill_(logit)  # type: ignore[union-attr, operator]
    told = train(made, 0, 1)[0]

    def taken_for_real(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    sim, real = taken_for_real(1), taken_for_real(-2)
    assert float(told["generator"]) == pytest.approx(-math.log(sim) - math.log(real))
    assert float(told["discriminator"]) == pytest.approx(
        -math.log(sim) - math.log(1 - sim) - math.log(real) - math.log(1 - real)
    )


def objective(made: UNITMethod, given: Batch) -> tuple[Tensor, Tensor]:
    """The paper's, written out: of encoders and generators, and of the discriminators."""
    shape = (3, 16, 4, 5)
    noise_sim, noise_real = torch.randn(6, *shape[1:]).chunk(2)
    mean_sim, mean_real = made.encode_sim(given.sim), made.encode_real(given.real)
    code_sim, code_real = mean_sim + noise_sim, mean_real + noise_real
    refined, simulated = made.make_real(code_sim), made.make_sim(code_real)
    back_sim, back_real = made.encode_real(refined), made.encode_sim(simulated)
    noise_sim, noise_real = torch.randn(6, *shape[1:]).chunk(2)
    terms = {
        "gan": F.softplus(-made.of_real(refined)).mean()
        + F.softplus(-made.of_sim(simulated)).mean(),
        "reconstruction": (made.make_sim(code_sim) - given.sim).abs().mean()
        + (made.make_real(code_real) - given.real).abs().mean(),
        "divergence": 0.5 * (mean_sim.square().mean() + mean_real.square().mean()),
        "cycle": (made.make_sim(back_sim + noise_sim) - given.sim).abs().mean()
        + (made.make_real(back_real + noise_real) - given.real).abs().mean(),
        "cycle_divergence": 0.5 * (back_sim.square().mean() + back_real.square().mean()),
    }
    total = torch.stack([getattr(made.options, name) * term for name, term in terms.items()]).sum()
    judged = (
        F.softplus(-made.of_real(given.real)).mean()
        + F.softplus(made.of_real(refined.detach())).mean()
        + F.softplus(-made.of_sim(given.sim)).mean()
        + F.softplus(made.of_sim(simulated.detach())).mean()
    )
    return total, judged


@pytest.mark.parametrize("kept", [*WEIGHTS, ""])
def test_each_network_follows_the_paper_s_objective(kept: str) -> None:
    given = {name: 7.0 * (name == kept) for name in WEIGHTS} if kept else {}
    # In double precision, as the gradients of biases before a norm are nothing but what is rounded.
    made = method(**given).double()
    sim_and_real = Batch(batch().sim.double(), batch().real.double())
    before = copy.deepcopy(made)
    with initial_weights(5):
        total, judged = objective(before, sim_and_real)
    autoencoders = ("encode_sim", "encode_real", "make_sim", "make_real")
    for loss, names in ((total, autoencoders), (judged, ("of_sim", "of_real"))):
        inputs = [w for name in names for w in getattr(before, name).parameters()]
        loss.backward(inputs=[*{id(w): w for w in inputs}.values()])
    with initial_weights(5):
        made.step(0, sim_and_real)
    for found, wanted in zip(made.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)
    assert learns(made.make_real) == (kept != "divergence")
    assert all(learns(getattr(made, name)) for name in ("encode_sim", "of_sim", "of_real"))


def test_codes_have_variance_1_about_what_the_encoders_give() -> None:
    made = method(width=16)
    with torch.no_grad():
        for encoder in (made.encode_sim, made.encode_real):
            blank(encoder)
            encoder.register_forward_hook(lambda _, __, out: out + 0.5)
    seen: list[Tensor] = []
    made.make_sim.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    train(made, 0, 1)
    assert [len(codes) for codes in seen] == [6, 3]  # both domains', then those of the way back
    for codes in seen:
        assert float(codes.mean()) == pytest.approx(0.5, abs=0.05)
        assert float(codes.std()) == pytest.approx(1, abs=0.05)
    assert not torch.equal(seen[0][:3], seen[1])


# --- training and refining -----------------------------------------------------------------


def test_training_lowers_what_is_lost_and_brings_images_to_the_target() -> None:
    made = method(layers=2, learning_rate=3e-3)
    losses = train(made, 0, 60)
    for name in ("reconstruction", "cycle"):
        assert losses[-1][name] < 0.5 * losses[0][name]
    given = batch(1000)
    with torch.no_grad():
        refined = made.eval().refine(given.sim)
    before = float((given.sim.mean() - given.real.mean()).abs())
    assert float((refined.mean() - given.real.mean()).abs()) < 0.4 * before


@pytest.mark.parametrize("size", [(16, 20), (8, 8)])
def test_each_image_is_refined_for_itself_and_the_same_each_time(size: tuple[int, int]) -> None:
    made = method().double().eval()
    sim = 2 * torch.rand(5, 3, *size, generator=torch.Generator().manual_seed(0)).double() - 1
    with torch.no_grad():
        refined, again = made.refine(sim), made.refine(sim)
        alone = torch.cat([made.refine(image[None]) for image in sim])
        wanted = made.make_real(made.encode_sim(sim))
    assert refined.shape == sim.shape
    assert refined.abs().max() <= 1
    assert torch.equal(refined, again)
    assert torch.equal(refined, wanted)
    torch.testing.assert_close(refined, alone, atol=1e-9, rtol=0)  # float32 rounds by batch size


@pytest.mark.parametrize("share", [True, False])
def test_a_step_after_a_break_is_the_same_bit_for_bit(share: bool) -> None:
    made, other = method(share=share), method(seed=1, share=share)
    train(made, 0, 3)
    state = unpack(pack({"networks": made.state_dict(), "training": made.training_state()}))
    other.load_state_dict(state["networks"])
    other.load_training_state(state["training"])
    assert train(made, 3, 5) == train(other, 3, 5)
    assert same(weights(made), weights(other))
