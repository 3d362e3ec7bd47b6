"""What labels tell of objects' pixels, from what was drawn and what each would be alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim_blender.silhouette import Box, Silhouette

__all__ = ["Seen", "see"]

# Pixels by which Cycles and we may look at different places of a surface, and the share of a
# distance that follows from how precisely depth is known.
_ASIDE: Final = 0.02
_LEAST: Final = 1e-5
_EMPTY: Final = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is told of one object's pixels, see :class:`metasim.render.Label`."""

    box: Box
    visible: float
    full_box: Box


def see(
    instance: int,
    own: Silhouette,
    instances: npt.NDArray[np.int32],
    depth: npt.NDArray[np.float32],
    focal: float,
) -> Seen:
    """Boxes and visible share of one object.

    Args:
        instance: its id in ``instances``.
        own: its pixels were it alone.
        instances: (H, W) of the image.
        depth: (H, W) metres, 0 where there is no surface.
        focal: length in pixels, as of :class:`metasim.render.Camera`.
    """
    mask = instances == instance
    alone = np.isfinite(own.depth)
    # At a pixel whose centre an edge all but touches, Cycles may see past it and we not, or the
    # other way round. Cycles' word holds: such a pixel is hidden only where something nearer is.
    nearer = (depth > 0) & (depth < own.depth * (1 - max(_ASIDE / focal, _LEAST)))
    beside = _edge(alone) & ~mask & ~nearer
    beyond = mask & ~alone
    area = own.area + int(np.count_nonzero(beyond)) - int(np.count_nonzero(beside))
    seen, box = int(np.count_nonzero(mask)), _box(mask)
    full_box = own.box
    if beside.any() or beyond.any():
        whole = _box((alone & ~beside) | mask)
        full_box = whole if _within(own.box, mask.shape) else _around(own.box, whole)
    return Seen(box, seen / max(area, 1), full_box)


def _edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask (H, W) beside which, or beyond the image, there may be none of it."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inner


def _box(mask: npt.NDArray[np.bool_]) -> Box:
    """The half-open extent (x0, y0, x1, y1) of a mask (H, W), all 0 where it is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not columns.size:
        return _EMPTY
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _within(box: Box, shape: tuple[int, ...]) -> bool:
    height, width = shape
    return min(box[:2]) >= 0 and box[2] <= width and box[3] <= height


def _around(one: Box, other: Box) -> Box:
    if _EMPTY in (one, other):
        return other if one == _EMPTY else one
    low = min(one[0], other[0]), min(one[1], other[1])
    return *low, max(one[2], other[2]), max(one[3], other[3])
