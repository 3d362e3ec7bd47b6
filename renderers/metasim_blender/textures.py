"""The textures that come with this package, computed: nobody's pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["TEXTURES"]

Picture = npt.NDArray[np.float64]

_SIDE: Final = 256


def _checks() -> Picture:
    """Eight by eight light and dark squares."""
    row, column = np.indices((_SIDE, _SIDE)) * 8 // _SIDE
    return np.where((row + column)[..., None] % 2, (0.93, 0.92, 0.90), (0.25, 0.30, 0.38))


def _stripes() -> Picture:
    """Eight upright stripes."""
    column = np.arange(_SIDE) * 16 // _SIDE
    row = np.where(column[:, None] % 2, (0.95, 0.94, 0.90), (0.55, 0.20, 0.22))
    return np.broadcast_to(row, (_SIDE, _SIDE, 3)).copy()


def _wood() -> Picture:
    """Boards: rings around a long axis, cut along it."""
    y, x = np.indices((_SIDE, _SIDE)) / _SIDE
    board = np.floor(y * 4)
    bend = 0.03 * np.sin(2 * np.pi * (x + board * 0.37)) + 0.02 * np.sin(4 * np.pi * x + board)
    ring = np.sin(2 * np.pi * ((y * 4 % 1 - 0.5) ** 2 * 9 + bend * 9 + board * 0.3))
    fibre = _smooth(np.random.default_rng(1), (128, 4))
    share = np.clip(0.5 + 0.3 * ring + 0.35 * (fibre - 0.5) + 0.08 * (board % 2), 0, 1)
    seam = (y * 4 % 1 < 0.03)[..., None]
    colour = share[..., None] * (0.80, 0.60, 0.40) + (1 - share[..., None]) * (0.56, 0.37, 0.22)
    return np.where(seam, colour * 0.6, colour)


def _speckle() -> Picture:
    """Grey stone with grains of several sizes."""
    rng = np.random.default_rng(2)
    grains = sum(_smooth(rng, (side, side)) for side in (8, 32, 128)) / 3
    share = np.clip((np.asarray(grains) - 0.5) * 2.5 + 0.5, 0, 1)[..., None]
    return share * (0.86, 0.86, 0.84) + (1 - share) * (0.34, 0.35, 0.38)


def _smooth(rng: np.random.Generator, cells: tuple[int, int]) -> Picture:
    """Noise of so many cells down and across, from 0 to 1, which meets itself at the edges."""
    values = rng.random(cells)
    for axis, count in enumerate(cells):
        at = np.arange(_SIDE) * count / _SIDE
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        share = share * share * (3 - 2 * share)
        one, other = (np.take(values, (low + i) % count, axis) for i in (0, 1))
        values = one * (1 - share) + other * share
    return values


TEXTURES: Final[Mapping[str, Callable[[], Picture]]] = {
    "checks": _checks,
    "speckle": _speckle,
    "stripes": _stripes,
    "wood": _wood,
}
"""name -> what computes it: sRGB from 0 to 1, (side, side, 3), top row first."""
