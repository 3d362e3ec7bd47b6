"""Colours: sRGB as people write it, and the linear light that a renderer computes with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["linear", "quantise", "srgb"]

_STEPS = 2**16 - 1


def linear(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Linear light of sRGB values, both from 0 to 1; any shape (IEC 61966-2-1)."""
    given = np.asarray(values, np.float64)
    return np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)


def srgb(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Values in sRGB of linear light, both from 0 to 1; any shape."""
    given = np.asarray(values, np.float64)
    return np.where(given <= 0.0031308, given * 12.92, 1.055 * given ** (1 / 2.4) - 0.055)


_LEVELS = np.rint(255 * srgb(np.arange(_STEPS + 1) / _STEPS)).astype(np.uint8)


def quantise(light: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Linear light as 8-bit sRGB; what is brighter than 1 becomes 255, any shape.

    By a table of 65536 entries: a bound between levels is met to a fortieth of a level.
    """
    steps = np.clip(light, 0, 1)
    steps *= _STEPS
    steps += 0.5
    levels: npt.NDArray[np.uint8] = _LEVELS[steps.astype(np.uint16)]
    return levels
