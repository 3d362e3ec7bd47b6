"""The largest distance between two points of a set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

__all__ = ["diameter"]

_BLOCK = 1 << 20  # distances that are computed at a time


def diameter(points: npt.NDArray[np.floating[Any]]) -> float:
    """The largest distance between two of ``points`` (N, 3), exactly.

    Only corners of their convex hull can be so far apart. Of these, a pair is looked at only if
    the way over the middle is longer than the largest distance that is known.
    """
    corners = _corners(np.unique(points.astype(np.float64), axis=0))
    middle = (corners.min(0) + corners.max(0)) / 2
    reach = np.linalg.norm(corners - middle, axis=1)
    order = np.argsort(-reach, kind="stable")
    corners, reach = corners[order], reach[order]
    longest = float(np.linalg.norm(corners - corners[0], axis=1).max())
    start = 0
    while start < len(corners) and 2 * reach[start] > longest:
        # In the order of reach, all that can be far enough from this one come first.
        ahead = int(np.searchsorted(-reach, reach[start] - longest))
        if ahead <= start:
            break
        rows = max(1, _BLOCK // (ahead - start))
        block = corners[start : min(start + rows, ahead)]
        longest = max(longest, float(cdist(block, corners[start:ahead]).max()))
        start += rows
    return longest


def _corners(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Those of the convex hull; all of them where it has no volume."""
    if len(points) < 5:
        return points
    try:
        hull: npt.NDArray[np.float64] = points[ConvexHull(points).vertices]
    except QhullError:
        return points
    return hull
