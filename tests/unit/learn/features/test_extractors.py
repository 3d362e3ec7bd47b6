"""Laws of every feature extractor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.features import (
    Combined,
    FeatureExtractor,
    PixelFeatures,
    PretrainedFeatures,
    RandomConvFeatures,
    SimulatorNetwork,
    TaskNetFeatures,
    extract,
)
from metasim.learn.features.base import (
    CLASSES,
    READINGS,
    as_float,
    centre_and_spread,
    channels_first,
    to_tensor,
)
from metasim.learn.features.simulator import Lesson


class Averages(nn.Module):
    """Stands for a network of 512 features, such as resnet18, which is not always there."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.unfold(2, 56, 56).unfold(3, 56, 56).mean(dim=(4, 5)).flatten(1)
        return means.repeat(1, 11)[:, :512]


def simulator(make_grammar: Any) -> SimulatorNetwork:
    lesson = Lesson(SceneCodec(make_grammar(count=2)), ["left", "right"], (24, 24))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SimulatorNetwork(lesson, width=8, size=16)


MAKERS: dict[str, Callable[[Any], FeatureExtractor]] = {
    "simulator": simulator,
    "pixels": lambda _: PixelFeatures(8),
    "random_conv": lambda _: RandomConvFeatures(33, seed=1),
    "tasknet": lambda _: TaskNetFeatures(["a", "b", "c"], 20),
    "pretrained": lambda _: PretrainedFeatures("resnet18", Averages()),
    "combined": lambda make: Combined([PixelFeatures(4), simulator(make), PixelFeatures(2)]),
}


@pytest.fixture(params=MAKERS)
def extractor(request: pytest.FixtureRequest, make_grammar: Any) -> FeatureExtractor:
    return MAKERS[request.param](make_grammar).eval()


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def test_features_are_finite_rows_that_blocks_cover_once(extractor: FeatureExtractor) -> None:
    features = extractor(images())
    assert features.shape[0] == 5
    assert features.dtype == torch.float32
    assert bool(features.isfinite().all())
    covered = np.zeros(features.shape[1], int)
    for block in extractor.blocks.values():
        covered[block] += 1
    assert covered.tolist() == [1] * features.shape[1]


def test_features_are_differentiable_in_the_images(extractor: FeatureExtractor) -> None:
    given = images(2).requires_grad_()
    (slope,) = torch.autograd.grad(extractor(given).square().sum(), given)
    assert bool(slope.isfinite().all())
    assert bool((slope.flatten(1) != 0).any(dim=1).all())


def test_features_are_the_same_every_time_and_for_every_image_alone(
    extractor: FeatureExtractor,
) -> None:
    given = images()
    with torch.no_grad():
        whole = extractor(given)
        assert torch.equal(whole, extractor(given))
        alone = torch.cat([extractor(given[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=1e-4)


def test_features_differ_between_images(extractor: FeatureExtractor) -> None:
    with torch.no_grad():
        features = extractor(images(2))
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("name", ["pixels", "random_conv", "tasknet", "pretrained"])
def test_standardised_features_have_no_mean_and_no_large_spread(
    name: str, make_grammar: Any
) -> None:
    extractor: Any = MAKERS[name](make_grammar)
    given = (images(200) * 255).to(torch.uint8)
    extractor.chunk = 64
    extractor.standardise(given)
    with torch.no_grad():
        features = extractor(as_float(given))
    deviation = features.std(dim=0)
    torch.testing.assert_close(
        features.mean(dim=0), torch.zeros(features.shape[1]), atol=1e-3, rtol=0
    )
    assert float(deviation.max()) < 2
    if name == "pixels":  # all alike: a corner that seldom changes counts for little
        assert float(extractor.spread.std()) == pytest.approx(0.0, abs=1e-7)
        assert float(deviation.mean()) == pytest.approx(1.0, abs=0.01)


def test_a_column_that_hardly_acts_is_not_blown_up() -> None:
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    features[:, 2] *= 1e-6
    centre, spread = centre_and_spread(features)
    torch.testing.assert_close(centre, features.mean(dim=0))
    torch.testing.assert_close(spread[:2], features[:, :2].std(dim=0), atol=0.01, rtol=0)
    assert float(spread[2]) == pytest.approx(0.1 * float(features.std(dim=0).mean()), rel=0.01)
    assert float(centre_and_spread(torch.zeros(5, 2))[1].min()) > 0


def test_pixels_are_means_over_squares() -> None:
    given = images(2)
    found = PixelFeatures(4)(given).view(2, 4, 4)
    wanted = given.mean(dim=1).view(2, 4, 6, 4, 6).mean(dim=(2, 4))
    torch.testing.assert_close(found, wanted)


def test_random_features_depend_on_their_own_seed_alone() -> None:
    given = images()
    first = RandomConvFeatures(32, seed=1)(given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert torch.equal(first, RandomConvFeatures(32, seed=1)(given))
    assert not torch.equal(first, RandomConvFeatures(32, seed=2)(given))


def test_random_features_tell_places_apart() -> None:
    dots = torch.zeros(2, 3, 24, 24)
    dots[0, :, 6:9, 6:9] = dots[1, :, 15:18, 15:18] = 1.0
    features = RandomConvFeatures(64)(dots)
    assert float((features[0] - features[1]).norm()) > 0.01 * float(features.norm())


def test_many_images_are_looked_at_a_chunk_at_a_time(extractor: FeatureExtractor) -> None:
    given = (images(7) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    with torch.no_grad():
        wanted = extractor(to_tensor(given))
    extractor.chunk = 3
    torch.testing.assert_close(extract(extractor, given), wanted, atol=1e-4, rtol=1e-4)


def test_images_count_from_0_to_255() -> None:
    given = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    tensor = to_tensor(given)
    assert tensor.shape == (2, 3, 4, 5)
    assert float(tensor[1, 2, 3, 4]) == pytest.approx(given[1, 3, 4, 2] / 255)
    assert torch.equal(tensor, as_float(channels_first(given)))
    assert torch.equal(as_float(tensor), tensor)


def test_parts_stand_side_by_side_under_names_of_their_own(make_grammar: Any) -> None:
    combined = MAKERS["combined"](make_grammar).eval()
    parts = list(combined.parts)  # type: ignore[arg-type]
    with torch.no_grad():
        wanted = torch.cat([part(images()) for part in parts], dim=1)
        assert torch.equal(combined(images()), wanted)
    assert list(combined.blocks) == ["pixels", "blob", "blob readings", CLASSES, "2 pixels"]
    assert combined.blocks["2 pixels"].stop == wanted.shape[1]


def test_readings_of_every_part_are_known_as_such(make_grammar: Any) -> None:
    part = MAKERS["simulator"](make_grammar)
    found = [name for name in Combined([part, part]).blocks if name.endswith(READINGS)]
    assert found == ["blob readings", "1 blob readings"]


def test_what_features_read_is_told_in_the_attributes_units(make_grammar: Any) -> None:
    """Standardising and standing beside other features change nothing of it."""
    network = simulator(make_grammar).eval()
    # An untaught network hardly reads one image otherwise than another.
    for head in network.heads:
        head.weight.data.mul_(20)  # type: ignore[operator, union-attr]
    shown = images(40)
    with torch.no_grad():
        wanted = network.lesson.values(network.read(network.look(shown)[0])[0])
        network.standardise(shown)
        alone = network.readings(network(shown))
        both = Combined([PixelFeatures(4), network]).eval()
        beside = both.readings(both(shown))
    assert list(alone) == list(beside) == list(network.lesson.codec.labels)
    for label, spec in zip(wanted, network.lesson.codec.specs(), strict=True):
        low, high = spec.range or (0.0, 0.0)
        assert len(alone[label]) == 40
        assert bool(((alone[label] >= low) & (alone[label] <= high)).all())
        assert alone[label].std() > 0.05
        for found in (alone, beside):
            torch.testing.assert_close(found[label], wanted[label], rtol=0, atol=1e-3)


def test_features_that_were_taught_nothing_read_nothing() -> None:
    both = Combined([PixelFeatures(4), PixelFeatures(2)]).eval()
    assert both.readings(both(images(3))) == {}


def test_one_part_that_wants_randomised_looks_is_enough(make_grammar: Any) -> None:
    part = simulator(make_grammar)
    assert not Combined([PixelFeatures(4), part]).randomised
    part.randomised = True
    assert Combined([PixelFeatures(4), part]).randomised


def test_the_default_settings_are_the_network_s_own(make_grammar: Any) -> None:
    lesson = Lesson(SceneCodec(make_grammar()), [], (24, 24))
    with torch.random.fork_rng(devices=[]):
        network = SimulatorNetwork(lesson)
    defaults = options.SimulatorFeatures()
    assert (network.width, network.size) == (defaults.width, defaults.size)


def test_the_gradient_is_the_derivative(extractor: FeatureExtractor) -> None:
    """Against differences along random directions, in double precision."""
    extractor.double()
    generator = torch.Generator().manual_seed(1)
    given = images(3).double().requires_grad_()
    weights = torch.randn(extractor(given).shape, generator=generator, dtype=torch.float64)

    def value(shift: Tensor) -> Tensor:
        return (extractor(given + shift) * weights).sum()

    (slope,) = torch.autograd.grad(value(torch.zeros_like(given)), given)
    for _ in range(3):
        along = 1e-6 * torch.randn(given.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            difference = float(value(along) - value(-along)) / 2
        assert difference == pytest.approx(float((slope * along).sum()), rel=1e-3)
