"""The questions of the gate: what of its labels an image answers for.

Letters: N images of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import rankdata

__all__ = ["agreement", "borders", "distances", "outlines"]

Array = npt.NDArray[np.float64]

_GREY = np.array([0.299, 0.587, 0.114])
_SMOOTH = 0.7  # pixels, so that noise makes no edges


def borders(instances: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """The pixels beside which another instance, or none, begins (4 neighbours).

    Args:
        instances: int32 (N, H, W).

    Returns:
        bool (N, H, W).
    """
    found = np.zeros(instances.shape, np.bool_)
    for axis in (1, 2):
        near = [slice(None)] * 3
        far = [slice(None)] * 3
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        differ = instances[tuple(near)] != instances[tuple(far)]
        found[tuple(near)] |= differ
        found[tuple(far)] |= differ
    return found


def outlines(images: npt.NDArray[np.uint8], instances: npt.NDArray[np.int32]) -> Array:
    """How well the edges of images lie on the borders of instances.

    The probability that the image changes more at a pixel of a border than at one that is of none
    (the area under the ROC curve): 0.5 is chance, 1 the best. An image without borders, or whose
    every pixel is one, answers 1: nothing says that it is wrong.

    Args:
        images: uint8 (N, H, W, 3).
        instances: int32 (N, H, W).

    Returns:
        float64 (N,).
    """
    grey = ndimage.gaussian_filter(images @ _GREY, (0, _SMOOTH, _SMOOTH))
    change = np.hypot(ndimage.sobel(grey, 1), ndimage.sobel(grey, 2))
    return np.array(
        [_area(one[mask], one[~mask]) for one, mask in zip(change, borders(instances), strict=True)]
    )


def _area(these: Array, those: Array) -> float:
    """The probability that one of these is above one of those; ties count half."""
    if not len(these) or not len(those):
        return 1.0
    ranks = rankdata(np.concatenate([these, those]))[: len(these)]
    above = ranks.sum() - len(these) * (len(these) + 1) / 2
    return float(above / (len(these) * len(those)))


def agreement(
    read: Mapping[str, Array],
    known: Mapping[str, Array],
    error: Mapping[str, float],
    periods: Mapping[str, float],
) -> Array:
    """How well what is read of images agrees with what is known of them.

    Less the largest of the attributes' differences, each as a multiple of the error that the
    reader has anyway; 0 is the best, and what an image has that shows no attribute.

    Args:
        read: (N,) by attribute, in its unit.
        known: (N,) by attribute; NaN where the image does not show it.
        error: the reader's mean absolute error on unrefined renders, of the attributes that count.
        periods: of attributes that are periodic.

    Returns:
        float64 (N,).
    """
    differences = []
    for name, usual in error.items():
        apart = distances(read[name], known[name], periods.get(name))
        differences.append(np.nan_to_num(apart) / (usual or float(np.finfo(float).tiny)))
    worst: Array = -np.max(differences, axis=0)
    return worst


def distances(values: Array, others: Array, period: float | None) -> Array:
    """How far values (N,) are from others (N,), on a circle of this length where there is one."""
    apart = values - others
    if period:
        apart = (apart + period / 2) % period - period / 2
    size: Array = np.abs(apart)
    return size
