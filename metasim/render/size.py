"""The size of a renderer's images, as its user gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from metasim.errors import PluginError

__all__ = ["LARGEST_SIDE", "check_size"]

LARGEST_SIDE: Final = 8192
"""Pixels."""


def check_size(size: Any) -> tuple[int, int]:
    """The option ``image_size`` of a renderer as (H, W).

    Raises:
        PluginError: when it is not two whole numbers from 1 to 8192.
    """
    sides = list(size) if isinstance(size, Iterable) else []
    if len(sides) != 2 or not all(_is_side(side) for side in sides):
        raise PluginError(
            f"image_size must be [height, width], two whole numbers from 1 to {LARGEST_SIDE}, got "
            f"{size!r}"
        )
    return int(sides[0]), int(sides[1])


def _is_side(side: Any) -> bool:
    whole = isinstance(side, (int, np.integer)) and not isinstance(side, bool)
    return whole and 1 <= side <= LARGEST_SIDE
