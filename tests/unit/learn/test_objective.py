"""The objective renders, extracts and counts; bad renderers are told so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.errors import RenderError
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import KernelMMD
from metasim.learn.features import PixelFeatures
from metasim.learn.features.base import FeatureExtractor, to_tensor
from metasim.learn.objective import DifferentiableRenderer, Objective
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import draw
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer

EXAMPLE = AnalyticRenderer.example
assert EXAMPLE is not None
GRAMMAR = SceneGrammar.model_validate(EXAMPLE)
CODEC = SceneCodec(GRAMMAR)


class Images(FeatureExtractor):
    """The images themselves."""

    def __init__(self, randomised: bool = False) -> None:
        super().__init__()
        self.randomised = randomised

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def scenes(count: int = 6) -> list[Scene]:
    rng = np.random.default_rng(0)
    return [GRAMMAR.sample(rng) for _ in range(count)]


def objective(extractor: FeatureExtractor, renderer: Renderer | None = None) -> Objective:
    return Objective(renderer or AnalyticRenderer(), CODEC, extractor, KernelMMD((1.0,)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_edited_features_are_those_of_the_decoded_scenes() -> None:
    one, given = objective(Images()), scenes()
    batch = CODEC.encode(given)
    latent = torch.rand(batch.value.shape, generator=generator()) * 3 - 1.5
    found = one.edited(given, latent, batch.name_id, generator())
    decoded = CODEC.decode(given, CODEC.to_values(latent, batch.name_id))
    wanted = to_tensor(AnalyticRenderer().render(decoded).images).flatten(1)
    assert torch.equal(found, wanted)
    assert one.renders == 6
    assert one.images is not None
    assert len(one.images) == 6


def test_differentiable_features_are_the_same_up_to_the_rounding_of_images() -> None:
    one, given = objective(PixelFeatures(8)), scenes()
    batch = CODEC.encode(given)
    latent = torch.rand(batch.value.shape, generator=generator()).requires_grad_()
    smooth = one.differentiable(given, latent, batch.name_id, generator())
    rounded = one.edited(given, latent, batch.name_id, generator())
    torch.testing.assert_close(smooth.detach(), rounded, atol=1 / 255, rtol=0)
    assert one.renders == 12
    (slope,) = torch.autograd.grad(smooth.square().sum(), latent)
    mask = CODEC.mask[batch.name_id]
    assert bool((slope[mask] != 0).all())
    assert not bool(slope[~mask].any())


def test_variants_of_a_scene_are_given_the_same_looks() -> None:
    one, (a, b) = objective(Images(randomised=True)), scenes(2)
    found = one.features([a, b, b, a], generator(), torch.tensor([0, 1, 1, 0]))
    assert torch.equal(found[0], found[3])
    assert torch.equal(found[1], found[2])
    apart = one.features([a, a], generator())
    assert not torch.equal(apart[0], apart[1])
    again = one.features([a, a], generator())
    assert torch.equal(apart, again)


def test_looks_are_left_alone_where_the_extractor_does_not_ask_for_them() -> None:
    one, given = objective(Images()), scenes()
    assert torch.equal(one.features(given, generator(0)), one.features(given, generator(1)))


def test_pathwise_needs_a_renderer_that_can() -> None:
    class Opaque(AnalyticRenderer):
        render_tensor = None  # type: ignore[assignment]

    assert isinstance(AnalyticRenderer(), DifferentiableRenderer)
    batch = CODEC.encode(scenes())
    with pytest.raises(RenderError, match=r"render_tensor; Opaque has none: choose another"):
        objective(Images(), Opaque()).differentiable(
            scenes(), torch.zeros(batch.value.shape), batch.name_id, generator()
        )


class Broken(AnalyticRenderer):
    """Does what it is told wrongly."""

    def __init__(self, fault: Any) -> None:
        super().__init__()
        self.fault = fault

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        if isinstance(self.fault, Exception):
            raise self.fault
        changed: Rendered = self.fault(super().render(scenes))
        return changed


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (ZeroDivisionError("by zero"), "Broken raised ZeroDivisionError: by zero"),
        (RenderError("lens cap on"), "^lens cap on$"),
        (lambda r: r[:1], r"images must have shape \(2, 16, 16, 3\)"),
        (lambda r: None, "must return a metasim Rendered"),
        (lambda r: Rendered(r.images / 2, r.instances, r.labels), "images must be uint8"),
    ],
)
def test_a_renderer_s_faults_are_named(fault: Any, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        draw(Broken(fault), scenes(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t * 255, r"must return images in \[0, 1\], got values from \S+ to 1\d\d"),
        (lambda t: t - 0.1, r"got values from -0\.1 to"),
        (lambda t: (t * 255).round().to(torch.uint8), r"numbers in \[0, 1\], got torch\.uint8"),
    ],
)
def test_tensors_that_are_no_images_are_told(change: Any, said: str) -> None:
    class Changed(AnalyticRenderer):
        def render_tensor(self, *given: Any) -> Tensor:
            changed: Tensor = change(super().render_tensor(*given))
            return changed

    batch = CODEC.encode(scenes())
    latent = torch.zeros(batch.value.shape, requires_grad=True)
    with pytest.raises(RenderError, match=said):
        objective(Images(), Changed()).differentiable(scenes(), latent, batch.name_id, generator())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_tensors_of_other_precision_are_taken(dtype: torch.dtype) -> None:
    class Precise(AnalyticRenderer):
        def render_tensor(self, *given: Any) -> Tensor:
            return super().render_tensor(*given).to(dtype) + 0.0005  # as rounding may do

    batch = CODEC.encode(scenes())
    latent = torch.zeros(batch.value.shape, requires_grad=True)
    one = objective(Images(), Precise())
    assert one.differentiable(scenes(), latent, batch.name_id, generator()).dtype == torch.float32


def test_a_renderer_that_draws_into_the_same_arrays_does_not_change_what_was_drawn() -> None:
    class Reuses(AnalyticRenderer):
        kept: Rendered | None = None

        def render(self, scenes: Sequence[Scene]) -> Rendered:
            done = super().render(scenes)
            self.kept = self.kept or done
            self.kept.images[:], self.kept.instances[:] = done.images, done.instances
            return Rendered(self.kept.images, self.kept.instances, done.labels)

    renderer, given = Reuses(), scenes(2)
    first, second = draw(renderer, given[:1]), draw(renderer, given[1:])
    wanted = AnalyticRenderer().render(given)
    for plane in ("images", "instances"):
        for row, drawn in enumerate((first, second)):
            assert np.array_equal(getattr(drawn, plane)[0], getattr(wanted, plane)[row])


def test_tensors_that_were_detached_are_told() -> None:
    class Detached(AnalyticRenderer):
        def render_tensor(self, *given: Any) -> Tensor:
            return super().render_tensor(*given).detach()

    batch = CODEC.encode(scenes())
    latent = torch.zeros(batch.value.shape, requires_grad=True)
    with pytest.raises(RenderError, match=r"render_tensor\(\) of Detached must return images that"):
        objective(Images(), Detached()).differentiable(scenes(), latent, batch.name_id, generator())
