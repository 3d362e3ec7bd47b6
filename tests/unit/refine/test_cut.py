from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.learn.initial import initial_weights
from metasim.refine.contrast import PatchEmbedding, contrast, draw_places
from metasim.refine.method import Batch
from metasim.refine.methods.cut import CUTMethod
from metasim.refine.networks.layers import ResidualBlock
from metasim.refine.options import CUT

SIZE = (16, 16)
SMALL: dict[str, Any] = {
    "width": 4,
    "blocks": 1,
    "discriminator_width": 4,
    "batch_size": 2,
    "patches": 12,
    "embedding": 8,
    "nce_identity": True,
}


def made(seed: int = 0, **settings: Any) -> CUTMethod:
    with initial_weights(seed):
        return CUTMethod(CUT(**{**SMALL, **settings}), SIZE)


def images(seed: int, count: int = 2) -> Tensor:
    """Smooth ones, from -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    return F.interpolate(rough, SIZE, mode="bilinear")


def batch(seed: int = 0, count: int = 2) -> Batch:
    """Dark renders, bright target images."""
    return Batch(images(2 * seed, count) / 2 - 0.5, images(2 * seed + 1, count) / 2 + 0.5)


def stepped(method: CUTMethod, number: int = 0, of: Batch | None = None) -> dict[str, Tensor]:
    with initial_weights(number):
        return method.step(number, batch(number) if of is None else of)


def directions(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- the contrast --------------------------------------------------------------------------


def test_the_contrast_is_the_one_told_by_hand() -> None:
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    keys = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [0.0, -1.0]]])
    # Similarities over 0.5: own key 2, other 1.2, and own 1.6, other 0; then all of them 0.
    first = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2
    assert contrast(queries, keys, 0.5).tolist() == pytest.approx([first, math.log(2)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 9))
def test_it_is_the_published_form_with_the_positive_beside_masked_negatives(
    seed: int, count: int
) -> None:
    queries, keys = directions(seed, 2, 3, count, 5)
    positive = (queries * keys).sum(2, keepdim=True)
    negatives = torch.einsum("bpd,bqd->bpq", queries, keys)
    negatives.diagonal(dim1=1, dim2=2).fill_(-10)
    logits = torch.cat([positive, negatives], 2) / 0.07
    expected = -logits.log_softmax(2)[:, :, 0].mean(1)
    torch.testing.assert_close(contrast(queries, keys, 0.07), expected)


def test_it_is_the_logarithm_of_the_count_where_all_is_alike() -> None:
    same = directions(0, 1, 1, 5).expand(2, 7, 5)
    assert contrast(same, same, 0.07).tolist() == pytest.approx([math.log(7)] * 2)


def test_it_is_small_where_each_query_is_its_key_alone() -> None:
    keys = torch.eye(6)[None]
    assert float(contrast(keys, keys, 0.07)) < 1e-5
    assert float(contrast(keys, keys.roll(1, 1), 0.07)) > 10


def test_negatives_are_of_the_same_image() -> None:
    queries, keys = directions(1, 2, 3, 6, 4)
    alone = [contrast(queries[n : n + 1], keys[n : n + 1], 0.07) for n in range(3)]
    torch.testing.assert_close(contrast(queries, keys, 0.07), torch.cat(alone))


def test_gradients_flow_to_queries_and_not_to_keys() -> None:
    queries, keys = (one.requires_grad_() for one in directions(2, 2, 1, 6, 4).unbind())
    contrast(queries, keys, 0.07).sum().backward()
    assert queries.grad is not None
    assert bool((queries.grad.abs().sum(2) > 0).all())
    assert keys.grad is None


# --- patches -------------------------------------------------------------------------------


def test_places_are_drawn_without_repetition_for_each_layer() -> None:
    maps = [torch.zeros(2, 3, 8, 4), torch.zeros(2, 5, 2, 3)]
    with initial_weights(0):
        wide, narrow = draw_places(maps, 20)
        again, _ = draw_places(maps, 20)
    assert len(wide) == len({*wide.tolist()}) == 20
    assert {*wide.tolist()} < {*range(32)}
    assert sorted(narrow.tolist()) == [*range(6)]  # all that there are
    assert not torch.equal(wide, again)


def test_all_places_are_drawn_equally_often() -> None:
    maps = [torch.zeros(1, 1, 3, 4)]
    with initial_weights(0):
        drawn = torch.cat([draw_places(maps, 3)[0] for _ in range(2000)])
    found = torch.bincount(drawn, minlength=12)
    assert float((found - 500).abs().max()) < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_patches_are_taken_where_they_are_and_alike_from_queries_and_keys() -> None:
    """Queries that are the keys' maps are their own keys, though they are embedded apart."""
    with initial_weights(0):
        embedding = PatchEmbedding([2], 16)
        places = draw_places([torch.zeros(1, 2, 5, 7)], 9)
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    maps = torch.stack([rows, columns])[None]
    (found,) = embedding([maps], places)
    by_hand = torch.tensor([[int(place) // 7, int(place) % 7] for place in places[0]]).float()
    expected = F.normalize(embedding.perceptrons[0](by_hand), dim=1)
    torch.testing.assert_close(found[0], expected)


def test_embedded_patches_have_a_length_of_1_and_stay_with_their_image() -> None:
    with initial_weights(0):
        embedding = PatchEmbedding([3, 8], 6)
        maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 8, 2, 2)]
        places = draw_places(maps, 10)
    found = embedding(maps, places)
    assert [one.shape for one in found] == [(2, 10, 6), (2, 4, 6)]
    for one in found:
        torch.testing.assert_close(one.norm(dim=2), torch.ones(one.shape[:2]))
    alone = embedding([one[1:] for one in maps], places)
    for one, other in zip(found, alone, strict=True):
        torch.testing.assert_close(one[1:], other)


# --- networks ------------------------------------------------------------------------------


def convolution(side: int, inputs: int, outputs: int) -> int:
    """How many weights and biases it has."""
    return side * side * inputs * outputs + outputs


def counts(network: nn.Module) -> list[int]:
    """Of all layers that have weights, in order."""
    own = [[p.numel() for p in layer.parameters(recurse=False)] for layer in network.modules()]
    return [sum(sizes) for sizes in own if sizes]


def test_the_published_networks_have_the_published_sizes() -> None:
    with initial_weights(0):
        method = CUTMethod(CUT(preset="paper"), (256, 256))
    generator = {
        "7 x 7": convolution(7, 3, 64),
        "down 1": convolution(3, 64, 128),
        "down 2": convolution(3, 128, 256),
        **{f"block {n}, {which}": convolution(3, 256, 256) for n in range(9) for which in (1, 2)},
        "up 1": convolution(3, 256, 128),
        "up 2": convolution(3, 128, 64),
        "to image": convolution(7, 64, 3),
    }
    discriminator = {
        "down 1": convolution(4, 3, 64),
        "down 2": convolution(4, 64, 128),
        "down 3": convolution(4, 128, 256),
        "widest": convolution(4, 256, 512),
        "judgement": convolution(4, 512, 1),
    }
    compared = {"image": 3, "down 1": 128, "down 2": 256, "block 1": 256, "block 5": 256}
    embedding = {
        (name, which): convolution(1, inputs, 256)
        for name, channels in compared.items()
        for which, inputs in (("first", channels), ("second", 256))
    }
    assert counts(method.generator) == [*generator.values()]
    assert counts(method.discriminator) == [*discriminator.values()]
    assert counts(method.embedding) == [*embedding.values()]
    everything = sum(p.numel() for p in method.parameters())
    assert everything == 11_378_179 + 2_764_737 + sum(embedding.values())
    # C x 256 weights and 256 x 256 more, with 256 biases each, for 3 + 128 + 3 x 256 channels.
    assert sum(embedding.values()) == (3 + 128 + 3 * 256) * 256 + 5 * (256 * 256 + 2 * 256)


@pytest.mark.parametrize(("blocks", "middle"), [(9, 5), (6, 4), (3, 2), (2, 2), (1, 1)])
def test_the_image_both_halvings_and_two_blocks_are_compared(blocks: int, middle: int) -> None:
    method = made(blocks=blocks)
    layers = [*method.generator.layers]
    compared = [layers[place - 1] for place in method.compared if place]
    halvings = [
        layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)
    ]
    found = [layer for layer in layers if isinstance(layer, ResidualBlock)]
    assert 0 in method.compared
    assert compared == [*halvings, *dict.fromkeys([found[0], found[middle - 1]])]
    maps = method.generator.features(images(0), method.compared)
    assert torch.equal(maps[0], images(0))
    assert [one.shape[1:] for one in maps[:4]] == [(3, 16, 16), (8, 8, 8), (16, 4, 4), (16, 4, 4)]


@pytest.mark.parametrize(
    ("size", "layers", "told"),
    [
        ((30, 32), 2, "multiples of 4, got 30 x 32"),
        ((16, 32), 3, "layers 3 needs images of at least 24 pixels, got 16 x 32"),
    ],
)
def test_sizes_that_the_networks_cannot_take_are_refused(
    size: tuple[int, int], layers: int, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        CUTMethod(CUT(layers=layers), size)


# --- a step --------------------------------------------------------------------------------


def expected_losses(
    method: CUTMethod, of: Batch, seed: int, *, mirrored: bool = False
) -> dict[str, Tensor]:
    """All losses of a step, domain by domain, as the paper writes them."""
    options, generator = method.options, method.generator

    def turned(maps: Tensor) -> Tensor:
        return maps.flip(3) if mirrored else maps

    def nce(source: Tensor, translated: Tensor) -> Tensor:
        keys = method.embedding(generator.features(source, method.compared), places)
        queries = [turned(one) for one in generator.features(turned(translated), method.compared)]
        layers = zip(method.embedding(queries, places), keys, strict=True)
        return torch.stack([contrast(q, k, options.temperature).mean() for q, k in layers]).mean()

    with initial_weights(seed):
        if options.flip:
            assert (float(torch.rand(())) < 0.5) == mirrored
        places = draw_places(generator.features(of.sim, method.compared), options.patches)
    refined = turned(generator(turned(of.sim)))
    kept = turned(generator(turned(of.real)))
    judge = method.discriminator
    losses = {
        "generator": ((judge(refined) - 1) ** 2).mean(),
        "discriminator": 0.5
        * (((judge(of.real) - 1) ** 2).mean() + (judge(refined.detach()) ** 2).mean()),
        "nce": nce(of.sim, refined),
    }
    return losses | ({"nce_identity": nce(of.real, kept)} if options.nce_identity else {})


def seed_that_mirrors(mirrored: bool) -> int:
    for seed in range(100):
        with initial_weights(seed):
            if (float(torch.rand(())) < 0.5) == mirrored:
                return seed
    raise AssertionError("a fair coin has two sides")


CASES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"nce_identity": False}, False),
    ({"nce": 10.0, "nce_identity": False, "flip": True}, True),  # FastCUT
    ({"nce": 10.0, "nce_identity": False, "flip": True}, False),
    ({"nce": 2.0, "flip": True}, True),
]


@pytest.mark.parametrize(("given_settings", "mirrored"), CASES)
def test_the_losses_and_the_gradients_are_those_of_the_paper(
    given_settings: dict[str, Any], mirrored: bool
) -> None:
    method = made(blocks=2, **given_settings).double()
    other = copy.deepcopy(method)
    seed, of = seed_that_mirrors(mirrored), Batch(batch().sim.double(), batch().real.double())
    told = stepped(method, seed, of)
    expected = expected_losses(other, of, seed, mirrored=mirrored)
    assert {*told} == {*expected}
    for name, value in expected.items():
        torch.testing.assert_close(told[name], value.detach())
        assert not told[name].requires_grad

    nce = expected["nce"]
    if method.options.nce_identity:
        nce = (nce + expected["nce_identity"]) / 2
    trained = nn.ModuleList([other.generator, other.embedding])
    loss = expected["generator"] + method.options.nce * nce
    # Above keys are embedded with gradients, but the contrast passes none on to them.
    gradients = torch.autograd.grad(loss, [*trained.parameters()], retain_graph=True)
    for one, gradient in zip(
        nn.ModuleList([method.generator, method.embedding]).parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(one.grad, gradient)
    judging = [*other.discriminator.parameters()]
    gradients = torch.autograd.grad(expected["discriminator"], judging)
    for one, gradient in zip(method.discriminator.parameters(), gradients, strict=True):
        torch.testing.assert_close(one.grad, gradient)


def test_without_the_identity_target_images_are_not_translated() -> None:
    of = batch()
    for identity, count in ((True, 4), (False, 2)):
        method = made(nce_identity=identity)
        given: list[Tensor] = []
        method.generator.register_forward_pre_hook(lambda _, args, to=given: to.append(args[0]))
        told = stepped(method, of=of)
        (translated,) = given
        assert torch.equal(translated, torch.cat([of.sim, of.real])[:count])
        assert ("nce_identity" in told) == identity


@pytest.mark.parametrize("flip", [True, False])
def test_half_of_the_batches_are_mirrored_where_it_is_asked_for(flip: bool) -> None:
    method, of = made(flip=flip, nce_identity=False), batch()
    given: list[Tensor] = []
    method.generator.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    for number in range(24):
        stepped(method, number, of)
    mirrored = sum(torch.equal(one, of.sim.flip(3)) for one in given)
    plain = sum(torch.equal(one, of.sim) for one in given)
    assert mirrored + plain == len(given) == 24
    assert (4 < mirrored < 20) if flip else not mirrored


def test_the_discriminator_judges_what_was_mirrored_the_right_way_round() -> None:
    method = made(flip=True)
    other = copy.deepcopy(method)
    seen: list[Tensor] = []
    method.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    of = batch()
    stepped(method, seed_that_mirrors(True), of)
    generated, real, again = seen
    torch.testing.assert_close(generated, other.generator(of.sim.flip(3)).flip(3))
    assert torch.equal(real, of.real)
    assert torch.equal(again, generated)
    assert not again.requires_grad


def test_a_plain_render_does_not_spoil_the_training() -> None:
    """A new generator makes 0 of it, which has no direction; gradients would have no bound."""
    plain = torch.full((2, 3, *SIZE), 0.25)
    method = made()
    told = stepped(method, of=Batch(plain, plain))
    assert all(bool(value.isfinite()) for value in told.values())
    largest = max(float(p.grad.abs().max()) for p in method.parameters() if p.grad is not None)
    assert largest < 1e3


# --- training ------------------------------------------------------------------------------


def test_both_optimisers_have_the_settings_and_all_weights_between_them() -> None:
    method = made(learning_rate=3e-4, betas=(0.4, 0.9))
    assert {*method.optimisers} == {"generator", "discriminator"}
    assert not method.pools
    held = []
    for optimiser in method.optimisers.values():
        assert type(optimiser) is torch.optim.Adam
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-4, (0.4, 0.9), 0)
        held += group["params"]
    assert sorted(map(id, held)) == sorted(map(id, method.parameters()))


@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_neither_step_changes_the_other_side(still: str) -> None:
    method = made()
    sides = {
        "generator": nn.ModuleList([method.generator, method.embedding]),
        "discriminator": method.discriminator,
    }
    for group in method.optimisers[still].param_groups:
        group["lr"] = 0.0
    before = {name: copy.deepcopy([*side.parameters()]) for name, side in sides.items()}
    stepped(method)
    for name, side in sides.items():
        assert equal([*side.parameters()], before[name]) == (name == still)


@pytest.mark.parametrize("flip", [True, False])
def test_a_training_goes_on_bit_for_bit(flip: bool) -> None:
    whole = made(flip=flip)
    for number in range(3):
        stepped(whole, number)
    networks, state = copy.deepcopy((whole.state_dict(), whole.training_state()))
    gone_on = made(seed=9, flip=flip)
    gone_on.load_state_dict(networks)
    gone_on.load_training_state(state)
    for number in range(3, 6):
        told, again = stepped(whole, number), stepped(gone_on, number)
        assert equal([*told.values()], [*again.values()])
    assert equal([*whole.parameters()], [*gone_on.parameters()])


def test_it_learns_a_gap_of_brightness() -> None:
    method = made(width=8, discriminator_width=8, learning_rate=2e-3)
    told = [stepped(method, number, batch(number % 4, 4)) for number in range(50)]
    nce = [float(one["nce"] + one["nce_identity"]) for one in told]
    assert sum(nce[-5:]) < 0.8 * sum(nce[:5])
    of = batch(1, 4)
    with torch.no_grad():
        refined = method.eval().refine(of.sim)
    missing = (refined.mean() - of.real.mean()).abs()
    assert float(missing) < 0.3 * float((of.sim.mean() - of.real.mean()).abs())


# --- refining ------------------------------------------------------------------------------


def test_renders_are_refined_each_for_itself_and_always_alike() -> None:
    method = made(width=8, blocks=2, flip=True).eval()
    sim = images(5, 4)
    with torch.no_grad():
        refined = method.refine(sim)
        assert torch.equal(method.refine(sim, condition=images(6, 4)), refined)
        for number in range(4):
            alone = method.refine(sim[number : number + 1])
            torch.testing.assert_close(alone[0], refined[number], atol=1e-5, rtol=0)
    assert refined.shape == sim.shape
    assert float(refined.abs().max()) <= 1


def test_what_is_refined_stays_in_range_whatever_the_weights() -> None:
    method = made().eval()
    with torch.no_grad():
        for weight in method.parameters():
            weight.mul_(100)
        refined = method.refine(images(0))
    assert float(refined.abs().max()) <= 1
    assert float(refined.std()) > 0.1
