"""Deep Translation Prior: its networks, warping and losses by hand, and its training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasim.errors import DataError, TrainingError
from metasim.learn.initial import initial_weights
from metasim.refine.descent import descend
from metasim.refine.encoder import Encoder, load_encoder
from metasim.refine.methods import dtp
from metasim.refine.methods.dtp import Appearance, DTPMethod, TranslationNetwork, style_distance
from metasim.refine.networks import correspondence as module
from metasim.refine.networks.correspondence import (
    correspondence,
    descriptors,
    directions,
    nearest,
    warp,
)
from metasim.refine.networks.decoder import Decoder
from metasim.refine.options import DTP

CONTENT = {"r12": 1 / 32, "r22": 1 / 16, "r34": 1 / 8}
STYLE = {"r12": 1 / 64, "r22": 1 / 32, "r34": 1 / 16, "r44": 1 / 8, "r54": 1 / 4}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(stand_in="random", scale=1 / 8)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def render(height: int = 16, width: int = 16) -> Tensor:
    """A bright square on a dark ground."""
    image = torch.full((1, 3, height, width), -0.6)
    image[..., height // 4 : height // 2, width // 4 : width // 2] = 0.7
    return image


def photograph(height: int = 16, width: int = 16, seed: int = 0) -> Tensor:
    """Bluish, with noise."""
    colour = torch.tensor([-0.3, 0.0, 0.4]).view(1, 3, 1, 1)
    return (colour + 0.3 * draw(1, 3, height, width, seed=seed)).clamp(-1, 1)


def settings(**given: Any) -> DTP:
    few = {"iterations": 2, "scale": 1 / 8, "patches": 256, "sample_every": 100}
    return DTP(**{"stand_in": "random", **few, **given})


# --- the decoder ----------------------------------------------------------------------------


# Input and output channels of each convolution; all but the last are normalised.
LAYERS = [
    (256, 256), (256, 256), (256, 128),
    (128, 128), (128, 128), (128, 128), (128, 64),
    (64, 64), (64, 64), (64, 32), (32, 32), (32, 32), (32, 3),
]  # fmt: skip


def layers(network: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [one for one in network.modules() if isinstance(one, kind)]


def test_the_decoder_has_as_many_parameters_as_its_layers_add_up_to() -> None:
    with torch.device("meta"):
        decoder = Decoder(256)
    assert len(LAYERS) == 13
    convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in LAYERS)
    norms = sum(2 * outputs for _, outputs in LAYERS[:-1])
    assert sum(one.numel() for one in decoder.parameters()) == convolutions + norms
    found = [(one.in_channels, one.out_channels) for one in layers(decoder, nn.Conv2d)]
    assert found == LAYERS
    norms_found = layers(decoder, nn.InstanceNorm2d)
    assert [one.num_features for one in norms_found] == [outputs for _, outputs in LAYERS[:-1]]
    assert all(one.affine for one in norms_found)


def test_a_scale_is_of_all_the_decoder_s_widths_but_the_first_and_the_last() -> None:
    with torch.device("meta"):
        decoder = Decoder(256, 1 / 8)
    found = [(one.in_channels, one.out_channels) for one in layers(decoder, nn.Conv2d)]
    eighths = [(inputs // 8, outputs // 8) for inputs, outputs in LAYERS]
    assert found == [(256, 32), *eighths[1:-1], (4, 3)]


def test_maps_are_doubled_after_the_third_and_the_seventh_convolution() -> None:
    with initial_weights(0):
        decoder = Decoder(32, 1 / 8)
    seen: list[tuple[int, int]] = []
    for one in layers(decoder, nn.Conv2d):
        one.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[2:])))
    assert decoder(draw(2, 32, 3, 5)).shape == (2, 3, 12, 20)
    assert seen == [(3, 5)] * 3 + [(6, 10)] * 4 + [(12, 20)] * 6


def test_blocks_are_residual_where_widths_agree() -> None:
    with initial_weights(0):
        decoder = Decoder(32, 1 / 8)
    with torch.no_grad():
        for one in layers(decoder, nn.InstanceNorm2d):
            one.weight.zero_()  # so that blocks give nothing
    residual = [inputs == outputs for inputs, outputs in LAYERS[:-1]]
    maps = draw(1, 32, 2, 2)
    blocks = [one for one in decoder.layers if not isinstance(one, nn.Upsample)][:-1]
    for block, through in zip(blocks, residual, strict=True):
        out = block(maps)
        assert torch.equal(out, maps if through else torch.zeros_like(out))
        maps = out


# --- correspondence and warping -------------------------------------------------------------


def test_descriptors_are_a_place_and_its_neighbours_centred_and_of_length_one() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # The first place's neighbourhood, row by row, with zeros around the map: the mean is 10 / 9.
    first = torch.tensor([0.0, 0, 0, 0, 1, 2, 0, 3, 4]) - 10 / 9
    found = descriptors(maps)
    assert found.shape == (4, 9)
    torch.testing.assert_close(found[0], first / first.norm())
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(found.sum(1), torch.zeros(4), atol=1e-6, rtol=0)


def test_a_constant_neighbourhood_has_no_descriptor_and_no_trouble() -> None:
    maps = torch.full((1, 2, 3, 3), 2.0, requires_grad=True)
    found = descriptors(maps)
    assert torch.equal(found[4], torch.zeros(18))
    found.sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_the_correspondence_is_the_softmax_of_cosines_over_a_hundredth() -> None:
    content = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    style = torch.tensor([[0.8, 0.6], [0.79, math.sqrt(1 - 0.79**2)], [0.0, -1.0]])
    found = correspondence(content, style)
    for row, one in zip(found, content, strict=True):
        each = [math.exp((float(one @ other) - 1) / 0.01) for other in style]
        assert row.tolist() == pytest.approx([e / sum(each) for e in each], rel=1e-3)
    assert found[0, 0] == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-3)


def test_the_correspondence_has_no_subnormal_numbers() -> None:
    angles = torch.linspace(0, math.pi, 500)
    found = correspondence(torch.tensor([[1.0, 0.0]]), torch.stack([angles.cos(), angles.sin()], 1))
    assert float(found.sum()) == pytest.approx(1)
    assert not ((found > 0) & (found < torch.finfo(torch.float32).tiny)).any()


def test_a_permuted_image_is_warped_back_by_the_inverse_permutation() -> None:
    """Places are mixed in blocks of one colour, so that whole neighbourhoods can be found again."""
    maps, image = draw(1, 8, 4, 6), draw(1, 3, 4, 6, seed=1)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))

    def spread(maps: Tensor) -> Tensor:
        return maps.repeat_interleave(3, 2).repeat_interleave(3, 3)

    def mixed(maps: Tensor) -> Tensor:
        return maps.flatten(2)[..., order].view_as(maps)

    warped = warp(spread(maps), spread(mixed(maps)), spread(mixed(image)))
    centres = (..., slice(1, None, 3), slice(1, None, 3))
    torch.testing.assert_close(warped[centres], image)
    mirrored = warp(maps, maps.flip(3), image)
    assert not torch.allclose(mirrored, image)  # neighbourhoods count, which are mirrored as well


def test_an_image_corresponds_to_itself() -> None:
    maps, image = draw(1, 8, 5, 7), draw(1, 3, 5, 7, seed=1)
    torch.testing.assert_close(warp(maps, maps, image), image)


def test_what_is_warped_has_the_content_s_size() -> None:
    assert warp(draw(1, 4, 5, 7), draw(1, 4, 3, 2), draw(1, 6, 3, 2)).shape == (1, 6, 5, 7)


def test_a_warp_in_chunks_is_the_same_and_so_are_its_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made() -> list[Tensor]:
        given = [draw(1, c, 5, 7, seed=c).double().requires_grad_() for c in (4, 4, 6)]
        warped = warp(*given)
        (warped * torch.linspace(0, 1, warped.numel()).view_as(warped)).sum().backward()
        return [warped, *(one.grad for one in given)]

    whole = made()
    for bound in (1, 40, 300):  # a row, a row, eight rows of 35
        monkeypatch.setattr(module, "_SIMILARITIES", bound)
        for found, wanted in zip(made(), whole, strict=True):
            torch.testing.assert_close(found, wanted)


def test_the_similarities_that_a_warp_holds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = correspondence

    def watched(content: Tensor, style: Tensor) -> Tensor:
        sizes.append(len(content) * len(style))
        return original(content, style)

    monkeypatch.setattr(module, "correspondence", watched)
    monkeypatch.setattr(module, "_SIMILARITIES", 1000)
    maps = draw(1, 4, 10, 10).requires_grad_()
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = warp(maps, draw(1, 4, 10, 10, seed=1), draw(1, 3, 10, 10))
    out.sum().backward()
    assert max(sizes) == 1000
    assert len(sizes) == 2 * 10  # ten chunks, and again on the way back
    assert max(kept) <= 9 * 4 * 100  # descriptors, and nothing as large as 100 x 100


def test_the_nearest_are_those_with_the_largest_products(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, among = draw(50, 8), draw(300, 8, seed=1)
    wanted = (vectors[:, None] * among).sum(2).argmax(1)
    assert torch.equal(nearest(vectors, among), wanted)
    monkeypatch.setattr(module, "_SIMILARITIES", 1000)
    assert torch.equal(nearest(vectors, among), wanted)


# --- the network ----------------------------------------------------------------------------


class Constant(nn.Module):
    """In the decoder's place: decodes everything to one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, features: Tensor) -> Tensor:
        self.seen = features
        height, width = features.shape[2:]
        return torch.full((1, 3, 4 * height, 4 * width), self.value)


def network(encoder: Encoder) -> TranslationNetwork:
    with initial_weights(0):
        return TranslationNetwork(encoder, 1 / 8)


def test_a_ninth_is_decoded_and_the_rest_warped(encoder: Encoder) -> None:
    translator = network(encoder)
    translator.decoder = Constant(0.9)  # type: ignore[assignment]
    of_sim, of_real = draw(1, 32, 4, 6), draw(1, 32, 5, 4, seed=1)
    out = translator(of_sim, of_real, torch.full((1, 3, 20, 16), -0.45))
    torch.testing.assert_close(out, torch.full((1, 3, 16, 24), 0.9 / 9 - 0.45 * 8 / 9))


def test_what_is_decoded_are_the_style_s_warped_features(encoder: Encoder) -> None:
    translator = network(encoder)
    translator.decoder = Constant(0.0)  # type: ignore[assignment]
    maps, image = draw(1, 32, 4, 6), draw(1, 3, 16, 24, seed=1)
    out = translator(maps, maps, image)  # all corresponds to itself
    torch.testing.assert_close(translator.decoder.seen, maps)
    coarse = functional.avg_pool2d(image, 4)
    wanted = functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(out, wanted * 8 / 9)


def test_the_encoder_is_copied_and_the_copy_is_trained(encoder: Encoder) -> None:
    translator = network(encoder)
    images = render()
    assert torch.equal(translator.features(images), encoder.maps(images, ("r34",))["r34"])
    out = translator(translator.features(images), translator.features(photograph()), photograph())
    out.square().mean().backward()
    first = translator.encoder.network.features[0].weight
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    assert all(one.grad is None and not one.requires_grad for one in encoder.parameters())


# --- the losses -----------------------------------------------------------------------------


def test_the_style_s_distance_is_to_the_nearest_vector() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.6, -0.8]])
    style = torch.tensor([[0.8, 0.6], [0.0, -1.0]])
    # Cosines to the nearest: 0.8, 0.6 and 0.8.
    assert float(style_distance(vectors, style)) == pytest.approx(1 - 2.2 / 3)
    assert float(style_distance(style, style)) == pytest.approx(0)


def test_directions_are_of_places_and_of_length_one() -> None:
    maps = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    assert torch.equal(directions(maps), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def by_hand(encoder: Encoder, image: Tensor, sim: Tensor, real: Tensor) -> tuple[float, float]:
    """Both losses over all places, one number after the other."""
    content = style = 0.0
    found, kept, wanted = (encoder.maps(one, STYLE) for one in (image, sim, real))
    for name, weight in STYLE.items():
        queries, keys, others = (
            functional.normalize(maps[name][0].flatten(1).T.double(), dim=1)
            for maps in (found, kept, wanted)
        )
        distances = [1 - max(float(query @ other) for other in others) for query in queries]
        style += weight * sum(distances) / len(distances)
        if name in CONTENT:
            terms = []
            for place, query in enumerate(queries):
                each = [math.exp(float(query @ key) / 0.07) for key in keys]
                terms.append(-math.log(each[place] / sum(each)))
            content += CONTENT[name] * sum(terms) / len(terms)
    return content, style


def losses(encoder: Encoder, image: Tensor, patches: int = 256, seed: int = 0) -> list[Tensor]:
    appearance = Appearance(settings(patches=patches), encoder, render(), photograph())
    with initial_weights(seed):
        return [*appearance.losses(image)]


def test_content_and_style_are_what_is_written(encoder: Encoder) -> None:
    image = photograph(seed=3)
    found = [float(one) for one in losses(encoder, image)]
    assert found == pytest.approx(by_hand(encoder, image, render(), photograph()), rel=1e-4)


def test_the_images_themselves_have_the_least_losses(encoder: Encoder) -> None:
    of_sim, of_real = (losses(encoder, image) for image in (render(), photograph()))
    assert of_sim[0] < of_real[0]
    assert float(of_real[1]) == pytest.approx(0, abs=1e-6)
    assert of_sim[1] > 0.001


def test_patches_are_drawn_anew_and_as_many_as_asked_for(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = dtp.contrast

    def watched(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
        seen.append(queries.shape[1])
        return original(queries, keys, temperature)

    monkeypatch.setattr(dtp, "contrast", watched)
    first, again, other = (losses(encoder, photograph(seed=3), 20, seed) for seed in (0, 0, 1))
    assert seen == [20, 20, 16] * 3  # r34 has but 4 x 4 places
    assert [*map(float, first)] == [*map(float, again)]
    assert float(first[0]) != float(other[0])


# --- training -------------------------------------------------------------------------------


def refine(
    encoder: Encoder,
    seed: int = 0,
    on_sample: Callable[[int, Tensor], None] | None = None,
    **given: Any,
) -> Tensor:
    method = DTPMethod(settings(**given), encoder)
    return method.refine(render(), photograph(), seed, on_sample)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_loss_falls(encoder: Encoder, share: float) -> None:
    chosen = settings(content_style_weight=share, learning_rate=1e-3)
    training = dtp._Training(chosen, encoder, render(), photograph(), 0)
    seen: list[float] = []

    def noted(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        seen.append(loss.item())
        descend(optimiser, loss)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtp, "descend", noted)
        for iteration in range(1, 26):
            training.step(iteration)
    assert sum(seen[-5:]) < 0.9 * sum(seen[:5]), seen


def test_the_loss_is_its_parts_weighted(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(content_style_weight=0.3, cycle_weight=7.0)
    training = dtp._Training(chosen, encoder, render(), photograph(), 0)
    parts = [torch.tensor(value, requires_grad=True) for value in (2.0, 3.0, 5.0)]
    monkeypatch.setattr(training.appearance, "losses", lambda image: parts[:2])
    monkeypatch.setattr(training, "_translate", lambda: (render(), parts[2]))
    monkeypatch.setattr(dtp, "descend", lambda optimiser, loss: loss.backward())
    training.step(1)
    assert [float(one.grad) for one in parts] == pytest.approx([0.7, 0.3, 7.0])  # type: ignore[arg-type]


def test_the_cycle_is_the_squared_loss_of_both_images(encoder: Encoder) -> None:
    training = dtp._Training(settings(), encoder, render(), photograph(), 0)
    translate = training.network
    of_sim, of_real = translate.features(render()), translate.features(photograph())
    refined = translate(of_sim, of_real, photograph())
    simulated = translate(of_real, of_sim, render())
    back = translate(translate.features(refined), of_sim, render())
    again = translate(translate.features(simulated), of_real, photograph())
    wanted = (back - render()).square().mean() + (again - photograph()).square().mean()
    found, cycle = training._translate()  # the first iteration has no outcome of one before
    torch.testing.assert_close(found, refined)
    torch.testing.assert_close(cycle, wanted)


def test_what_is_matched_is_mixed_with_the_outcome_of_the_iteration_before(
    encoder: Encoder,
) -> None:
    training = dtp._Training(settings(), encoder, render(), photograph(), 0)
    first, _ = training._translate()
    second, _ = training._translate()
    translate = training.network
    mixed = 0.4 * translate.features(render()) + 0.6 * translate.features(first)
    wanted = translate(mixed, translate.features(photograph()), photograph())
    torch.testing.assert_close(second, wanted)
    assert not training.previous["sim"].requires_grad


def test_a_seed_makes_it_and_other_seeds_others(encoder: Encoder) -> None:
    first = refine(encoder, 0, patches=20)
    assert torch.equal(refine(encoder, 0, patches=20), first)
    assert not torch.equal(refine(encoder, 1, patches=20), first)


def test_nothing_is_kept_from_pair_to_pair(encoder: Encoder) -> None:
    method = DTPMethod(settings(), encoder)
    first = method.refine(render(), photograph(), 0)
    method.refine(photograph(), render(), 0)
    assert torch.equal(method.refine(render(), photograph(), 0), first)
    assert all(one.grad is None for one in encoder.parameters())


@pytest.mark.parametrize(("iterations", "told"), [(5, [2, 4, 5]), (4, [2, 4]), (1, [1])])
def test_samples_come_every_so_often_and_the_last_is_the_result(
    encoder: Encoder, iterations: int, told: list[int]
) -> None:
    samples: dict[int, Tensor] = {}
    result = refine(encoder, 0, samples.__setitem__, iterations=iterations, sample_every=2)
    assert [*samples] == told
    assert torch.equal(samples[iterations], result)
    assert not result.requires_grad
    if iterations > 2:
        assert torch.equal(samples[2], refine(encoder, 0, iterations=2))


def test_the_outcome_has_the_render_s_size_whatever_the_target_image_s(encoder: Encoder) -> None:
    refined = DTPMethod(settings(), encoder).refine(render(16, 24), photograph(32, 20), 0)
    assert refined.shape == (1, 3, 16, 24)
    assert refined.abs().max() <= 1


def test_colours_are_the_target_image_s(encoder: Encoder) -> None:
    """The render is grey, and so would be what has its colours."""
    refined = refine(encoder, iterations=10)
    means = refined.mean(dim=(0, 2, 3)) - refined.mean()
    wanted = photograph().mean(dim=(0, 2, 3)) - photograph().mean()
    assert functional.cosine_similarity(means, wanted, dim=0) > 0.8


def test_a_wider_encoder_may_stand_before_a_narrow_decoder() -> None:
    wide = load_encoder(stand_in="random", scale=1 / 4)
    assert refine(wide, iterations=1, scale=1 / 16).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("size", [(12, 16), (18, 16), (16, 30)])
def test_sizes_that_do_not_fit_are_refused(encoder: Encoder, size: tuple[int, int]) -> None:
    method = DTPMethod(settings(), encoder)
    told = rf"multiples of 4, 16 pixels or more, but a render has {size[0]} x {size[1]}"
    with pytest.raises(DataError, match=told):
        method.refine(render(*size), photograph(), 0)
    with pytest.raises(DataError, match="target image"):
        method.refine(render(), photograph(*size), 0)


def test_a_loss_that_is_no_number_is_told(encoder: Encoder) -> None:
    method = DTPMethod(settings(), encoder)
    with pytest.raises(TrainingError, match=r"iteration 1 it is nan; lower refine\.learning_rate"):
        method.refine(render(), photograph() * torch.nan, 0)
