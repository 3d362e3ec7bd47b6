"""The renderer of targets with other looks: the same scenes, seen otherwise."""

import numpy as np
import pytest

from metasim.config import renderer_spec
from metasim.errors import ConfigError, PluginError
from metasim.scene import Attributes, Node, Scene, SceneGrammar
from metasim.testing import RendererContract
from metasim_mnist import MnistRenderer
from metasim_mnist.gap import GapRenderer

GRAMMAR = SceneGrammar.model_validate(GapRenderer.example)


class TestContract(RendererContract):
    renderer = GapRenderer


def scenes(count=12, seed=0, **changes):
    rng = np.random.default_rng(seed)
    made = []
    for scene in (GRAMMAR.sample(rng) for _ in range(count)):
        ground = {"level": 0.0, "noise": 0.0}
        made.append(scene.with_attributes([ground, *[changes or None] * (len(scene.nodes) - 1)]))
    return made


@pytest.fixture(scope="module")
def plain():
    return GapRenderer(inverted=False, blur=0, texture=0, noise=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"yaw": 90.0},
        {"yaw": 235.0, "scale": 0.8},
        {"shear": 0.4, "x": 13.3, "y": 18.8},
        {"x": 1.0, "y": 30.0, "intensity": 0.6},
    ],
)
def test_without_the_gap_both_renderers_draw_the_same_scene(plain, changes):
    made = scenes(**changes)
    mine, other = plain.render(made), MnistRenderer().render(made)
    ink = (mine.images[..., 0] / 255 - 0.1) / 0.8
    difference = np.abs(ink - other.images[..., 0] / 255)
    assert difference.mean() < 0.015
    for one, two in zip(mine.labels, other.labels, strict=True):
        for a, b in zip(one, two, strict=True):
            assert (a.category, a.node) == (b.category, b.node)
            assert a.visible == pytest.approx(b.visible, abs=0.08)
            assert np.abs(np.subtract(a.box, b.box)).max() <= 1


def foreground(renderer, made):
    """Ink of each image against its own ground, from the looks alone."""
    grey = renderer.render(made).images[..., 0].astype(float)
    return np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))


def test_with_the_gap_place_and_orientation_still_agree():
    def scene(yaw, x=16.0, y=16.0):
        digit = Attributes({"class": 7, "glyph": 0.4, "yaw": yaw, "x": x, "y": y})
        return Scene((Node("s", "scene", Attributes()), Node("d", "digit", digit, 0)), 3)

    turns = np.arange(0.0, 360.0, 30.0)
    learner = foreground(MnistRenderer(), [scene(a) for a in turns]).reshape(12, -1)
    target = foreground(GapRenderer(texture=0.1), [scene(a) for a in turns]).reshape(12, -1)
    likeness = np.corrcoef(target, learner)[:12, 12:]
    np.testing.assert_array_equal(likeness.argmax(1), np.arange(12))

    places = [(10.0, 16.0), (16.0, 10.0), (20.0, 21.0)]
    learner = foreground(MnistRenderer(), [scene(0.0, *p) for p in places])
    target = foreground(GapRenderer(texture=0, noise=0), [scene(0.0, *p) for p in places])
    rows, columns = np.indices((32, 32))
    for a, b in zip(learner, target, strict=True):
        for axis in (rows, columns):
            moment = [(image * axis).sum() / image.sum() for image in (a, b)]
            assert moment[0] == pytest.approx(moment[1], abs=0.15)


def test_the_looks_differ_as_asked():
    made = scenes()
    learner = MnistRenderer().render(made)
    ground, ink = learner.instances == 0, learner.images[..., 0] > 200
    usual = GapRenderer().render(made).images[..., 0]
    assert usual[ground].mean() > usual[ink].mean() + 60
    kept = GapRenderer(inverted=False).render(made).images[..., 0]
    assert kept[ground].mean() < kept[ink].mean() - 60

    def roughness(images):
        return np.abs(np.diff(images.astype(float), axis=2)).mean()

    def of(**options):
        return GapRenderer(**{"blur": 0, "texture": 0, "noise": 0, **options}).render(made).images

    assert roughness(of(blur=1.5)) < 0.7 * roughness(of())
    assert roughness(of(noise=0.1)) > 2 * roughness(of())
    textured, flat = of(texture=0.4)[..., 0], of()[..., 0]
    assert textured[ground].std() > flat[ground].std() + 10
    assert roughness(of(texture=0.4)) < 1.5 * roughness(of())


def test_the_texture_and_the_noise_follow_from_the_seed():
    scene = scenes(1)[0]
    renderer = GapRenderer()
    a, b, c = renderer.render([scene, scene.with_seed(1), scene]).images
    assert (a != b).mean() > 0.5
    np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize(
    "options", [{"blur": -1}, {"noise": float("nan")}, {"texture": float("inf")}, {"texture": 1.5}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(PluginError, match="must be a number from 0 to"):
        GapRenderer(**options)


@pytest.mark.parametrize("option", ["blur=-1", "texture=1.5", "noise=2", "image_size=[0, 8]"])
def test_options_out_of_range_are_told_before_anything_is_built(option):
    with pytest.raises(ConfigError, match=r"must be at (least|most)"):
        renderer_spec("metasim_mnist.gap:GapRenderer", [option])
