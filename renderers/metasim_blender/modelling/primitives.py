"""Solids of everyday shapes: turned, swept, extruded, rounded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metasim_blender.modelling.curves import Points, arc, circle, rounded_rectangle
from metasim_blender.modelling.solid import Solid, loft

__all__ = [
    "badge",
    "box",
    "capsule",
    "cylinder",
    "extrude",
    "lathe",
    "revolve",
    "sphere",
    "sweep",
    "wrapped",
]


def lathe(profile: Sequence[Sequence[float]] | Points, around: int) -> Solid:
    """A profile turned about the z axis.

    Args:
        profile: (P, 2): radius and height. Where it begins and ends off the axis, the ends
            are closed by discs.
        around: points of each circle.
    """
    points = np.asarray(profile, np.float64)
    first, last = (0.0, 0.0, points[0, 1]), (0.0, 0.0, points[-1, 1])
    off_axis = points[points[:, 0] > 0]
    unit = circle(1.0, around)
    rings = np.empty((len(off_axis), around, 3))
    rings[..., :2] = off_axis[:, None, :1] * unit
    rings[..., 2] = off_axis[:, None, 1]
    return loft(rings, first=first, last=last)


def revolve(outline: Points, begin: float, end: float, steps: int) -> Solid:
    """A closed outline beside the z axis, turned about it from one angle to another.

    Args:
        outline: (K, 2): radius and height, seen from its middle.
        begin: degrees from the x axis.
        end: degrees; a whole turn from ``begin`` makes a closed ring.
        steps: outlines from ``begin`` to ``end``.
    """
    whole = end - begin >= 360
    angles = np.radians(np.linspace(begin, end, steps, endpoint=not whole))
    rings = np.empty((steps, len(outline), 3))
    rings[..., 0] = np.cos(angles)[:, None] * outline[:, 0]
    rings[..., 1] = np.sin(angles)[:, None] * outline[:, 0]
    rings[..., 2] = outline[:, 1]
    return loft(rings, closed=whole)


def sweep(
    path: Sequence[Sequence[float]] | Points,
    outline: Points,
    scale: Sequence[float] | Points | float = 1.0,
    *,
    up: Sequence[float] = (0.0, 0.0, 1.0),
) -> Solid:
    """An outline carried along a path, upright to it.

    Args:
        path: (P, 3).
        outline: (K, 2): sideways, and upwards as far as the path allows.
        scale: of the outline at each point of the path: one, (P,), or (P, 2) of both sides.
        up: where the outline's second axis is to point; never along the path.
    """
    points = np.asarray(path, np.float64)
    ahead = np.gradient(points, axis=0)
    side = np.cross(ahead, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    above = np.cross(side, ahead)
    above /= np.linalg.norm(above, axis=1, keepdims=True)
    factor = np.asarray(scale, np.float64)
    factor = factor[:, None] if factor.ndim == 1 else factor
    sizes = np.broadcast_to(factor, (len(points), 2))[:, None, :] * outline
    rings = points[:, None] + sizes[..., :1] * side[:, None] + sizes[..., 1:] * above[:, None]
    return loft(rings)


def extrude(outline: Points, depth: float, bevel: float = 0.0) -> Solid:
    """An outline in the x-y plane, made ``depth`` thick about z = 0, its edges rounded.

    Args:
        outline: (K, 2), counter-clockwise, every point seen from its middle.
        depth: millimetres.
        bevel: radius of the edges; the outline shrinks by as much at both faces.
    """
    turns = np.radians((0.0, 30.0, 60.0, 90.0)) if bevel else np.zeros(1)
    heights = np.sin(turns) * bevel + depth / 2 - bevel
    insets = (1 - np.cos(turns)) * bevel
    levels = [*zip(-heights[::-1], insets[::-1], strict=True), *zip(heights, insets, strict=True)]
    inward = _inward(outline)
    return loft(
        np.stack(
            [
                np.column_stack([outline + inset * inward, np.full(len(outline), height)])
                for height, inset in levels
            ]
        )
    )


def _inward(outline: Points) -> Points:
    """(K, 2): where each corner goes as all sides move inwards by 1, at most 2 away."""
    sides = np.roll(outline, -1, 0) - outline
    normals = np.column_stack([-sides[:, 1], sides[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    mean = normals + np.roll(normals, 1, 0)
    long: Points = mean / np.maximum((mean**2).sum(1, keepdims=True) / 2, 0.5)
    return long


def box(x: float, y: float, z: float, bevel: float, corner: int = 3) -> Solid:
    """A box about the origin, all its edges rounded by ``bevel`` millimetres."""
    bevel = min(bevel, 0.45 * x, 0.45 * y, 0.45 * z)
    turns = np.radians(np.linspace(0, 90, corner))
    heights, insets = z / 2 - bevel * (1 - np.sin(turns)), bevel * (1 - np.cos(turns))
    levels = [*zip(-heights[::-1], insets[::-1], strict=True), *zip(heights, insets, strict=True)]
    rings = [
        np.column_stack(
            [
                rounded_rectangle(x - 2 * inset, y - 2 * inset, bevel - 0.65 * inset, corner),
                np.full(4 * corner, height),
            ]
        )
        for height, inset in levels
    ]
    return loft(np.stack(rings))


def sphere(radius: float, around: int, up: int) -> Solid:
    """A ball about the origin, of ``up`` steps from pole to pole; stretch it to an ellipsoid."""
    return lathe(_half_circle(radius, up), around)


def _half_circle(radius: float, up: int) -> Points:
    points = arc((0.0, 0.0), radius, -90.0, 90.0, up + 1)
    points[[0, -1], 0] = 0.0
    return points


def capsule(radius: float, length: float, around: int) -> Solid:
    """A cylinder along z with half balls at its ends, ``length`` long in all, about the origin."""
    below = arc((0.0, radius - length / 2), radius, -90.0, 0.0, 5)
    below[0, 0] = 0.0
    return lathe(np.concatenate([below, (below * (1, -1))[::-1]]), around)


def cylinder(radius: float, height: float, around: int, bevel: float = 0.0) -> Solid:
    """A cylinder along z about the origin, its two edges rounded by ``bevel``."""
    if not bevel:
        return lathe([(radius, -height / 2), (radius, height / 2)], around)
    below = arc((radius - bevel, bevel - height / 2), bevel, -90, 0, 3)
    return lathe(np.concatenate([below, (below * (1, -1))[::-1]]), around)


def badge(outline: Points, thickness: float, rings: int = 3) -> Solid:
    """A flat sign in the x-y plane, of outlines within one another, so that it can be bent.

    Args:
        outline: (K, 2), every point seen from the origin.
        thickness: half of what it is thick, millimetres.
        rings: at least 1.
    """
    sizes = np.linspace(1.0, 0.0, rings + 1)[:-1]
    layers = [(size, -thickness) for size in sizes[::-1]] + [(size, thickness) for size in sizes]
    return loft(
        np.stack(
            [
                np.column_stack([outline * size, np.full(len(outline), height)])
                for size, height in layers
            ]
        )
    )


def wrapped(points: Points, radius: float) -> Points:
    """What lay in the plane x-y laid round a cylinder about the z axis, its middle at +x.

    Args:
        points: (V, 3): x goes round, y becomes z, z is added to the radius.
        radius: of the cylinder, millimetres.
    """
    angle, away = points[:, 0] / radius, radius + points[:, 2]
    return np.column_stack([away * np.cos(angle), away * np.sin(angle), points[:, 1]])
