"""The drawing formula, written once for numpy and torch.

A glyph is sheared, scaled, turned and moved; every pixel near it looks up, by the inverse
map, how much stroke there is (bilinear, in a table with an empty border), and the stroke is
blended over what lies below. Pixel (row i, column j) has its centre at (j + 0.5, i + 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim_mnist.glyphs import BOX

__all__ = ["NUMPY", "OPAQUE", "Affine", "Ops", "blend", "coverage", "inverse_map", "pack", "reach"]

OPAQUE = 0.25
"""A pixel belongs to a digit where the digit's coverage is above this share."""

_SIDE = BOX + 2  # cells of the table: one empty row and column before the glyph, one after
_MIDDLE = 1 + (BOX - 1) / 2
_TINY = 1e-3  # a scale of 0 draws (next to) nothing instead of dividing by it


@dataclass(frozen=True, slots=True)
class Ops:
    """The four operations that numpy and torch spell differently.

    Attributes:
        clip: (array, low, high) -> array.
        floor: elementwise.
        whole: whole numbers in floating point -> integers fit for an index.
        taps: (table, index) -> the four neighbours' values, as floating point, 0 to 255.
    """

    clip: Callable[[Any, float, float], Any]
    floor: Callable[[Any], Any]
    whole: Callable[[Any], Any]
    taps: Callable[[Any, Any], tuple[Any, Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Affine:
    """The map from pixels to table cells, column u and row v, one entry for each digit.

    ``u = ux X + uy Y + u0`` and ``v = vx X + vy Y + v0``, where X and Y count pixels from
    the one that holds the digit's centre. Entries are (n,) arrays.
    """

    ux: Any
    uy: Any
    u0: Any
    vx: Any
    vy: Any
    v0: Any


def pack(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """A lookup table (G * 30 * 30,): each cell holds itself and three neighbours, a byte each.

    One lookup of four bytes takes less time than four lookups of one. The bytes are, in
    memory: the cell, its right neighbour, the one below it, the one below and to the right.

    Args:
        images: uint8 (G, 28, 28).
    """
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    corners = [padded[:, i : i + _SIDE, j : j + _SIDE] for i in (0, 1) for j in (0, 1)]
    packed: npt.NDArray[np.uint32] = np.stack(corners, axis=-1).view(np.uint32).reshape(-1)
    return packed


def reach(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(G,) how far from the box's middle a glyph's coverage can be above 0, in pixels."""
    offset = np.arange(BOX) - (BOX - 1) / 2
    distance = np.hypot(offset[:, None], offset).ravel()
    outside_in = np.argsort(-distance)
    first = (images.reshape(len(images), -1)[:, outside_in] > 0).argmax(1)
    found: npt.NDArray[np.float64] = distance[outside_in][first] + 2**0.5
    return found


def inverse_map(cos: Any, sin: Any, scale: Any, shear: Any, ox: Any, oy: Any) -> Affine:
    """The map for digits turned counter-clockwise as seen, where y points down.

    Args:
        cos: (n,) cosine of the yaw.
        sin: (n,) its sine.
        scale: (n,) at least 0.
        shear: (n,) positive leans the top to the right.
        ox: (n,) from the digit's centre to that of the pixel which holds it, in x.
        oy: (n,) the same in y.
    """
    shrink = 1.0 / (scale + _TINY * (scale < _TINY))
    vx, vy = sin * shrink, cos * shrink
    ux, uy = cos * shrink + shear * vx, shear * vy - sin * shrink
    return Affine(ux, uy, _MIDDLE + ux * ox + uy * oy, vx, vy, _MIDDLE + vx * ox + vy * oy)


def coverage(ops: Ops, table: Any, exemplar: Any, affine: Affine, across: Any) -> Any:
    """How much stroke each pixel of each digit's window has, 0 to 255; shape (n, w, w).

    Args:
        ops: numpy's or torch's operations.
        table: what :func:`pack` made.
        exemplar: integers (n,), the glyph of each digit.
        affine: of (n,) arrays.
        across: (w,) the window's columns, and rows, counted from the pixel of the centre.
    """
    row, column = across[:, None], across

    def cell(x: Any, y: Any, zero: Any) -> tuple[Any, Any]:
        at = x[:, None, None] * column + (y[:, None, None] * row + zero[:, None, None])
        # Beyond the table the last cells are empty too, so that clipping loses nothing.
        at = ops.clip(at, 0.0, _SIDE - 0.5)
        whole = ops.floor(at)
        return whole, at - whole

    j, u = cell(affine.ux, affine.uy, affine.u0)
    i, v = cell(affine.vx, affine.vy, affine.v0)
    index = ops.whole(i * _SIDE + j) + (exemplar * _SIDE**2)[:, None, None]
    here, right, below, both = ops.taps(table, index)
    top = here + (right - here) * u
    return top + (below + (both - below) * u - top) * v


def blend(under: Any, intensity: Any, cover: Any) -> Any:
    """Stroke of brightness ``intensity`` (0 to 1) over ``under`` (0 to 255).

    Args:
        under: broadcast against ``cover``.
        intensity: the same.
        cover: what :func:`coverage` gave, 0 to 255.
    """
    return under + cover * (intensity - under * (1 / 255))


def _numpy_taps(table: Any, index: Any) -> Any:
    found = table.take(index).view(np.uint8).reshape(*index.shape, 4)
    return tuple(found[..., k].astype(np.float32) for k in range(4))


NUMPY = Ops(
    clip=np.clip,
    floor=np.floor,
    whole=lambda a: a.astype(np.intp),
    taps=_numpy_taps,
)
