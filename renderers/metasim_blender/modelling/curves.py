"""Curves: closed outlines in a plane and paths in space, as points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "Points",
    "arc",
    "blob",
    "circle",
    "heart",
    "rounded_rectangle",
    "smooth",
]

Points = npt.NDArray[np.float64]
"""(P, 2) or (P, 3), millimetres."""


def circle(radius: float, count: int) -> Points:
    """(count, 2): counter-clockwise from (radius, 0)."""
    angle = np.arange(count) * (2 * np.pi / count)
    points: Points = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return points


def arc(middle: tuple[float, float], radius: float, begin: float, end: float, count: int) -> Points:
    """(count, 2): from the angle ``begin`` to ``end`` in degrees, both included."""
    angle = np.radians(np.linspace(begin, end, count))
    points: Points = np.array(middle) + radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return points


def rounded_rectangle(width: float, height: float, radius: float, corner: int = 3) -> Points:
    """A rectangle about the origin with rounded corners, of ``corner`` points each.

    Something of each side stays straight, so that no two points fall together.
    """
    radius = min(radius, 0.45 * width, 0.45 * height)
    x, y = width / 2 - radius, height / 2 - radius
    middles = ((x, y), (-x, y), (-x, -y), (x, -y))
    return np.concatenate(
        [arc(middle, radius, 90.0 * i, 90.0 * (i + 1), corner) for i, middle in enumerate(middles)]
    )


def smooth(corners: Sequence[Sequence[float]], count: int, *, closed: bool = False) -> Points:
    """(count, D): a Catmull-Rom curve through the corners, points evenly along its length.

    Args:
        corners: (C, D), at least 2.
        count: points to return; of a closed curve the first is not repeated.
        closed: whether the last corner is joined to the first.
    """
    points = np.asarray(corners, np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate(
            [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
        )
    t = np.linspace(0, 1, 33)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2)
        + 0.5 * (3 * b - a - 3 * c + d) * t**3
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    dense = np.concatenate([piece[:-1] for piece in pieces] + [pieces[-1][-1:]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    places = np.linspace(0, along[-1], count, endpoint=not closed)
    return np.column_stack([np.interp(places, along, column) for column in dense.T])


def heart(size: float, count: int) -> Points:
    """(count, 2): a heart ``size`` wide about the origin, counter-clockwise, its tip below."""
    angle = np.arange(count) * (2 * np.pi / count)
    x = 16 * np.sin(angle) ** 3
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return np.column_stack([-x, y + 2.5]) * (size / 32)


def blob(width: float, height: float, power: float, count: int) -> Points:
    """(count, 2): a superellipse about the origin; power 2 is an ellipse, above is squarer."""
    angle = np.arange(count) * (2 * np.pi / count)
    cosine, sine = np.cos(angle), np.sin(angle)
    return 0.5 * np.column_stack(
        [
            width * np.sign(cosine) * np.abs(cosine) ** (2 / power),
            height * np.sign(sine) * np.abs(sine) ** (2 / power),
        ]
    )
