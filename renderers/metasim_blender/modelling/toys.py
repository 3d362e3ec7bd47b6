"""Toys: a car, a rubber duck, an aeroplane."""

from __future__ import annotations

import numpy as np

from metasim_blender.modelling.assembly import Part, assemble
from metasim_blender.modelling.curves import smooth
from metasim_blender.modelling.primitives import box, cylinder, extrude, sphere
from metasim_blender.ply import PlyMesh

__all__ = ["car"]


def car() -> PlyMesh:
    """A red car, its cabin towards the back, a white stripe on the bonnet, yellow lamps."""
    side = smooth(
        [
            (-134, 26),
            (-60, 24),
            (60, 24),
            (136, 26),
            (146, 42),
            (138, 66),
            (112, 78),
            (40, 88),
            (-70, 90),
            (-132, 88),
            (-144, 60),
        ],
        30,
        closed=True,
    )
    body = extrude(side, 128, 12).turned("x", 90)
    cabin = extrude(np.array([(-122.0, 80), (46, 80), (6, 131), (-96, 131)]), 112, 8).turned(
        "x", 90
    )
    roof = box(112, 104, 12, 6).moved(-45, 0, 134)
    stripe = box(70, 30, 8, 3).turned("y", 7.5).moved(86, 0, 82)
    lamps = [(sphere(14, 12, 5).moved(136, y, 58), "#ffe14d") for y in (-42, 42)]
    tails = [(box(8, 26, 14, 3).moved(-142, y, 66), "#ff8c1a") for y in (-42, 42)]
    bumper = box(14, 118, 14, 5).moved(142, 0, 34)
    spare = cylinder(26, 18, 16, 5).turned("y", 90).moved(-146, 0, 62)
    wheels = [wheel for x in (-84.0, 88.0) for y in (-58.0, 58.0) for wheel in _wheel(x, y)]
    return assemble(
        [
            (body, "#d6202a"),
            (cabin, "#23364f"),
            (roof, "#d6202a"),
            (stripe, "#f7f4ec"),
            (bumper, "#b9bec4"),
            (spare, "#1c1c1f"),
            *lamps,
            *tails,
            *wheels,
        ]
    )


def _wheel(x: float, y: float) -> list[Part]:
    tyre = cylinder(31, 28, 18, 6).turned("x", 90).moved(x, y, 31)
    hub = cylinder(16, 32, 12).turned("x", 90).moved(x, y, 31)
    return [(tyre, "#1c1c1f"), (hub, "#c9ced6")]
