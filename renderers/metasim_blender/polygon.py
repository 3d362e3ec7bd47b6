"""Polygons cut into triangles: fans where that is right, ears one by one where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["triangles"]

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Place = tuple[float, float]

_FLAT: Final = 1e-5  # of a polygon's area, by which a triangle may be turned over: rounding


def triangles(points: Floats, corners: Whole, lengths: Whole) -> Whole:
    """The triangles of polygons, which may be concave: n - 2 of one with n corners.

    A polygon is a fan about its first corner where all triangles of that face the same way, as
    those of convex ones do. Others are cut where they are convex and hold no other corner (an
    ear; Meisters, 1975), as seen along their mean normal. What then has no ear, since it
    crosses itself or has no area, is a fan again.

    Args:
        points: (V, 3).
        corners: (C,) places in ``points`` of all polygons' corners, one polygon after another.
        lengths: (P,) corners of each polygon, at least 3.

    Returns:
        (F, 3) places in ``corners``, in the order of the polygons.
    """
    starts, each = np.cumsum(lengths) - lengths, lengths - 2
    firsts = np.cumsum(each) - each
    second = 1 + np.arange(each.sum()) - np.repeat(firsts, each)
    found: Whole = np.repeat(starts, each)[:, None] + np.column_stack(
        [0 * second, second, second + 1]
    )
    for length in np.unique(lengths[lengths > 3]).tolist():
        alike = np.flatnonzero(lengths == length)
        shapes = _shapes(points[corners[starts[alike, None] + np.arange(length)]])
        for i in np.flatnonzero(~_may_be_fans(shapes)):
            first = firsts[alike[i]]
            found[first : first + length - 2] = starts[alike[i]] + np.array(_ears(_seen(shapes[i])))
    return found


def _shapes(polygons: Floats) -> Floats:
    """(P, n, 3): polygons moved and scaled alike, so that no product is too large or small."""
    moved = polygons - polygons[:, :1]
    size = np.abs(moved).max((1, 2), keepdims=True)
    shapes: Floats = moved / np.where(size > 0, size, 1.0)
    return shapes


def _turns(shapes: Floats) -> Floats:
    """(P, n - 2, 3): normals of the triangles of fans; their sum is Newell's of the polygon."""
    turns: Floats = np.cross(shapes[:, 1:-1], shapes[:, 2:])  # the first corner is the origin
    return turns


def _may_be_fans(shapes: Floats) -> npt.NDArray[np.bool_]:
    """(P,): whether all triangles of the fan about the first corner face the polygon's way."""
    turns = _turns(shapes)
    facing = np.einsum("pnx,px->pn", turns, turns.sum(1))
    fit: npt.NDArray[np.bool_] = (facing >= -_FLAT * facing.sum(1, keepdims=True)).all(1)
    return fit


def _seen(shape: Floats) -> list[Place]:
    """A polygon along the axis nearest to its normal, counter-clockwise."""
    normal = _turns(shape[None])[0].sum(0)
    axis = int(np.abs(normal).argmax())
    across, up = shape[:, (axis + 1) % 3].tolist(), shape[:, (axis + 2) % 3].tolist()
    return list(zip(across, up, strict=True) if normal[axis] >= 0 else zip(up, across, strict=True))


def _ears(ring: Sequence[Place]) -> list[Sequence[int]]:
    """The places in a polygon of the corners of its triangles."""
    cut: list[Sequence[int]] = []
    left = list(range(len(ring)))
    dents = {i for i in left if not _turns_left(ring[i - 1], ring[i], ring[(i + 1) % len(ring)])}
    at = misses = 0
    while len(left) > 3 and misses < len(left):
        # The two before the ear and the two after; those next to it may become convex.
        e, a, b, c, f = (left[(at + step) % len(left)] for step in range(-2, 3))
        if b in dents or any(_holds(ring[a], ring[b], ring[c], ring[i]) for i in dents):
            at, misses = (at + 1) % len(left), misses + 1
            continue
        cut.append((a, b, c))
        del left[at]
        at, misses = at % len(left), 0
        for before, corner, after in ((e, a, c), (a, c, f)):
            if corner in dents and _turns_left(ring[before], ring[corner], ring[after]):
                dents.remove(corner)
    return [*cut, *((left[0], *two) for two in pairwise(left[1:]))]


def _turns_left(a: Place, b: Place, c: Place) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])


def _holds(a: Place, b: Place, c: Place, other: Place) -> bool:
    """Whether a triangle holds another corner, which may lie on its edge.

    One at the place of a corner of the triangle is not held: a slit leads to a hole and back.
    """
    return other not in (a, b, c) and not (
        _turns_left(b, a, other) or _turns_left(c, b, other) or _turns_left(a, c, other)
    )
