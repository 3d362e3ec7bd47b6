"""Which pixels a mesh covers, by its projected triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "covered", "extent"]

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels."""


def extent(seen: npt.NDArray[np.float64]) -> Box:
    """The box of the pixels that hold points (V, 2) of an image, and those between them."""
    (x0, y0), (x1, y1) = np.floor(seen.min(0)).tolist(), np.ceil(seen.max(0)).tolist()
    return x0, y0, x1, y1


def covered(seen: npt.NDArray[np.float64], faces: npt.NDArray[np.integer[Any]]) -> Box | None:
    """The box of the pixels whose centres lie within a triangle; None where there are none.

    A tip that passes between the centres is not counted, as it is not drawn either.

    Args:
        seen: (V, 2), columns and rows of the corners.
        faces: (F, 3), places in ``seen``.
    """
    corners = seen[faces]
    first = np.ceil(corners[..., 1].min(1) - 0.5).astype(np.int64)
    last = np.floor(corners[..., 1].max(1) - 0.5).astype(np.int64)
    counts = np.maximum(last - first + 1, 0)
    face = np.repeat(np.arange(len(faces)), counts)
    rows = first[face] + np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    left, right = _crossing(corners[face], rows + 0.5)
    start, end = np.ceil(left - 0.5), np.floor(right - 0.5)
    some = start <= end
    if not some.any():
        return None
    start, end, rows = start[some], end[some], rows[some]
    return float(start.min()), float(rows.min()), float(end.max() + 1), float(rows.max() + 1)


def _crossing(
    corners: npt.NDArray[np.float64], heights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where triangles (T, 3, 2) begin and end on horizontal lines (T,)."""
    x, y = corners[..., 0], corners[..., 1]
    next_x, next_y = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    line = heights[:, None]
    crossed = (np.minimum(y, next_y) <= line) & (line <= np.maximum(y, next_y)) & (y != next_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (next_x - x) * (line - y) / (next_y - y)
    left = np.where(crossed, at, np.inf).min(1, initial=np.inf)
    right = np.where(crossed, at, -np.inf).max(1, initial=-np.inf)
    return left, right
