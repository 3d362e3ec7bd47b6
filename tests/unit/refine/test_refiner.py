from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metasim.errors import DataError, PluginError
from metasim.learn.archive import pack, unpack
from metasim.learn.device import computing_on
from metasim.learn.features.vgg import VGG19
from metasim.learn.initial import initial_weights
from metasim.refine.export import export_refiner
from metasim.refine.make import make_method
from metasim.refine.method import Batch
from metasim.refine.options import CycleGAN
from metasim.refine.refiner import Form, TrainedRefiner, read_refiner
from metasim.refine.rendered import RefinedRenderer
from metasim.render.base import Renderer
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.testing import AnalyticRenderer, RendererContract
from metasim_mnist import MnistRenderer
from tests.unit.refine.small import METHODS, small

FORM = Form((16, 16))
CYCLE = CycleGAN(width=4, blocks=1, discriminator_width=4)


def refiner(method: str = "cyclegan", form: Form = FORM, seed: int = 0) -> TrainedRefiner:
    options = small(method)
    if method == "spade":
        form = Form(form.size, ("classes",), ("a", "b"))
    channels = 3 if method == "spade" else 0
    return TrainedRefiner(options, make_method(options, form.size, channels, seed), form)


def images(count: int, size: tuple[int, int] = (16, 16)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def condition(method: str, count: int) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    if method != "spade":
        return None
    return np.random.default_rng(1).random((count, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_refined_for_itself_bit_for_bit(method: str) -> None:
    made, sim, told = refiner(method), images(11), condition(method, 11)
    refined = made.refine(sim, told)
    assert (refined.shape, refined.dtype) == (sim.shape, np.uint8)
    for rows in (slice(3, 4), slice(2, 11), slice(0, 8)):
        some = made.refine(sim[rows], None if told is None else told[rows])
        assert np.array_equal(some, refined[rows])
    assert np.array_equal(made.refine(sim, told), refined)
    assert not np.array_equal(refined, sim)


@pytest.mark.parametrize("method", METHODS)
def test_threads_share_the_images_and_change_nothing(method: str) -> None:
    made, sim, told, found = refiner(method), images(43), condition(method, 43), []
    for threads in (1, 3):
        with computing_on(threads):
            found.append(made.refine(sim, told))
            assert torch.get_num_threads() == threads
    assert np.array_equal(*found)
    assert len(np.unique(found[0], axis=0)) == 43


@pytest.mark.parametrize("method", METHODS)
def test_a_file_holds_all_of_it(tmp_path: Path, method: str) -> None:
    made = refiner(method)
    made.write(tmp_path / "refiner.pt")
    again = read_refiner(tmp_path / "refiner.pt")
    assert (again.form, again.options) == (made.form, made.options)
    sim, told = images(3), condition(method, 3)
    assert np.array_equal(again.refine(sim, told), made.refine(sim, told))


def test_other_seeds_begin_with_other_weights() -> None:
    one, same, other = (make_method(CYCLE, (16, 16), 0, seed) for seed in (0, 0, 1))
    first, again, another = (next(iter(m.state_dict().values())) for m in (one, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, another)


def test_a_perceptual_loss_needs_weights_while_training_alone(tmp_path: Path) -> None:
    weights = tmp_path / "vgg19.pt"
    options = small("spade", perceptual=1.0, weights=weights)
    with pytest.raises(DataError, match=r"vgg19.pt does not exist"):
        make_method(options, (16, 16), 3, 0)
    assert make_method(options, (16, 16), 3, 0, training=False).paired
    network = initial()
    torch.save(network.state_dict(), weights)
    method = make_method(options, (16, 16), 3, 0)
    sim = torch.zeros(2, 3, 16, 16)
    with initial_weights(0):
        told = method.step(0, Batch(sim, sim, torch.ones(2, 3, 16, 16)))
    assert float(told["perceptual"]) > 0
    assert all("features" not in name for name in method.state_dict())


def initial() -> VGG19:
    with initial_weights(0):
        return VGG19()


def test_no_images_are_refined_to_none_and_others_are_refused() -> None:
    assert refiner().refine(images(0)).shape == (0, 16, 16, 3)
    with pytest.raises(DataError, match=r"images of 16 x 16 pixels, .* got 16 x 32"):
        refiner().refine(images(1, (16, 32)))


def test_files_that_hold_no_refiner_are_told(tmp_path: Path) -> None:
    path = tmp_path / "refiner.pt"
    with pytest.raises(DataError, match="must be a refiner's file: No such file"):
        read_refiner(path)
    refiner().write(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is not, or is damaged"):
        read_refiner(path)
    path.write_bytes(b"anything")
    with pytest.raises(DataError, match="is not, or is damaged"):
        read_refiner(path)


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"method": "cyclegan", "width": 8}},
        {"options": {"method": "nothing"}},
        {"options": {"method": "simgan"}},
        {"size": 3},
        {"networks": {}},
    ],
)
def test_weights_of_another_architecture_are_told(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "refiner.pt"
    refiner().write(path)
    path.write_bytes(pack({**unpack(path.read_bytes()), **change}))
    with pytest.raises(DataError, match="must hold the networks of the method that it names"):
        read_refiner(path)


# --- as a renderer -------------------------------------------------------------------------


class Refined(RefinedRenderer):
    """Digits, refined by a network that was not trained."""

    kinds = MnistRenderer.kinds
    example = MnistRenderer.example

    def __init__(self) -> None:
        super().__init__(MnistRenderer(image_size=(16, 16)), refiner())


class TestContract(RendererContract):
    renderer = Refined


def test_all_but_the_images_is_as_it_was_drawn() -> None:
    inner: Renderer = AnalyticRenderer()
    form = Form((inner.image_size[0], inner.image_size[1]))
    grammar = SceneGrammar.model_validate(AnalyticRenderer.example)
    scenes = [grammar.sample(stream(0, "scene", number)) for number in range(3)]
    drawn = inner.render(scenes)
    made = RefinedRenderer(inner, refiner(form=form))
    refined = made.render(scenes)
    assert np.array_equal(refined.instances, drawn.instances)
    assert refined.labels == drawn.labels
    assert np.array_equal(refined.images, refiner(form=form).refine(drawn.images))


def test_a_renderer_of_another_size_is_refused() -> None:
    with pytest.raises(PluginError, match=r"16 x 16 pixels, got 32 x 32; set image_size"):
        RefinedRenderer(MnistRenderer(image_size=(32, 32)), refiner())


@pytest.mark.parametrize("method", METHODS)
def test_torchscript_gives_what_the_refiner_gives_of_any_number_of_images(
    method: str, tmp_path: Path
) -> None:
    made = refiner(method)
    assert isinstance(made, TrainedRefiner)
    file = tmp_path / "refiner.ts"
    file.write_bytes(export_refiner(made))
    module = torch.jit.load(file)
    for count in (8, 3):
        given = images(count)
        told = None
        if made.form.condition:
            told = np.random.default_rng(1).random((count, 3, 16, 16), np.float32)
        extra = () if told is None else (torch.from_numpy(told),)
        found = module(torch.from_numpy(given), *extra).numpy()
        wanted = made.refine(given, told)
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 1  # of rounding
