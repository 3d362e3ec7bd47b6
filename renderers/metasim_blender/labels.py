"""Labels of objects: boxes and visible shares, from what was drawn and what they would be alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label
from metasim.render.geometry import Pose
from metasim.scene.graph import Node
from metasim_blender.silhouette import Silhouette

__all__ = ["label_object"]

_SAME = 1e-3  # share of its distance by which something must be nearer to hide a surface


def label_object(
    instance: int,
    index: int,
    node: Node,
    category: str,
    own: Silhouette,
    instances: npt.NDArray[np.int32],
    depth: npt.NDArray[np.float32],
    pose: Pose,
) -> Label:
    """The label of one object.

    Args:
        instance: its id in ``instances``.
        index: of its node in the scene.
        node: that node.
        category: the name of its model.
        own: its pixels were it alone.
        instances: (H, W) of the image.
        depth: (H, W) metres, 0 where there is no surface.
        pose: its model's in the camera's frame.
    """
    mask = instances == instance
    seen = int(np.count_nonzero(mask))
    alone = np.isfinite(own.depth)
    # At a pixel whose centre an edge all but touches, Cycles may see past it and we not, or the
    # other way round. Cycles' word holds: it is hidden only where something nearer is.
    missed = alone & ~mask
    if missed.any():
        missed &= ~((depth > 0) & (depth < own.depth * (1 - _SAME)))
    area = own.area - int(np.count_nonzero(missed)) + int(np.count_nonzero(mask & ~alone))
    box = _box(mask) if seen else (0, 0, 0, 0)
    return Label(
        instance,
        index,
        node.name,
        node.kind,
        category,
        box,
        seen / area if seen else 0.0,
        _around(own.box, box),
        pose,
    )


def _box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _around(
    one: tuple[int, int, int, int], other: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """The box around two, of which either may be empty."""
    if one[0] == one[2] or other[0] == other[2]:
        return one if other[0] == other[2] else other
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )
