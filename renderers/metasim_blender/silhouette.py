"""Which pixels a model would have if nothing hid it, those beyond the image's edge too.

Its projected triangles are cut into spans of pixels whose centres they hold: the points at
which Cycles, too, says what is there (the first sample of a pixel is at its centre).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metasim.render.geometry import Camera

__all__ = ["NEAR", "Silhouette", "draw_silhouette"]

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

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
    box: tuple[int, int, int, int]
    depth: Floats


def draw_silhouette(
    points: Floats, faces: npt.NDArray[np.int32], camera: Camera, size: tuple[int, int]
) -> Silhouette:
    """The pixels of a mesh.

    Args:
        points: (V, 3) vertices in the camera's frame, metres.
        faces: (F, 3) triangles.
        camera: its intrinsics.
        size: (H, W) of the image.
    """
    depth = np.full(size, np.inf)
    corners = _before(points, faces)
    inverse = 1 / corners[..., 2]
    x = camera.fx * corners[..., 0] * inverse + camera.cx
    y = camera.fy * corners[..., 1] * inverse + camera.cy
    spans = _spans(x, y, size)
    if not len(spans.row):
        return Silhouette(0, (0, 0, 0, 0), depth)
    _fill_depth(depth, spans, corners, camera)
    area, box = _extent(spans)
    return Silhouette(area, box, depth)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Rows of pixels, from ``first`` to ``last``, that triangles cover."""

    triangle: Whole
    row: Whole
    first: Whole
    last: Whole

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Spans:
        """Some of them."""
        return _Spans(
            self.triangle[chosen], self.row[chosen], self.first[chosen], self.last[chosen]
        )


def _before(points: Floats, faces: npt.NDArray[np.int32]) -> Floats:
    """Corners (T, 3, 3) of the triangles, cut where they reach behind :data:`NEAR`."""
    corners: Floats = points[faces]
    if points[:, 2].min() > NEAR:
        return corners
    ahead = corners[..., 2] > NEAR
    count = ahead.sum(1)
    parts = [corners[count == 3]]
    for kept in (1, 2):
        cut, front = corners[count == kept], ahead[count == kept]
        # Turn each triangle so that the corner that is alone on its side comes first.
        alone = np.argmax(front if kept == 1 else ~front, axis=1)
        order = (alone[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(cut, order[..., None], axis=1), 1, 0)
        ab, ac = _at_near(a, b), _at_near(a, c)
        if kept == 1:
            parts.append(np.stack([a, ab, ac], axis=1))
        else:
            parts += [np.stack([ab, b, c], axis=1), np.stack([ab, c, ac], axis=1)]
    return np.concatenate(parts)


def _at_near(a: Floats, b: Floats) -> Floats:
    """Where the ways (n, 3) from a to b cross the plane :data:`NEAR`."""
    share = (NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
    crossing: Floats = a + share[:, None] * (b - a)
    crossing[:, 2] = NEAR
    return crossing


def _spans(x: Floats, y: Floats, size: tuple[int, int]) -> _Spans:
    """The spans of triangles (T, 3), within :data:`_BEYOND` sides of the image."""
    height, width = size
    top, bottom = _whole(y.min(1), y.max(1), height)
    left, right = _whole(x.min(1), x.max(1), width)
    chosen = np.flatnonzero((top <= bottom) & (left <= right))
    counts = (bottom - top + 1)[chosen]
    triangle = np.repeat(chosen, counts)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = top[triangle] + within
    low, high = _crossings(x[triangle], y[triangle], row + 0.5)
    first, last = _whole(low, high, width)
    return _Spans(triangle, row, first, last).where(first <= last)


def _whole(low: Floats, high: Floats, side: int) -> tuple[Whole, Whole]:
    """First and last pixel whose centres are between two coordinates."""
    least, most = -_BEYOND * side, (_BEYOND + 1) * side - 1
    first = np.ceil(np.clip(low, least - 1, most + 2) - (0.5 + _SLACK))
    last = np.floor(np.clip(high, least - 1, most + 2) - (0.5 - _SLACK))
    return (
        np.maximum(first, least).astype(np.int64),
        np.minimum(last, most).astype(np.int64),
    )


def _crossings(x: Floats, y: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Where triangles (n, 3) begin and end on lines ``level`` (n,)."""
    low, high = np.full(len(level), np.inf), np.full(len(level), -np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        # From the upper end down, so that neighbours compute the same for their common edge.
        swap = y[:, i] > y[:, j]
        x0, x1 = np.where(swap, x[:, j], x[:, i]), np.where(swap, x[:, i], x[:, j])
        y0, y1 = np.where(swap, y[:, j], y[:, i]), np.where(swap, y[:, i], y[:, j])
        meets = (y0 - _SLACK <= level) & (level <= y1 + _SLACK)
        rise = np.where(y1 > y0, y1 - y0, 1)
        at = x0 + np.clip((level - y0) / rise, 0, 1) * (x1 - x0)
        np.minimum(low, at, out=low, where=meets)
        np.maximum(high, at, out=high, where=meets)
        flat = meets & (y1 - y0 <= 2 * _SLACK)  # an edge along the line: both of its ends
        np.minimum(low, x1, out=low, where=flat)
        np.maximum(high, x1, out=high, where=flat)
    return low, high


def _fill_depth(depth: Floats, spans: _Spans, corners: Floats, camera: Camera) -> None:
    """Put the nearest surface's depth at each pixel of the image."""
    height, width = depth.shape
    seen = spans.where(
        (spans.row >= 0) & (spans.row < height) & (spans.last >= 0) & (spans.first < width)
    )
    first, last = np.maximum(seen.first, 0), np.minimum(seen.last, width - 1)
    counts = last - first + 1
    each = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
    column, row, triangle = first[each] + within, seen.row[each], seen.triangle[each]
    used, back = np.unique(triangle, return_inverse=True)
    a, b, c = np.moveaxis(corners[used], 1, 0)
    normal = np.cross(b - a, c - a)
    rays = ((column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy)
    slope = normal[back, 0] * rays[0] + normal[back, 1] * rays[1] + normal[back, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = (normal * a).sum(1)[back] / slope
    near, far = corners[used, :, 2].min(1)[back], corners[used, :, 2].max(1)[back]
    # A triangle seen edge-on has no slope to divide by.
    reached = np.clip(np.nan_to_num(reached, nan=np.inf), near, far)
    np.minimum.at(depth.ravel(), row * width + column, reached)


def _extent(spans: _Spans) -> tuple[int, tuple[int, int, int, int]]:
    """How many pixels spans cover together, and their box."""
    x0, x1 = int(spans.first.min()), int(spans.last.max()) + 1
    y0, y1 = int(spans.row.min()), int(spans.row.max()) + 1
    wide = x1 - x0 + 1
    steps = np.bincount((spans.row - y0) * wide + spans.first - x0, minlength=(y1 - y0) * wide)
    ends = np.bincount((spans.row - y0) * wide + spans.last + 1 - x0, minlength=(y1 - y0) * wide)
    area = int(np.count_nonzero(np.cumsum(steps - ends)))
    return area, (x0, y0, x1, y1)
