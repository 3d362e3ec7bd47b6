"""Which pixels a model would have if nothing hid it, those beyond the image's edge too.

Its projected triangles are cut into spans of pixels whose centres they hold: the points at
which Cycles, too, says what is there (the first sample of a pixel is at its centre).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metasim.render.geometry import Camera

__all__ = ["NEAR", "Box", "Silhouette", "draw_silhouette"]

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Box = tuple[int, int, int, int]

NEAR = 0.001
"""Metres before the camera; what is nearer is not seen."""

_BEYOND = 4  # sides of the image that are looked at on each side of it
_SLACK = 1e-7  # pixels by which a centre may miss a span: neighbouring triangles leave no gap


@dataclass(frozen=True, slots=True)
class Silhouette:
    """A model's own pixels.

    Attributes:
        area: how many there are, up to four image sides beyond the edge.
        box: their half-open extent (x0, y0, x1, y1), all 0 where there are none.
        depth: (H, W) metres to the model's nearest surface, infinity where it is not.
    """

    area: int
    box: Box
    depth: Floats


def draw_silhouette(
    points: Floats, corners: npt.NDArray[np.int32], camera: Camera, size: tuple[int, int]
) -> Silhouette:
    """The pixels of a mesh.

    Args:
        points: (V, 3) vertices in the camera's frame, metres.
        corners: (3, F) places in ``points`` of the triangles' corners.
        camera: its intrinsics.
        size: (H, W) of the image.
    """
    depth = np.full(size, np.inf)
    if points[:, 2].min() <= NEAR:
        points, corners = _cut(points, corners)
    inverse = 1 / points[:, 2]
    x = camera.fx * points[:, 0] * inverse + camera.cx
    y = camera.fy * points[:, 1] * inverse + camera.cy
    spans = _spans(x, y, corners, size)
    if not len(spans.row):
        return Silhouette(0, (0, 0, 0, 0), depth)
    _fill_depth(depth, spans, points[corners[:, spans.triangle]], camera)
    area, box = _extent(spans)
    return Silhouette(area, box, depth)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Rows of pixels, from ``first`` to ``last``, that triangles cover."""

    triangle: Whole
    row: Whole
    first: Whole
    last: Whole


def _cut(points: Floats, corners: npt.NDArray[np.int32]) -> tuple[Floats, npt.NDArray[np.int32]]:
    """The triangles without what is nearer than :data:`NEAR`."""
    whole: Floats = points[corners.T]
    ahead = whole[..., 2] > NEAR
    count = ahead.sum(1)
    parts = [whole[count == 3]]
    for kept in (1, 2):
        cut, front = whole[count == kept], ahead[count == kept]
        # Turn each triangle so that the corner that is alone on its side comes first.
        alone = np.argmax(front if kept == 1 else ~front, axis=1)
        order = (alone[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(cut, order[..., None], axis=1), 1, 0)
        ab, ac = _at_near(a, b), _at_near(a, c)
        if kept == 1:
            parts.append(np.stack([a, ab, ac], axis=1))
        else:
            parts += [np.stack([ab, b, c], axis=1), np.stack([ab, c, ac], axis=1)]
    left = np.concatenate(parts).reshape(-1, 3)
    return left, np.arange(len(left), dtype=np.int32).reshape(-1, 3).T


def _at_near(a: Floats, b: Floats) -> Floats:
    """Where the ways (n, 3) from a to b cross the plane :data:`NEAR`."""
    share = (NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
    crossing: Floats = a + share[:, None] * (b - a)
    crossing[:, 2] = NEAR
    return crossing


def _spans(x: Floats, y: Floats, corners: npt.NDArray[np.int32], size: tuple[int, int]) -> _Spans:
    """The spans of triangles, within :data:`_BEYOND` sides of the image.

    Args:
        x: (V,) columns of the vertices.
        y: (V,) their rows.
        corners: (3, F).
        size: (H, W) of the image.
    """
    height, width = size
    # Most triangles of a fine mesh are so small that no centre's row crosses them.
    top, bottom = _centres(*_ends(y[corners]))
    np.maximum(top, -_BEYOND * height, out=top)
    np.minimum(bottom, (_BEYOND + 1) * height - 1, out=bottom)
    chosen = np.flatnonzero(top <= bottom)
    left, right = _centres(*_ends(x[corners[:, chosen]]))
    chosen = chosen[left <= right]
    top = top[chosen]
    counts = bottom[chosen] - top + 1
    triangle = np.repeat(chosen, counts)
    row = np.repeat(top - np.cumsum(counts) + counts, counts) + np.arange(len(triangle))
    ways = corners[:, triangle]
    first, last = _centres(*_crossings(x[ways], y[ways], row + 0.5))
    np.maximum(first, -_BEYOND * width, out=first)
    np.minimum(last, (_BEYOND + 1) * width - 1, out=last)
    held = np.flatnonzero(first <= last)
    return _Spans(triangle[held], row[held], first[held], last[held])


def _ends(values: Floats) -> tuple[Floats, Floats]:
    """Least and most of each column's three; numpy's own along an axis takes several times as long.

    Args:
        values: (3, n).
    """
    one, two, three = values
    return np.minimum(np.minimum(one, two), three), np.maximum(np.maximum(one, two), three)


def _centres(low: Floats, high: Floats) -> tuple[Whole, Whole]:
    """First and last pixel whose centres are between two coordinates."""
    first = np.ceil(low - (0.5 + _SLACK)).astype(np.int64)
    return first, np.floor(high - (0.5 - _SLACK)).astype(np.int64)


def _crossings(x: Floats, y: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Where triangles (3, n) begin and end on lines ``level`` (n,)."""
    other = (1, 2, 0)
    # From the upper end down, so that neighbours compute the same for their common edge.
    swap = y > y[other, :]
    x0, x1 = np.where(swap, x[other, :], x), np.where(swap, x, x[other, :])
    y0, y1 = np.where(swap, y[other, :], y), np.where(swap, y, y[other, :])
    meets = (y0 - _SLACK <= level) & (level <= y1 + _SLACK)
    rise = y1 - y0
    flat = rise <= 2 * _SLACK  # along the line, if it meets it: both of its ends
    rise[flat] = 1
    at = x0 + np.clip((level - y0) / rise, 0, 1) * (x1 - x0)
    begins, ends = np.where(flat, np.minimum(x0, x1), at), np.where(flat, np.maximum(x0, x1), at)
    return _ends(np.where(meets, begins, np.inf))[0], _ends(np.where(meets, ends, -np.inf))[1]


def _fill_depth(depth: Floats, spans: _Spans, corners: Floats, camera: Camera) -> None:
    """Put the nearest surface's depth at each pixel of the image.

    Args:
        depth: (H, W), infinity where nothing is.
        spans: n of them.
        corners: (3, n, 3) of each span's triangle.
        camera: its intrinsics.
    """
    height, width = depth.shape
    first, last = np.maximum(spans.first, 0), np.minimum(spans.last, width - 1)
    counts = np.where((spans.row >= 0) & (spans.row < height), np.maximum(last - first + 1, 0), 0)
    each = np.repeat(np.arange(len(counts)), counts)
    column = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(len(each))
    a, b, c = corners
    normal = np.cross(b - a, c - a)
    across = (column + 0.5 - camera.cx) / camera.fx
    down = ((spans.row + 0.5 - camera.cy) / camera.fy)[each]
    slope = normal[each, 0] * across + normal[each, 1] * down + normal[each, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.einsum("ij,ij->i", normal, a)[each] / slope
    # A triangle seen edge-on has no slope to divide by.
    near, far = _ends(corners[..., 2])
    reached = np.fmax(np.fmin(reached, far[each]), near[each])
    np.minimum.at(depth.reshape(-1), spans.row[each] * width + column, reached)


def _extent(spans: _Spans) -> tuple[int, Box]:
    """How many pixels spans cover together, and their box.

    What it takes follows from how many spans there are, not from how far they reach.
    """
    x0, x1 = int(spans.first.min()), int(spans.last.max()) + 1
    y0, y1 = int(spans.row.min()), int(spans.row.max()) + 1
    start = (spans.row - y0) * (x1 - x0) + spans.first - x0
    order = np.argsort(start)
    start, length = start[order], (spans.last - spans.first + 1)[order]
    reached = np.maximum.accumulate(start + length)  # no span passes the end of its row
    new = np.minimum(length[1:], start[1:] + length[1:] - reached[:-1])
    return int(length[0] + np.maximum(new, 0).sum()), (x0, y0, x1, y1)
