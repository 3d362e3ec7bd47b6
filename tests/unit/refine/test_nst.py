"""Neural style transfer: its losses by hand, and that the search lowers them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metasim.errors import DataError, TrainingError
from metasim.refine.encoder import Encoder, load_encoder
from metasim.refine.methods.nst import NSTMethod, gram, style_difference
from metasim.refine.options import NST

STYLE = ("r11", "r21", "r31", "r41", "r51")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(stand_in="random", scale=1 / 8)


def render(size: int = 24) -> Tensor:
    """A bright square on a dark ground."""
    image = torch.full((1, 3, size, size), -0.6)
    image[..., size // 4 : size // 2, size // 4 : size // 2] = 0.7
    return image


def photograph(size: int = 24, seed: int = 0) -> Tensor:
    """Bluish noise."""
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return (noise - 0.5 + torch.tensor([-0.3, 0.0, 0.4]).view(1, 3, 1, 1)).clamp(-1, 1)


def method(encoder: Encoder, iterations: int = 20, **settings: float) -> NSTMethod:
    return NSTMethod(NST(stand_in="random", iterations=iterations, **settings), encoder)


def loss(method: NSTMethod, image: Tensor, sim: Tensor, real: Tensor) -> float:
    """Both differences, written out."""
    found, kept, wanted = (method.encoder.maps(one, (*STYLE, "r42")) for one in (image, sim, real))
    total = method.options.content * (found["r42"] - kept["r42"]).square().mean()
    for name in STYLE:
        channels = found[name].shape[1]
        a, b = (
            torch.einsum("ihw,jhw->ij", maps[0], maps[0]) / maps[0, 0].numel()
            for maps in (found[name], wanted[name])
        )
        weight = method.options.style / channels**2
        total = total + weight * (a - b).square().sum() / channels**2
    return float(total)


# --- the losses -----------------------------------------------------------------------------


def test_the_gram_matrix_is_the_mean_of_products_over_places() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    # Channels 1 2 3 4 and 0 1 0 -1: 30, 2 - 4 = -2 and 2, over four places.
    assert torch.equal(gram(maps), torch.tensor([[[7.5, -0.5], [-0.5, 0.5]]]))


def test_the_gram_matrix_does_not_know_of_places() -> None:
    maps = photograph()
    order = torch.randperm(24 * 24, generator=torch.Generator().manual_seed(1))
    shuffled = maps.flatten(2)[..., order].view_as(maps)
    torch.testing.assert_close(gram(shuffled), gram(maps))


def test_the_style_s_difference_is_weighted_by_the_widths() -> None:
    maps = {"a": torch.ones(1, 2, 3, 3), "b": torch.full((1, 4, 2, 2), 2.0), "c": torch.ones(1)}
    style = {"a": torch.zeros(1, 2, 2), "b": torch.full((1, 4, 4), 1.0)}
    # Gram matrices of ones and of fours: means 1 and (4 - 1)^2 = 9, over 2^2 and 4^2.
    assert float(style_difference(maps, style)) == pytest.approx(1 / 4 + 9 / 16)


def test_the_loss_is_its_parts_weighted(encoder: Encoder) -> None:
    sim, real, image = render(), photograph(), photograph(seed=1)
    style = {name: gram(maps) for name, maps in encoder.maps(real, STYLE).items()}
    content = encoder.maps(sim, ("r42",))["r42"]
    for weights in ({"content": 1.0, "style": 0.0}, {"content": 0.5, "style": 1e3}):
        chosen = method(encoder, **weights)
        assert float(chosen.loss(image, content, style)) == pytest.approx(
            loss(chosen, image, sim, real), rel=1e-4
        )
    assert float(method(encoder, style=0.0).loss(sim, content, style)) == 0.0


# --- the search -----------------------------------------------------------------------------


def test_the_loss_falls_and_falls_further_with_more_evaluations(encoder: Encoder) -> None:
    sim, real = render(), photograph()
    losses = []
    for iterations in (1, 10, 40):
        chosen = method(encoder, iterations)
        losses.append(loss(chosen, chosen.refine(sim, real), sim, real))
    assert losses[0] == pytest.approx(loss(chosen, sim, sim, real), rel=1e-4)
    assert losses[1] < 0.5 * losses[0]
    assert losses[2] < 0.5 * losses[1]


def test_an_even_image_is_left(encoder: Encoder) -> None:
    sim, real = torch.zeros(1, 3, 24, 24), photograph()
    chosen = method(encoder, 40)
    refined = chosen.refine(sim, real)
    assert loss(chosen, refined, sim, real) < 0.1 * loss(chosen, sim, sim, real)


def test_the_first_evaluation_is_of_the_render(encoder: Encoder) -> None:
    assert torch.equal(method(encoder, 1).refine(render(), photograph()), render())


@pytest.mark.parametrize("iterations", [1, 2, 7, 20])
def test_no_more_evaluations_are_made_than_asked_for(encoder: Encoder, iterations: int) -> None:
    chosen = method(seen := Counting(encoder), iterations)
    told: list[tuple[int, Tensor]] = []
    refined = chosen.refine(render(), photograph(), 0, lambda *sample: told.append(sample))
    assert seen.calls == iterations + 2  # the render and the target image, first of all
    [(number, sample)] = told
    assert number == iterations
    assert torch.equal(sample, refined)


class Counting(Encoder):
    """Counts how often it is looked through."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.network)
        self.calls = 0

    def maps(self, *given):  # type: ignore[no-untyped-def]
        self.calls += 1
        return super().maps(*given)


def test_what_is_there_already_is_kept(encoder: Encoder) -> None:
    assert torch.equal(method(encoder, 5).refine(photograph(), photograph()), photograph())


def test_the_outcome_is_an_image_of_the_render_s_size(encoder: Encoder) -> None:
    refined = method(encoder).refine(render(24), 10 * photograph(32))
    assert refined.shape == (1, 3, 24, 24)
    assert refined.min() == -1
    assert refined.max() <= 1
    assert not refined.requires_grad


def test_nothing_is_random_and_nothing_is_kept(encoder: Encoder) -> None:
    chosen = method(encoder)
    first = chosen.refine(render(), photograph(), seed=1)
    assert not torch.equal(chosen.refine(render(), photograph(seed=1)), first)
    assert torch.equal(chosen.refine(render(), photograph(), seed=2), first)


def test_no_gradient_reaches_the_encoder(encoder: Encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    method(encoder).refine(render(), photograph())
    assert all(one.grad is None for one in encoder.parameters())
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_images_that_come_in_are_left_alone(encoder: Encoder) -> None:
    sim, real = render(), photograph()
    method(encoder).refine(sim, real)
    assert torch.equal(sim, render())
    assert torch.equal(real, photograph())


def test_images_that_are_too_small_are_refused(encoder: Encoder) -> None:
    with pytest.raises(DataError, match="16 pixels or more, but a target image has 12 x 12"):
        method(encoder).refine(render(), photograph(12))


def test_a_loss_that_is_no_number_is_told(encoder: Encoder) -> None:
    with pytest.raises(TrainingError, match=r"never was one.*refine\.style"):
        method(encoder).refine(render(), photograph() * torch.inf)


def test_how_an_image_lies_in_memory_does_not_matter(encoder: Encoder) -> None:
    sim, real = render(), photograph()
    other = sim.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    refined = method(encoder, 5).refine(sim, real)
    torch.testing.assert_close(method(encoder, 5).refine(other, real), refined, atol=1e-4, rtol=0)
