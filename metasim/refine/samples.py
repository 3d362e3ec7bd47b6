"""What becomes of some renders, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["sheet", "spread"]

_GAP: Final = 2
_GROUND: Final = 229  # the grey between images in the report's grids


def spread(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most so many of ``count`` rows, spread evenly: (N,)."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.intp)


def sheet(rows: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Rows of images, one above the other, pixel by pixel: uint8 (H', W', 3).

    Args:
        rows: uint8 (N, H, W, 3) each, of one shape, N at least 1.
    """
    count, high, wide, _ = rows[0].shape
    size = (len(rows) * (high + _GAP) + _GAP, count * (wide + _GAP) + _GAP, 3)
    out = np.full(size, _GROUND, np.uint8)
    for down, images in enumerate(rows):
        for across, image in enumerate(images):
            top, left = _GAP + down * (high + _GAP), _GAP + across * (wide + _GAP)
            out[top : top + high, left : left + wide] = image
    return out
