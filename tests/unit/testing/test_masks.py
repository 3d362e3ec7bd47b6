"""The instance plane is compared with the pixels that change as something moves."""

from typing import ClassVar

import numpy as np
import pytest

from metasim.render import Rendered, Renderer
from metasim.testing import AnalyticRenderer
from metasim_mnist import MnistRenderer

CHECK = "masks_follow_pixels"


def shown(renderer, change):
    """The renderer with other images, and the same labels and masks."""

    class Shows(renderer):
        render_tensor = None

        def render(self, scenes):
            done = super().render(scenes)
            return Rendered(change(done.images), done.instances, done.labels)

    return Shows


@pytest.mark.parametrize("renderer", [AnalyticRenderer, MnistRenderer])
@pytest.mark.parametrize("axis", [1, 2])
def test_an_image_that_is_mirrored_and_its_masks_are_not_is_found(failures, renderer, axis):
    found = failures(shown(renderer, lambda images: np.flip(images, axis).copy()))
    assert found.keys() == {CHECK}
    assert "moving " in found[CHECK]
    assert "mirrored or shifted" in found[CHECK]


@pytest.mark.parametrize("renderer", [AnalyticRenderer, MnistRenderer])
def test_images_of_what_has_no_label_are_found(failures, renderer):
    class Bare(renderer):
        def render(self, scenes):
            done = super().render(scenes)
            return Rendered(done.images, done.instances * 0, ((),) * len(scenes))

    found = failures(Bare)
    assert found.keys() == {CHECK}
    assert "what moves over the image must have a label" in found[CHECK]


def with_shadow(images):
    """A dim body, and a bright image of it far from it, which is twice as strong."""
    return images // 3 + np.roll(images, 8, axis=1) // 3 * 2


@pytest.mark.parametrize(
    "change",
    [
        with_shadow,
        lambda images: 255 - images,
        lambda images: images // 64,
        lambda images: images // 2 + (images.mean((1, 2, 3), keepdims=True) * 4).astype(np.uint8),
    ],
)
def test_shadows_and_what_lights_up_everything_do_no_harm(failures, change):
    assert failures(shown(AnalyticRenderer, change)) == {}


class Ground(Renderer):
    """A ground without anything on it, lit from a place: nothing has a label."""

    lamp: ClassVar = {"x": {"prior": {"uniform": {"low": 0, "high": 16}}, "range": [0, 16]}}
    kinds: ClassVar = {"lamp": frozenset({"x"})}
    example: ClassVar = {"root": {"name": "lamp", "kind": "lamp", "attributes": lamp}}

    def __init__(self):
        self.image_size = (16, 16)

    def render(self, scenes):
        images = np.zeros((len(scenes), 16, 16, 3), np.uint8)
        for image, scene in zip(images, scenes, strict=True):
            away = np.abs(np.arange(16) + 0.5 - scene.nodes[0].attributes["x"])
            image[:] = (255 / (1 + away / 16)).astype(np.uint8)[None, :, None]
        return Rendered(images, np.zeros(images.shape[:3], np.int32), ((),) * len(scenes))


def test_a_moving_light_needs_no_label(failures):
    assert failures(Ground) == {}
