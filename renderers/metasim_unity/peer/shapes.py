"""The peer's models: boxes and drums, made so that no two sides look the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["SHAPES", "Shape"]

Colour = tuple[float, float, float]
Point = tuple[float, float, float]

_RED: Final = (0.85, 0.15, 0.1)
_DARK: Final = (0.12, 0.12, 0.14)
_WHITE: Final = (0.95, 0.95, 0.9)
_BLUE: Final = (0.15, 0.3, 0.8)
_YELLOW: Final = (0.95, 0.8, 0.2)
_GREEN: Final = (0.2, 0.6, 0.25)
_WOOD: Final = (0.6, 0.4, 0.2)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model, in metres; z is up, and it stands on z = 0.

    Attributes:
        corners: float64 (T, 3, 3), the corners of T triangles, counter-clockwise from outside.
        colours: float64 (T, 3), from 0 to 1 in sRGB.
    """

    corners: npt.NDArray[np.float64]
    colours: npt.NDArray[np.float64]


def _prism(
    outline: Sequence[tuple[float, float]], low: float, high: float
) -> npt.NDArray[np.float64]:
    """An upright prism over a convex outline that runs counter-clockwise."""
    floor = [(x, y, low) for x, y in outline]
    top = [(x, y, high) for x, y in outline]
    faces: list[tuple[Point, Point, Point]] = []
    for here in range(len(outline)):
        after = (here + 1) % len(outline)
        faces += [
            (floor[here], floor[after], top[after]),
            (floor[here], top[after], top[here]),
        ]
    for here in range(1, len(outline) - 1):
        faces += [(top[0], top[here], top[here + 1]), (floor[0], floor[here + 1], floor[here])]
    return np.array(faces, np.float64)


def _box(x: Sequence[float], y: Sequence[float], z: Sequence[float]) -> npt.NDArray[np.float64]:
    outline = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return _prism(outline, z[0], z[1])


def _drum(radius: float, low: float, high: float, sides: int = 10) -> npt.NDArray[np.float64]:
    angles = [2 * math.pi * side / sides for side in range(sides)]
    return _prism([(radius * math.cos(a), radius * math.sin(a)) for a in angles], low, high)


def _put(*parts: tuple[npt.NDArray[np.float64], Colour]) -> Shape:
    corners = np.concatenate([part for part, _ in parts])
    colours = np.concatenate([np.tile(colour, (len(part), 1)) for part, colour in parts])
    return Shape(corners, colours)


def _car() -> Shape:
    return _put(
        (_box((-0.15, 0.15), (-0.07, 0.07), (0.03, 0.09)), _RED),
        (_box((-0.13, 0.03), (-0.06, 0.06), (0.09, 0.15)), _WHITE),
        (_box((0.15, 0.16), (-0.06, 0.06), (0.04, 0.07)), _YELLOW),
        (_box((-0.11, -0.05), (-0.08, 0.08), (0.0, 0.06)), _DARK),
        (_box((0.05, 0.11), (-0.08, 0.08), (0.0, 0.06)), _DARK),
    )


def _mug() -> Shape:
    return _put(
        (_drum(0.07, 0.0, 0.16), _BLUE),
        (_box((0.065, 0.13), (-0.015, 0.015), (0.11, 0.14)), _WHITE),
        (_box((0.065, 0.13), (-0.015, 0.015), (0.03, 0.06)), _WHITE),
        (_box((0.11, 0.13), (-0.015, 0.015), (0.06, 0.11)), _WHITE),
    )


def _house() -> Shape:
    return _put(
        (_box((-0.1, 0.1), (-0.08, 0.08), (0.0, 0.12)), _YELLOW),
        (_box((-0.11, 0.03), (-0.09, 0.09), (0.12, 0.16)), _RED),
        (_box((0.05, 0.08), (0.02, 0.06), (0.12, 0.2)), _DARK),
        (_box((0.1, 0.11), (-0.03, 0.03), (0.0, 0.08)), _BLUE),
    )


def _chair() -> Shape:
    return _put(
        (_box((-0.07, 0.07), (-0.07, 0.07), (0.09, 0.11)), _WOOD),
        (_box((-0.07, -0.05), (-0.07, 0.07), (0.11, 0.25)), _GREEN),
        (_box((0.05, 0.07), (0.05, 0.07), (0.0, 0.09)), _DARK),
        (_box((0.05, 0.07), (-0.07, -0.05), (0.0, 0.09)), _DARK),
        (_box((-0.07, -0.05), (-0.07, 0.07), (0.0, 0.09)), _WOOD),
    )


_MAKE: Final[Mapping[str, Callable[[], Shape]]] = {
    "car": _car,
    "mug": _mug,
    "house": _house,
    "chair": _chair,
}

SHAPES: Final[Mapping[str, Shape]] = {name: make() for name, make in _MAKE.items()}
"""The models by name."""
