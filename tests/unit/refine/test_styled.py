"""Refiners of the methods that train nothing beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metasim.errors import DataError
from metasim.learn.features.vgg import VGG19
from metasim.learn.initial import initial_weights
from metasim.refine import styled
from metasim.refine.encoder import Encoder, load_encoder
from metasim.refine.options import DTP, NST, Encoded
from metasim.refine.refiner import Form, StyledRefiner, read_refiner
from metasim.refine.rendered import RefinedRenderer
from metasim.refine.styled import style_rows
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim_mnist import MnistRenderer

FORM = Form((16, 16))
OPTIONS: dict[str, Encoded] = {
    "nst": NST(stand_in="random", iterations=4),
    "dtp": DTP(stand_in="random", iterations=2, scale=0.05, patches=4),
}


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG19's layers a sixteenth as wide, where a stand-in of full width is asked for."""

    def load(weights: Path | None, stand_in: Any, scale: float) -> Encoder:
        return load_encoder(weights, stand_in, min(scale, 1 / 16))

    monkeypatch.setattr(styled, "load_encoder", load)


def refiner(method: str = "nst", seed: int = 0, styles: int = 3) -> StyledRefiner:
    return StyledRefiner(OPTIONS[method], images(styles, 9), FORM, seed)


@pytest.mark.parametrize("method", OPTIONS)
def test_each_image_is_refined_for_itself(method: str) -> None:
    made, sim = refiner(method), images(3)
    refined = made.refine(sim)
    assert (refined.shape, refined.dtype) == (sim.shape, np.uint8)
    assert not np.array_equal(refined, sim)
    assert np.array_equal(made.refine(sim[2:]), refined[2:])
    with torch.no_grad():
        assert np.array_equal(made.refine(sim[[1, 0, 1]]), refined[[1, 0, 1]])


def test_the_style_follows_from_the_render_and_the_seed() -> None:
    sim = images(12)
    alike = np.repeat(images(1, 9), 3, axis=0)
    same = StyledRefiner(OPTIONS["nst"], alike[:1], FORM).refine(sim)
    assert np.array_equal(StyledRefiner(OPTIONS["nst"], alike, FORM).refine(sim), same)
    one, other = refiner(seed=0).refine(sim), refiner(seed=1).refine(sim)
    each = [StyledRefiner(OPTIONS["nst"], images(3, 9)[[i]], FORM).refine(sim) for i in range(3)]
    used = [[i for i in range(3) if np.array_equal(each[i][row], one[row])] for row in range(12)]
    assert {i for found in used for i in found} == {0, 1, 2}
    assert all(used)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("method", OPTIONS)
def test_a_file_holds_all_of_it(tmp_path: Path, method: str) -> None:
    made = refiner(method, seed=5)
    made.write(tmp_path / "refiner.pt")
    again = read_refiner(tmp_path / "refiner.pt")
    assert isinstance(again, StyledRefiner)
    assert (again.form, again.options, again.seed) == (made.form, made.options, 5)
    assert np.array_equal(again.refine(images(2)), made.refine(images(2)))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def network(seed: int) -> VGG19:
        with initial_weights(seed):
            return VGG19()

    weights, path = tmp_path / "vgg19.pt", tmp_path / "refiner.pt"
    torch.save(network(0).state_dict(), weights)
    options = NST(weights=weights, iterations=1)
    StyledRefiner(options, images(1), FORM).write(path)
    assert path.stat().st_size < 100_000
    assert read_refiner(path).options == options
    torch.save(network(1).state_dict(), weights)
    with pytest.raises(DataError, match=r"vgg19.pt has others \(fingerprint [0-9a-f]{16}, not"):
        read_refiner(path)
    weights.unlink()
    with pytest.raises(DataError, match=r"vgg19.pt does not exist"):
        read_refiner(path)


def test_at_most_64_styles_are_kept_spread_over_all() -> None:
    kept = style_rows(200)
    assert (len(kept), kept[0], kept[-1]) == (64, 0, 199)
    assert set(np.diff(kept)) == {3, 4}
    assert style_rows(3).tolist() == [0, 1, 2]


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"images of 16 x 16 pixels, .* got 16 x 32"):
        refiner().refine(np.zeros((1, 16, 32, 3), np.uint8))
    with pytest.raises(DataError, match="multiples of 4, 16 pixels or more, but a render has 18 x"):
        StyledRefiner(OPTIONS["dtp"], images(1), Form((18, 16)))
    with pytest.raises(DataError, match="must have a style image, got none"):
        refiner(styles=0)


def test_it_refines_a_renderer_s_images() -> None:
    inner = MnistRenderer(image_size=(16, 16))
    grammar = SceneGrammar.model_validate(MnistRenderer.example)
    scenes = [grammar.sample(stream(0, "scene", number)) for number in range(2)]
    made = refiner()
    found = RefinedRenderer(inner, made).render(scenes)
    assert np.array_equal(found.images, made.refine(inner.render(scenes).images))
