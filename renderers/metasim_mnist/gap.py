"""A second digit renderer whose images look different, for targets with an appearance gap.

It has the same kinds, attributes and conventions as :class:`metasim_mnist.MnistRenderer`
and shares none of its drawing: glyphs are turned and scaled by Pillow on a finer grid, and
the picture is then inverted, laid over a smooth texture, blurred and made noisy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from pydantic import Field

from metasim.errors import PluginError
from metasim.render.base import Rendered, Renderer
from metasim.render.size import check_size
from metasim.scene.graph import Scene
from metasim_mnist.batch import KINDS, Batch, read_scenes
from metasim_mnist.drawing import OPAQUE
from metasim_mnist.glyphs import BOX, Split, load_glyphs
from metasim_mnist.labels import label_digits
from metasim_mnist.renderer import ImageSize, MnistRenderer

__all__ = ["GapRenderer"]

_FINER = 4  # glyphs are drawn on a grid this much finer, then averaged
_TEXTURE_CELLS = 4
_LIGHT, _DARK = 0.9, 0.1

_MOST_BLUR = 64

Plane = npt.NDArray[np.float64]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class _Patch:
    """One drawn digit: coverage 0 to 1 of a square, and where its corner lies."""

    cover: Plane
    top: int
    left: int

    def within(self, size: tuple[int, int]) -> tuple[tuple[slice, slice], Plane]:
        """The rows and columns of the image it falls on, and its coverage there."""
        spans = []
        for start, side, room in zip((self.top, self.left), self.cover.shape, size, strict=True):
            low = min(max(start, 0), room)
            spans.append((slice(low, min(max(start + side, low), room)), start))
        (rows, top), (columns, left) = spans
        cut = self.cover[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        return (rows, columns), cut


class GapRenderer(Renderer):
    """Draws the scenes of :class:`metasim_mnist.MnistRenderer` with other looks.

    Args:
        image_size: (H, W) in pixels.
        glyphs: "digits", or a folder of IDX files or of images by class.
        split: "all", or the "source" or "target" half of every class's exemplars.
        inverted: dark strokes on a light ground.
        blur: standard deviation of the blur, 0 to 64 pixels.
        texture: contrast of the smooth texture of the ground, 0 to 1.
        noise: standard deviation of the noise, 0 to 1, besides that of the scene.

    Raises:
        PluginError: when an option is out of its range.
        DataError: when the glyphs cannot be used.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    example: ClassVar[Mapping[str, Any] | None] = MnistRenderer.example

    def __init__(
        self,
        image_size: ImageSize = (32, 32),
        glyphs: str | Path = "digits",
        split: Split = "all",
        inverted: bool = True,
        blur: Annotated[float, Field(ge=0, le=_MOST_BLUR)] = 0.7,
        texture: Share = 0.3,
        noise: Share = 0.05,
    ) -> None:
        for name, value, most in (
            ("blur", blur, _MOST_BLUR),
            ("texture", texture, 1),
            ("noise", noise, 1),
        ):
            if not 0 <= value <= most:  # False for NaN too
                raise PluginError(f"{name} must be a number from 0 to {most}, got {value!r}")
        self.image_size = check_size(image_size)
        self.glyphs = load_glyphs(glyphs, split)
        self.known_categories = {"digit": self.glyphs.classes}
        self.inverted = inverted
        self.blur = blur
        self.texture = texture
        self.noise = noise

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, one after the other.

        Raises:
            DataError: when a scene holds something that cannot be drawn.
        """
        shape = (len(scenes), *self.image_size)
        images, instances = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int32)
        batch = read_scenes(scenes, self.glyphs, self.image_size)
        own = np.zeros(len(batch.scene), np.int64)
        for image, scene in enumerate(scenes):
            digits = np.flatnonzero(batch.scene == image).tolist()
            patches = [self._patch(batch, digit) for digit in digits]
            for layer, patch in enumerate(patches):
                at, cover = patch.within(self.image_size)
                instances[image][at][cover > OPAQUE] = layer + 1
                own[digits[layer]] = np.count_nonzero(patch.cover > OPAQUE)
            grey = self._picture(batch, image, digits, patches, np.random.default_rng(scene.seed))
            images[image] = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None]
        labels = label_digits(batch, instances, own, self.glyphs.classes)
        return Rendered(images, instances, labels)

    def _patch(self, batch: Batch, digit: int) -> _Patch:
        """A digit drawn by Pillow on the finer grid, averaged down to pixels."""
        x, y, yaw, scale, shear = (
            float(batch.digits[name][digit]) for name in ("x", "y", "yaw", "scale", "shear")
        )
        half = math.ceil(BOX * scale * 0.75 * (1 + abs(shear))) + 1
        fine = (2 * half + 1) * _FINER
        # An odd side and an odd canvas share a middle.
        side = max(1, round(BOX * _FINER * scale))
        side += (fine - side) % 2
        glyph = Image.fromarray(self.glyphs.images[batch.exemplar[digit]])
        canvas = Image.new("L", (fine, fine))
        corner = (fine - side) // 2
        canvas.paste(glyph.resize((side, side), Image.Resampling.LANCZOS), (corner, corner))
        if shear:
            lean = (1.0, shear, -shear * fine / 2, 0.0, 1.0, 0.0)
            canvas = canvas.transform(
                canvas.size, Image.Transform.AFFINE, lean, Image.Resampling.BICUBIC
            )
        column, row = math.floor(x), math.floor(y)
        shift: Any = ((x - column - 0.5) * _FINER, (y - row - 0.5) * _FINER)
        canvas = canvas.rotate(yaw, Image.Resampling.BICUBIC, translate=shift)
        cover = np.asarray(canvas.reduce(_FINER), np.float64) / 255
        return _Patch(cover, row - half, column - half)

    def _picture(
        self,
        batch: Batch,
        image: int,
        digits: Sequence[int],
        patches: Sequence[_Patch],
        rng: np.random.Generator,
    ) -> Plane:
        """Grey values (H, W), about 0 to 1."""
        field = self._texture(rng)
        noise = rng.standard_normal(self.image_size)
        picture = np.full(self.image_size, batch.scenes["level"][image])
        bare = np.ones(self.image_size)
        for digit, patch in zip(digits, patches, strict=True):
            at, cover = patch.within(self.image_size)
            picture[at] += cover * (batch.digits["intensity"][digit] - picture[at])
            bare[at] *= 1 - cover
        if self.inverted:
            picture = _LIGHT - (_LIGHT - _DARK) * picture - self.texture * field * bare
        else:
            picture = _DARK + (_LIGHT - _DARK) * picture + self.texture * field * bare
        if self.blur:
            soft = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
            picture = np.asarray(soft.filter(ImageFilter.GaussianBlur(self.blur))) / 255
        return picture + noise * math.hypot(self.noise, batch.scenes["noise"][image])

    def _texture(self, rng: np.random.Generator) -> Plane:
        """A smooth random field (H, W), 0 to 1."""
        cells = rng.integers(0, 256, (_TEXTURE_CELLS, _TEXTURE_CELLS), dtype=np.uint8)
        height, width = self.image_size
        grown = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(grown, np.float64) / 255
