"""The digit renderer: whole batches at once, in numpy alone; in torch for gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from metasim.render.base import Rendered, Renderer
from metasim.render.size import LARGEST_SIDE, check_size
from metasim.scene.graph import Scene
from metasim_mnist.batch import KINDS, PLACED, SHADED, Batch, read_scenes
from metasim_mnist.canvas import Picture, Places, add_noise, compose
from metasim_mnist.drawing import NUMPY, Affine, coverage, inverse_map, pack, reach
from metasim_mnist.glyphs import Split, load_glyphs
from metasim_mnist.labels import label_digits

if TYPE_CHECKING:
    import torch

__all__ = ["ImageSize", "MnistRenderer", "pixel_of"]

_AT_ONCE = 2**17  # pixels drawn in one go: few enough for their arrays to stay in the cache

ImageSize = Annotated[
    Sequence[Annotated[int, Field(ge=1, le=LARGEST_SIDE)]], Field(min_length=2, max_length=2)
]
"""(height, width) in pixels; the bounds are for whoever reads the annotation."""


class MnistRenderer(Renderer):
    """Draws digits (or other glyphs) over a plain ground.

    Kinds and attributes (all optional, all in pixels of the image, degrees, or 0 to 1):

    - ``scene``: ``level``, brightness of the ground; ``noise``, deviation of normal noise,
      which follows from the scene's seed.
    - ``digit``: ``class``, its name; ``glyph`` in [0, 1), which exemplar of the class (both
      follow from the seed where absent); ``x``, ``y``, its centre, where the pixel in row i
      and column j has its centre at (j + 0.5, i + 0.5); ``yaw``, counter-clockwise as seen;
      ``scale``, 1 for a box of 28 pixels whose stroke fills about 20; ``shear``, positive
      leans the top to the right; ``intensity``, brightness of the stroke.

    ``scale`` goes from 0 to 64, ``shear`` from -8 to 8, ``noise`` from 0; others are refused.

    Positions are those of the image, not of the parent. Later nodes lie in front. A pixel
    belongs to the front-most digit whose stroke covers more than a quarter of it.

    Args:
        image_size: (H, W) in pixels.
        glyphs: "digits" for scikit-learn's, or a folder of IDX files or images by class.
        split: "source" and "target" are disjoint halves of every class's exemplars.

    Raises:
        PluginError: when ``image_size`` is no size.
        DataError: when the glyphs cannot be used.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    differentiable: ClassVar[frozenset[str]] = frozenset({*PLACED, *SHADED})
    example: ClassVar[Mapping[str, Any] | None] = {
        "root": {
            "name": "scene",
            "kind": "scene",
            "attributes": {
                "level": {
                    "prior": {"uniform": {"low": 0.0, "high": 0.3}},
                    "range": [0, 1],
                    "mutable": True,
                },
                "noise": {"prior": 0.03, "range": [0, 1], "mutable": True},
            },
            "children": [
                {
                    "name": "digit",
                    "kind": "digit",
                    "count": {"choice": {"values": [1, 2]}},
                    "attributes": {
                        "class": {"prior": {"choice": {"values": list(range(10))}}},
                        "glyph": {
                            "prior": {"uniform": {"low": 0.0, "high": 1.0}},
                            "range": [0, 1],
                            "mutable": True,
                        },
                        "x": {
                            "prior": {"normal": {"mean": 16, "std": 6}},
                            "unit": "px",
                            "range": [0, 32],
                            "mutable": True,
                        },
                        "y": {
                            "prior": {"normal": {"mean": 16, "std": 6}},
                            "unit": "px",
                            "range": [0, 32],
                            "mutable": True,
                        },
                        "yaw": {
                            "prior": {"normal": {"mean": 0, "std": 10}},
                            "unit": "deg",
                            "range": [0, 360],
                            "mutable": True,
                            "periodic": True,
                        },
                        "scale": {"prior": 1.0, "range": [0.5, 1.5], "mutable": True},
                        "shear": {"prior": 0.0, "range": [-0.5, 0.5], "mutable": True},
                        "intensity": {"prior": 1.0, "range": [0.5, 1], "mutable": True},
                    },
                }
            ],
        }
    }

    def __init__(
        self,
        image_size: ImageSize = (32, 32),
        glyphs: str | Path = "digits",
        split: Split = "all",
    ) -> None:
        self.image_size = check_size(image_size)
        self.glyphs = load_glyphs(glyphs, split)
        self.known_categories = {"digit": self.glyphs.classes}
        self.table = pack(self.glyphs.images)
        self.reach = reach(self.glyphs.images)

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes.

        Raises:
            DataError: when a scene holds something that cannot be drawn.
        """
        shape = (len(scenes), *self.image_size)
        images = np.empty((*shape, 3), np.uint8)
        instances = np.empty(shape, np.int32)
        batch = read_scenes(scenes, self.glyphs, self.image_size)
        own = np.zeros(len(batch.scene), np.int64)
        for rows in self._chunks(batch, len(scenes)):
            digits = slice(*np.searchsorted(batch.scene, [rows.start, rows.stop]).tolist())
            picture = self._draw(batch, rows, digits)
            instances[rows], own[digits] = picture.instances, picture.own
            grey = picture.grey
            grey += 0.5
            np.clip(grey, 0.5, 255.5, out=grey)
            whole = grey.astype(np.uint8)
            for channel in range(3):  # five times as fast as one broadcast assignment
                images[rows, ..., channel] = whole
        return Rendered(images, instances, label_digits(batch, instances, own, self.glyphs.classes))

    def render_tensor(
        self,
        scenes: Sequence[Scene],
        overrides: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Draw a batch of scenes so that gradients flow to some of their attributes.

        The same formula as :meth:`render`, without the rounding to whole levels.

        Args:
            scenes: B scenes.
            overrides: attribute name -> (rows, values): int64 (R,) rows of the nodes of all
                scenes put one after the other, and their values (R,) in the attribute's
                unit. The name must be in ``differentiable``.

        Returns:
            (B, 3, H, W) in [0, 1], on the values' device; float64 where values are float64,
            else float32.

        Raises:
            DataError: when a name is not differentiable or a row is no node that has it.
        """
        from metasim_mnist.tensor import draw_tensor

        batch = read_scenes(scenes, self.glyphs, self.image_size)
        counts = [len(scene.nodes) for scene in scenes]
        reach = self.reach[batch.exemplar]
        return draw_tensor(batch, counts, self.table, reach, self.image_size, overrides)

    def _half(self, batch: Batch, digits: slice = slice(None)) -> int:
        """Pixels on each side of a digit's own that its window needs, at most."""
        placed = batch.digits
        radius = self.reach[batch.exemplar[digits]] * placed["scale"][digits]
        radius = radius * (1 + np.abs(placed["shear"][digits]))
        return math.ceil(float(radius.max(initial=0.0)) + 0.5)

    def _chunks(self, batch: Batch, count: int) -> list[slice]:
        if not count:
            return []
        height, width = self.image_size
        windows = len(batch.scene) / count * (2 * self._half(batch) + 1) ** 2
        step = max(1, int(_AT_ONCE / max(height * width, windows)))
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def _draw(self, batch: Batch, rows: slice, digits: slice) -> Picture:
        """Some scenes of a batch, and the digits that are in them."""
        placed = {name: values[digits] for name, values in batch.digits.items()}
        half = self._half(batch, digits)
        column, ox = pixel_of(placed["x"])
        row, oy = pixel_of(placed["y"])
        cos, sin = _turns(placed["yaw"])
        affine = inverse_map(cos, sin, placed["scale"], placed["shear"], ox, oy)
        single = Affine(*(getattr(affine, f).astype(np.float32) for f in Affine.__slots__))
        across = np.arange(-half, half + 1, dtype=np.float32)
        picture = compose(
            coverage(NUMPY, self.table, batch.exemplar[digits], single, across),
            placed["intensity"],
            Places(
                batch.scene[digits] - rows.start, batch.layer[digits], row - half, column - half
            ),
            batch.scenes["level"][rows],
            self.image_size,
        )
        add_noise(picture.grey, batch.scenes["noise"][rows], batch.seeds[rows])
        return picture


def pixel_of(
    centre: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The pixel that holds a coordinate, and the way from there to that pixel's centre."""
    whole = np.floor(centre)
    # Beyond a billion pixels away nothing is seen, and int64 would overflow.
    return np.clip(whole, -1e9, 1e9).astype(np.int64), whole + 0.5 - centre


def _turns(
    yaw: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # One at a time: numpy's vectorised sine may depend on what else is in the array, and
    # an image must not depend on its batch.
    radians = np.deg2rad(yaw).tolist()
    return np.array([*map(math.cos, radians)]), np.array([*map(math.sin, radians)])
