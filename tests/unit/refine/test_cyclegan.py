from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.learn.initial import initial_weights
from metasim.refine.method import Batch
from metasim.refine.methods.cyclegan import CycleGANMethod
from metasim.refine.networks.patch import PatchDiscriminator
from metasim.refine.options import CycleGAN

SIZE = (16, 16)
SMALL: dict[str, Any] = {"width": 4, "blocks": 1, "discriminator_width": 4, "batch_size": 2}


def made(seed: int = 0, **settings: Any) -> CycleGANMethod:
    with initial_weights(seed):
        return CycleGANMethod(CycleGAN(**{**SMALL, **settings}), SIZE)


def images(seed: int, count: int = 2) -> Tensor:
    """Smooth ones, from -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    return F.interpolate(rough, SIZE, mode="bilinear")


def batch(seed: int = 0, count: int = 2) -> Batch:
    """Dark renders, bright target images."""
    return Batch(images(2 * seed, count) / 2 - 0.5, images(2 * seed + 1, count) / 2 + 0.5)


def stepped(method: CycleGANMethod, number: int = 0, of: Batch | None = None) -> dict[str, Tensor]:
    with initial_weights(number):
        return method.step(number, batch(number) if of is None else of)


def weights(*networks: nn.Module) -> list[Tensor]:
    return [one.detach().clone() for network in networks for one in network.parameters()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def convolution(side: int, inputs: int, outputs: int) -> int:
    """How many weights and biases it has."""
    return side * side * inputs * outputs + outputs


def counts(network: nn.Module) -> list[int]:
    """Of all layers that have weights, in order."""
    own = [[p.numel() for p in layer.parameters(recurse=False)] for layer in network.modules()]
    return [sum(sizes) for sizes in own if sizes]


# --- networks ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> CycleGANMethod:
    with initial_weights(0):
        return CycleGANMethod(CycleGAN(preset="paper"), (256, 256))


def test_the_published_generators_have_11_378_million_weights(published: CycleGANMethod) -> None:
    layers = {
        "7 x 7": convolution(7, 3, 64),
        "down 1": convolution(3, 64, 128),
        "down 2": convolution(3, 128, 256),
        **{f"block {n}, {which}": convolution(3, 256, 256) for n in range(9) for which in (1, 2)},
        "up 1": convolution(3, 256, 128),
        "up 2": convolution(3, 128, 64),
        "to image": convolution(7, 64, 3),
    }
    assert counts(published.to_real) == counts(published.to_sim) == [*layers.values()]
    assert sum(layers.values()) == 11_378_179
    shown = torch.zeros(1, 3, 32, 32)
    assert published.to_real(shown).shape == published.to_sim(shown).shape == shown.shape


def test_the_published_discriminators_have_2_765_million_weights(
    published: CycleGANMethod,
) -> None:
    layers = {
        "down 1": convolution(4, 3, 64),
        "down 2": convolution(4, 64, 128),
        "down 3": convolution(4, 128, 256),
        "widest": convolution(4, 256, 512),
        "judgement": convolution(4, 512, 1),
    }
    assert counts(published.of_real) == counts(published.of_sim) == [*layers.values()]
    assert sum(layers.values()) == 2_764_737
    with torch.no_grad():
        assert published.of_real(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_there_are_two_networks_of_each_and_nothing_else(published: CycleGANMethod) -> None:
    assert sum(p.numel() for p in published.parameters()) == 2 * (11_378_179 + 2_764_737)


def test_a_patch_has_70_pixels() -> None:
    with initial_weights(0):  # a norm would spread over the whole image
        discriminator = PatchDiscriminator(2, 3, norm=lambda _: nn.Identity())
    seen = torch.zeros(1, 3, 128, 128, requires_grad=True)
    discriminator(seen)[0, 0, 7, 7].backward()
    assert seen.grad is not None
    rows, columns = (seen.grad[0].abs().sum(0) > 0).nonzero(as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == 70
    assert int(columns.max() - columns.min()) + 1 == 70


def test_weights_begin_with_a_deviation_of_0_02_and_without_biases() -> None:
    method = made(width=16, discriminator_width=16)
    for name, weight in method.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif weight.numel() > 2000:
            assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_instance_norm_is_after_all_but_the_first_and_the_last_of_the_discriminator() -> None:
    kinds = [type(layer).__name__ for layer in made(layers=2).of_real.layers]
    between = ["Conv2d", "InstanceNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *between, *between, "Conv2d"]
    slopes = [
        layer.negative_slope for layer in made().of_real.layers if hasattr(layer, "negative_slope")
    ]
    assert {*slopes} == {0.2}


@pytest.mark.parametrize(
    ("size", "layers", "told"),
    [
        ((30, 32), 2, "multiples of 4, got 30 x 32"),
        ((32, 33), 2, "multiples of 4, got 32 x 33"),
        ((16, 32), 3, "layers 3 needs images of at least 24 pixels, got 16 x 32"),
    ],
)
def test_sizes_that_the_networks_cannot_take_are_refused(
    size: tuple[int, int], layers: int, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        CycleGANMethod(CycleGAN(layers=layers), size)


@pytest.mark.parametrize(("side", "layers"), [(8, 1), (12, 2), (24, 3)])
def test_the_smallest_size_is_trained_on(side: int, layers: int) -> None:
    with initial_weights(0):
        method = CycleGANMethod(CycleGAN(**SMALL, layers=layers), (side, side))
        small = images(0)[:, :, :1, :1].repeat(1, 1, side, side)
        told = method.step(0, Batch(small, -small))
    assert all(bool(value.isfinite()) for value in told.values())


# --- losses --------------------------------------------------------------------------------


class Scale(nn.Module):
    """Multiplies: a network whose losses can be told by hand."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, given: Tensor) -> Tensor:
        return self.factor * given

    @property
    def gradient(self) -> float:
        assert self.factor.grad is not None
        return float(self.factor.grad)


TO_REAL, TO_SIM, OF_REAL, OF_SIM = 0.5, 0.75, 0.25, -0.5


def by_hand(**settings: Any) -> tuple[dict[str, Tensor], dict[str, Scale]]:
    """A step on renders that are 1 and target images that are -1, with networks that multiply."""
    method = made(**settings)
    factors = {"to_real": TO_REAL, "to_sim": TO_SIM, "of_real": OF_REAL, "of_sim": OF_SIM}
    scales = {name: Scale(factor) for name, factor in factors.items()}
    for name, scale in scales.items():
        setattr(method, name, scale)
    both = {"generators": ("to_real", "to_sim"), "discriminators": ("of_real", "of_sim")}
    for optimiser, names in both.items():
        setattr(method, optimiser, method.adam(optimiser, [scales[name].factor for name in names]))
    ones = torch.ones(2, 3, *SIZE)
    return stepped(method, of=Batch(ones, -ones)), scales


def test_the_losses_are_those_told_by_hand() -> None:
    told, _ = by_hand(identity=0.5, pool=0)
    refined, simulated = TO_REAL, -TO_SIM
    assert {name: float(value) for name, value in told.items()} == pytest.approx(
        {
            "generator": (OF_REAL * refined - 1) ** 2 + (OF_SIM * simulated - 1) ** 2,
            "cycle": abs(TO_SIM * refined - 1) + abs(TO_REAL * simulated + 1),
            "identity": abs(-TO_REAL + 1) + abs(TO_SIM - 1),
            "discriminator": 0.5
            * (
                ((-OF_REAL - 1) ** 2 + (OF_REAL * refined) ** 2)
                + ((OF_SIM - 1) ** 2 + (OF_SIM * simulated) ** 2)
            ),
        }
    )
    assert not any(value.requires_grad for value in told.values())


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("cycle", [10.0, 3.0])
def test_the_generators_loss_has_the_cycle_and_a_share_of_it_for_the_identity(
    cycle: float, share: float
) -> None:
    told, scales = by_hand(cycle=cycle, identity=share, pool=0)
    # |as - 1| twice in the cycle, and |1 - a| in the identity; as and a are below 1.
    expected = 2 * OF_REAL * (OF_REAL * TO_REAL - 1) - cycle * (2 * TO_SIM + share)
    assert scales["to_real"].gradient == pytest.approx(expected)
    expected = -2 * OF_SIM * (-OF_SIM * TO_SIM - 1) - cycle * (2 * TO_REAL + share)
    assert scales["to_sim"].gradient == pytest.approx(expected)
    assert ("identity" in told) == (share > 0)


def test_the_discriminators_learn_from_half_their_loss_and_nothing_else() -> None:
    _, scales = by_hand(pool=0)
    # What the generators' loss left there would be in these, too.
    expected = 0.5 * (2 * (OF_REAL + 1) + 2 * OF_REAL * TO_REAL**2)
    assert scales["of_real"].gradient == pytest.approx(expected)
    expected = 0.5 * (2 * (OF_SIM - 1) + 2 * OF_SIM * TO_SIM**2)
    assert scales["of_sim"].gradient == pytest.approx(expected)


def seen_by(discriminator: nn.Module) -> list[Tensor]:
    """What it will be shown; in each step a generated batch, a real one, and one of the pool."""
    seen: list[Tensor] = []
    discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


@pytest.mark.parametrize("name", ["of_real", "of_sim"])
def test_discriminators_are_shown_images_of_the_pool(name: str) -> None:
    method = made(pool=1, batch_size=1)
    seen = seen_by(getattr(method, name))
    kept: Tensor | None = None
    old = []
    for number in range(20):
        seen.clear()
        of = batch(number, 1)
        stepped(method, number, of)
        generated, real, judged = seen
        assert generated.requires_grad
        assert torch.equal(real, of.real if name == "of_real" else of.sim)
        assert not judged.requires_grad
        if number and not torch.equal(judged, generated):
            assert kept is not None
            assert torch.equal(judged, kept)
            old.append(number)
        if number == 0 or number in old:
            kept = generated.detach().clone()
    assert 3 < len(old) < 17


def test_without_a_pool_they_are_shown_what_was_just_made() -> None:
    method = made(pool=0)
    seen = seen_by(method.of_real)
    stepped(method)
    generated, _, judged = seen
    assert torch.equal(judged, generated)
    assert not judged.requires_grad


# --- training ------------------------------------------------------------------------------


def test_both_optimisers_have_the_settings_and_all_weights_between_them() -> None:
    method = made(learning_rate=3e-4, betas=(0.4, 0.9))
    assert {*method.optimisers} == {"generators", "discriminators"}
    held = []
    for optimiser in method.optimisers.values():
        assert type(optimiser) is torch.optim.Adam
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-4, (0.4, 0.9), 0)
        held += group["params"]
    assert sorted(map(id, held)) == sorted(map(id, method.parameters()))


@pytest.mark.parametrize("still", ["generators", "discriminators"])
def test_neither_step_changes_the_other_side(still: str) -> None:
    method = made(identity=0.5)
    sides = {
        "generators": (method.to_real, method.to_sim),
        "discriminators": (method.of_real, method.of_sim),
    }
    for group in method.optimisers[still].param_groups:
        group["lr"] = 0.0
    before = {name: weights(*networks) for name, networks in sides.items()}
    stepped(method)
    for name, networks in sides.items():
        assert equal(weights(*networks), before[name]) == (name == still)


def test_both_sides_begin_with_the_full_gradient_of_their_own_loss() -> None:
    """Discriminators judge what was made before the generators' step, and with old weights."""
    method = made(pool=0)
    of = batch()
    other = copy.deepcopy(method)
    told = stepped(method, of=of)
    refined, simulated = other.to_real(of.sim), other.to_sim(of.real)
    judged = 0.5 * (
        ((other.of_real(of.real) - 1) ** 2).mean()
        + (other.of_real(refined.detach()) ** 2).mean()
        + ((other.of_sim(of.sim) - 1) ** 2).mean()
        + (other.of_sim(simulated.detach()) ** 2).mean()
    )
    torch.testing.assert_close(told["discriminator"], judged.detach())
    judged.backward()
    for name in ("of_real", "of_sim"):
        sides = (getattr(found, name).parameters() for found in (method, other))
        for one, expected in zip(*sides, strict=True):
            torch.testing.assert_close(one.grad, expected.grad)


def test_a_training_goes_on_bit_for_bit() -> None:
    whole = made(pool=3, identity=0.5)
    for number in range(3):
        stepped(whole, number)
    networks, state = copy.deepcopy((whole.state_dict(), whole.training_state()))
    gone_on = made(seed=9, pool=3, identity=0.5)
    gone_on.load_state_dict(networks)
    gone_on.load_training_state(state)
    for number in range(3, 6):
        told, again = stepped(whole, number), stepped(gone_on, number)
        assert equal([*told.values()], [*again.values()])
    assert equal(weights(whole), weights(gone_on))
    for name, pool in whole.pools.items():
        kept = gone_on.pools[name].images
        assert pool.images is not None
        assert kept is not None
        assert torch.equal(pool.images, kept)


def test_it_goes_on_otherwise_without_its_pools() -> None:
    method = made(pool=3)
    for number in range(3):
        stepped(method, number)
    other = copy.deepcopy(method)
    assert other.pools["real"].images is not None
    other.pools["real"].images = -other.pools["real"].images
    differ = [
        not torch.equal(stepped(method, n)["discriminator"], stepped(other, n)["discriminator"])
        for n in range(3, 9)
    ]
    assert any(differ)


def test_it_learns_a_gap_of_brightness() -> None:
    method = made(width=8, blocks=1, discriminator_width=8, learning_rate=2e-3)
    told = [stepped(method, number, batch(number % 4, 4)) for number in range(50)]
    cycle = [float(one["cycle"]) for one in told]
    assert sum(cycle[-5:]) < 0.7 * sum(cycle[:5])
    of = batch(1, 4)
    with torch.no_grad():
        refined = method.eval().refine(of.sim)
    missing = (refined.mean() - of.real.mean()).abs()
    assert float(missing) < 0.3 * float((of.sim.mean() - of.real.mean()).abs())


# --- refining ------------------------------------------------------------------------------


def test_renders_are_refined_each_for_itself_and_always_alike() -> None:
    method = made(width=8, blocks=2).eval()
    sim = images(5, 4)
    with torch.no_grad():
        refined = method.refine(sim)
        assert torch.equal(method.refine(sim, condition=images(6, 4)), refined)
        for number in range(4):
            alone = method.refine(sim[number : number + 1])
            torch.testing.assert_close(alone[0], refined[number], atol=1e-5, rtol=0)
    assert refined.shape == sim.shape
    assert float(refined.abs().max()) <= 1
    assert torch.equal(refined, method.to_real(sim).detach())


def test_what_is_refined_stays_in_range_whatever_the_weights() -> None:
    method = made().eval()
    with torch.no_grad():
        for weight in method.parameters():
            weight.mul_(100)
        refined = method.refine(images(0))
    assert float(refined.abs().max()) <= 1
    assert float(refined.std()) > 0.1
