"""Putting the digits' windows over their images' grounds, the later ones in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from metasim_mnist.drawing import OPAQUE, blend
from metasim_mnist.noise import normals

__all__ = ["Picture", "Places", "add_noise", "compose"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the windows of D digits go; int64 (D,) each.

    Attributes:
        image: which image.
        layer: how many digits of that image lie behind.
        top: the image row of the window's first row; may lie outside.
        left: the image column of the window's first column; may lie outside.
    """

    image: npt.NDArray[np.int64]
    layer: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]

    def near(self, size: tuple[int, int], side: int) -> Places:
        """The same with windows far outside brought to the edge, where they still miss it."""
        top = np.clip(self.top, -side, size[0])
        left = np.clip(self.left, -side, size[1])
        return Places(self.image, self.layer, top, left)

    def margin(self, size: tuple[int, int], side: int) -> int:
        """How far the windows stand out of the image, at most."""
        out = (-self.top, -self.left, self.top + (side - size[0]), self.left + (side - size[1]))
        return max(0, *(int(o.max(initial=0)) for o in out))


@dataclass(frozen=True, slots=True)
class Picture:
    """Composed images.

    Attributes:
        grey: float32 (B, H, W), 0 to 255, neither rounded nor clipped.
        instances: int32 (B, H, W), layer + 1 of the front-most digit, 0 for ground.
        own: int64 (D,), how many pixels each digit has, seen or not.
    """

    grey: npt.NDArray[np.float32]
    instances: npt.NDArray[np.int32]
    own: npt.NDArray[np.int64]


def compose(
    cover: npt.NDArray[np.float32],
    intensity: npt.NDArray[np.float64],
    places: Places,
    level: npt.NDArray[np.float64],
    size: tuple[int, int],
) -> Picture:
    """Blend windows into images, layer by layer.

    Args:
        cover: (D, w, w) coverage, 0 to 255.
        intensity: (D,) brightness of the strokes, 0 to 1.
        places: of the D windows.
        level: (B,) brightness of the grounds, 0 to 1.
        size: (H, W) of the images.
    """
    count, side = len(level), cover.shape[-1]
    places = places.near(size, side)
    margin = places.margin(size, side)
    shape = (count, size[0] + 2 * margin, size[1] + 2 * margin)
    ground = level.astype(np.float32) * np.float32(255)
    stroke = intensity.astype(np.float32)
    canvas = np.empty(shape, np.float32)
    canvas[:] = ground[:, None, None]
    ids = np.zeros(shape, np.int32)
    mask = cover > OPAQUE * 255
    for layer in range(int(places.layer.max(initial=-1)) + 1):
        rows = np.flatnonzero(places.layer == layer)
        image = places.image[rows]
        at = (image, places.top[rows] + margin, places.left[rows] + margin)
        pixels, marks = _windows(canvas, side), _windows(ids, side)
        here = rows if len(rows) < len(cover) else slice(None)
        if layer == 0:
            under, mark = ground[image][:, None, None], mask[here].view(np.int8)
        else:
            under, mark = pixels[at], np.where(mask[here], layer + 1, marks[at])
        pixels[at] = blend(under, stroke[rows][:, None, None], cover[here])
        marks[at] = mark
    inner = (slice(None), slice(margin, margin + size[0]), slice(margin, margin + size[1]))
    own = np.count_nonzero(mask.reshape(len(mask), side * side), axis=1)
    return Picture(canvas[inner], ids[inner], own.astype(np.int64))


def _windows(plane: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """All side x side windows of (B, H, W), writable, by image, top row and left column."""
    axes: Any = (1, 2)  # numpy's own annotation allows for one axis only
    return sliding_window_view(plane, (side, side), axes, writeable=True)


def add_noise(
    grey: npt.NDArray[np.float32], noise: npt.NDArray[np.float64], seeds: npt.NDArray[np.uint64]
) -> None:
    """Add normal noise of deviation ``noise`` (B,), 0 to 1, to images (B, H, W), 0 to 255."""
    rows = np.flatnonzero(noise)
    if rows.size:
        height, width = grey.shape[1:]
        drawn = normals(seeds[rows], height * width).reshape(len(rows), height, width)
        grey[rows] += drawn * (noise[rows] * 255).astype(np.float32)[:, None, None]
