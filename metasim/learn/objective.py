"""What is minimised: the discrepancy between features of renders and of the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.errors import RenderError
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import Discrepancy
from metasim.learn.features.appearance import apply_looks, draw_looks
from metasim.learn.features.base import FeatureExtractor, to_tensor
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import calling, draw
from metasim.scene.graph import Scene

__all__ = ["DifferentiableRenderer", "Objective"]

_BEYOND = 0.001  # how far rounding may take what is drawn beyond [0, 1]
_SHOWN = 64  # scenes that are kept to draw them again


@runtime_checkable
class DifferentiableRenderer(Protocol):
    """What a renderer offers for pathwise gradients, besides the contract."""

    def render_tensor(
        self, scenes: Sequence[Scene], overrides: Mapping[str, tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], differentiable in the override values.

        Args:
            scenes: B scenes.
            overrides: attribute name -> (rows, values): int64 places in the list of all
                nodes of all scenes, and the attribute's values there, in its own unit.
        """
        ...


class Objective:
    """Renders scenes, extracts their features, and compares them with the target.

    Attributes:
        renders: images drawn through this object so far.
    """

    def __init__(
        self,
        renderer: Renderer,
        codec: SceneCodec,
        features: FeatureExtractor,
        discrepancy: Discrepancy,
    ) -> None:
        self.renderer, self.codec = renderer, codec
        self.extractor, self.discrepancy = features, discrepancy
        self.renders = 0
        self._images: npt.NDArray[np.uint8] | None = None
        self._shown: Sequence[Scene] = ()

    @property
    def images(self) -> npt.NDArray[np.uint8] | None:
        """The most recent images, uint8 (B, H, W, 3); None before the first.

        After a resumption the first of them are drawn again; they were counted before.
        """
        if self._images is None and self._shown:
            self._images = draw(self.renderer, self._shown).images
        return self._images

    def shown_scenes(self) -> list[dict[str, Any]]:
        """The scenes of the first of :attr:`images`, as :meth:`resume` takes them."""
        return [scene.to_json() for scene in self._shown]

    def resume(self, renders: int, shown: Sequence[Mapping[str, Any]]) -> None:
        """Go on after ``renders`` images, the last of which showed the scenes ``shown``."""
        self.renders = renders
        self._images, self._shown = None, [Scene.from_json(scene) for scene in shown]

    @torch.no_grad()
    def features(
        self,
        scenes: Sequence[Scene],
        generator: torch.Generator,
        variant_of: Tensor | None = None,
    ) -> Tensor:
        """Features (B, D) of freshly rendered scenes, their looks randomised if so set.

        Args:
            scenes: B scenes.
            generator: draws the looks.
            variant_of: int64 (B,), the scene that each one is a variant of; variants of one
                scene are given the same looks. None: each is given looks of its own.
        """
        return self.features_of(self.draw(scenes), generator, variant_of)

    @torch.no_grad()
    def features_of(
        self, rendered: Rendered, generator: torch.Generator, variant_of: Tensor | None = None
    ) -> Tensor:
        """As :meth:`features`, of what has been drawn."""
        return self._extract(to_tensor(rendered.images), generator, variant_of)

    def draw(self, scenes: Sequence[Scene]) -> Rendered:
        """Images and labels of B scenes; counted as B renders."""
        rendered = draw(self.renderer, scenes)
        self.renders += len(scenes)
        self._images, self._shown = rendered.images, scenes[:_SHOWN]
        return rendered

    def draw_edited(self, scenes: Sequence[Scene], latent: Tensor, name_id: Tensor) -> Rendered:
        """As :meth:`draw`, with the scenes' learnable attributes at ``latent`` (N, A)."""
        return self.draw(self._at(scenes, latent, name_id))

    def edited(
        self,
        scenes: Sequence[Scene],
        latent: Tensor,
        name_id: Tensor,
        generator: torch.Generator,
        variant_of: Tensor | None = None,
    ) -> Tensor:
        """Features (B, D) of scenes with their learnable attributes at ``latent`` (N, A)."""
        return self.features(self._at(scenes, latent, name_id), generator, variant_of)

    def _at(self, scenes: Sequence[Scene], latent: Tensor, name_id: Tensor) -> list[Scene]:
        return self.codec.decode(scenes, self.codec.to_values(latent.detach(), name_id))

    def differentiable(
        self, scenes: Sequence[Scene], latent: Tensor, name_id: Tensor, generator: torch.Generator
    ) -> Tensor:
        """As :meth:`edited`, with a gradient through renderer and features.

        Raises:
            RenderError: when the renderer is not a :class:`DifferentiableRenderer`.
        """
        if not isinstance(self.renderer, DifferentiableRenderer):
            raise RenderError(
                "the pathwise gradient needs a renderer with a method render_tensor; "
                f"{type(self.renderer).__name__} has none: choose another gradient"
            )
        values = self.codec.to_values(latent, name_id)
        overrides = {}
        for a, name in enumerate(self.codec.attributes):
            rows = torch.nonzero(self.codec.mask[name_id, a]).squeeze(-1)
            overrides[name] = (rows, values[rows, a])
        images = self._draw_tensor(self.renderer, scenes, overrides)
        self.renders += len(scenes)
        self._images, self._shown = _as_bytes(images), ()  # each step draws anew
        return self._extract(images.float(), generator)

    def _draw_tensor(
        self,
        renderer: DifferentiableRenderer,
        scenes: Sequence[Scene],
        overrides: Mapping[str, tuple[Tensor, Tensor]],
    ) -> Tensor:
        name = f"render_tensor() of {type(renderer).__name__}"
        with calling(name):
            images = renderer.render_tensor(scenes, overrides)
        shape = (len(scenes), 3, *self.renderer.image_size)
        if not isinstance(images, Tensor) or tuple(images.shape) != shape:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise RenderError(f"{name} must return a tensor of shape {shape}, got {got}")
        _check_levels(images, name)
        moved = any(len(rows) and values.requires_grad for rows, values in overrides.values())
        if moved and not images.requires_grad:
            raise RenderError(
                f"{name} must return images that depend on the given values by torch's own "
                "operations, got some without a gradient; do not detach them, or choose another "
                "gradient"
            )
        return images

    def _extract(
        self, images: Tensor, generator: torch.Generator, variant_of: Tensor | None = None
    ) -> Tensor:
        if self.extractor.randomised:
            count = len(images) if variant_of is None else int(variant_of.max()) + 1
            height, width = images.shape[-2:]
            looks = draw_looks(count, (height, width), generator)
            images = apply_looks(images, looks if variant_of is None else looks[variant_of])
        if torch.is_grad_enabled():
            features: Tensor = self.extractor(images).cpu()
            return features
        parts = torch.split(images, self.extractor.chunk)
        return torch.cat([self.extractor(part).cpu() for part in parts])


def _check_levels(images: Tensor, name: str) -> None:
    """Refuse what is no image in [0, 1]; what is no number is told of where the loss is.

    Raises:
        RenderError: naming the method called ``name``, and what it gave.
    """
    if not images.is_floating_point():
        raise RenderError(
            f"{name} must return floating-point numbers in [0, 1], got {images.dtype}; divide "
            "levels by 255"
        )
    if not images.numel():
        return
    low, high = (float(end) for end in images.detach().aminmax())
    if math.isfinite(low + high) and (low < -_BEYOND or high > 1 + _BEYOND):
        raise RenderError(
            f"{name} must return images in [0, 1], got values from {low:g} to {high:g}; divide "
            "levels by 255, or clamp what lies beyond"
        )


def _as_bytes(images: Tensor) -> npt.NDArray[np.uint8]:
    """(B, 3, H, W) in [0, 1] as uint8 (B, H, W, 3); what is no number is black."""
    levels = images.detach().nan_to_num(0.0).clamp(0, 1).mul(255).round().byte()
    found: npt.NDArray[np.uint8] = levels.permute(0, 2, 3, 1).numpy()
    return found
