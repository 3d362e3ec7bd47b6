"""Models that pour and are drunk from: a mug, a watering can, a teapot."""

from __future__ import annotations

import numpy as np

from metasim_blender.modelling.assembly import assemble
from metasim_blender.modelling.curves import (
    Points,
    arc,
    blob,
    circle,
    heart,
    rounded_rectangle,
    smooth,
)
from metasim_blender.modelling.primitives import (
    badge,
    cylinder,
    extrude,
    lathe,
    revolve,
    sphere,
    sweep,
    wrapped,
)
from metasim_blender.ply import PlyMesh

__all__ = ["mug", "teapot", "watering_can"]


def mug() -> PlyMesh:
    """A mug with a handle behind, blue ahead, a heart on its left, a spoon in its coffee."""
    outer, height = 78.0, 164.0
    wall = lathe(
        [
            (0, 0),
            (outer - 12, 0),
            (outer - 4, 3),
            (outer, 12),
            (outer, height - 5),
            (outer - 2, height - 1),
            (outer - 5, height),
            (outer - 8, height - 1),
            (outer - 10, height - 5),
            (outer - 10, 120),
            (0, 120),
        ],
        36,
    )
    coffee = cylinder(outer - 9, 8, 36).moved(z=132)
    glaze = revolve(_strip(outer, 14.0, height - 14), -62, 62, 14)
    loop = [
        (-75, 0, 136),
        (-112, 0, 146),
        (-172, 0, 122),
        (-176, 0, 70),
        (-118, 0, 36),
        (-75, 0, 38),
    ]
    handle = sweep(smooth(loop, 18), blob(34, 25, 2.6, 12), up=(0, 1, 0))
    sign = badge(heart(87, 28), 1.6).moved(y=90).bent(lambda p: wrapped(p, outer))
    stem = smooth([(20, -14, 126), (56, -38, 186), (84, -58, 226), (100, -70, 240)], 9)
    spoon = sweep(stem, blob(2, 1.2, 2.4, 10), (7, 7, 7, 8, 10, 12, 13, 11, 6))
    return assemble(
        [
            (wall, "#f2efe6"),
            (coffee, "#4a2a14"),
            (glaze, "#1f6fd0"),
            (handle, "#1f6fd0"),
            (spoon, "#f0b429"),
            (sign.turned("z", 90), "#d81f2a"),
        ]
    )


def _strip(radius: float, low: float, high: float) -> Points:
    """The outline of a band that lies on a cylinder, sunk into it by as much as it stands out."""
    outline = rounded_rectangle(4.0, high - low, 1.0, 2)
    moved: Points = outline + np.array([radius, (low + high) / 2])
    return moved


def watering_can() -> PlyMesh:
    """A green can with a long spout ahead, a yellow rose at its end, a red handle behind."""
    radius, height = 72.0, 128.0
    can = lathe(
        [
            (0, 0),
            (radius - 4, 0),
            (radius, 4),
            (radius - 6, height - 6),
            (radius - 8, height),
            (radius - 12, height),
            (radius - 14, height - 8),
            (0, height - 8),
        ],
        32,
    )
    water = cylinder(radius - 11, 6, 32).moved(z=height - 8)
    hood = extrude(arc((0, 0), radius - 8, 95, 265, 18), 12, 4).moved(z=height - 1)
    path = smooth([(52, 0, 30), (88, 0, 60), (122, 0, 108), (143, 0, 146)], 12)
    spout = sweep(path, circle(1.0, 12), np.linspace(20, 10, 12))
    rose = lathe([(0, -6), (9, -6), (30, 18), (31, 23), (28, 27), (0, 31)], 20)
    rose = rose.turned("y", 42).moved(142, 0, 146)
    handle = sweep(
        smooth(
            [
                (-22, 0, 128),
                (-44, 0, 180),
                (-94, 0, 178),
                (-124, 0, 118),
                (-106, 0, 62),
                (-66, 0, 34),
            ],
            18,
        ),
        blob(26, 17, 2.6, 10),
        up=(0, 1, 0),
    )
    band = revolve(_strip(radius - 3.2, 52.0, 66.0), 0, 360, 32)
    return assemble(
        [
            (can, "#2e9e48"),
            (water, "#7cc7f0"),
            (hood, "#23803a"),
            (band, "#f4d13d"),
            (spout, "#2e9e48"),
            (rose, "#f4d13d"),
            (handle, "#d4382c"),
        ]
    )


def teapot() -> PlyMesh:
    """A turquoise pot, yellow about its curved spout ahead, a brown handle behind."""
    body = lathe(
        [
            (0, 0),
            (52, 0),
            (56, 6),
            (78, 28),
            (90, 56),
            (90, 80),
            (78, 106),
            (58, 124),
            (44, 128),
            (0, 128),
        ],
        32,
    )
    lid = lathe([(0, 122), (50, 124), (52, 130), (46, 137), (24, 147), (0, 150)], 28)
    knob = sphere(15, 16, 8).moved(z=160)
    spout = sweep(
        smooth([(66, 0, 42), (106, 0, 56), (120, 0, 90), (128, 0, 120), (142, 0, 134)], 14),
        circle(1.0, 14),
        np.column_stack([np.linspace(22, 10, 14), np.linspace(30, 10, 14)]),
        up=(0, 1, 0),
    )
    handle = sweep(
        smooth([(-70, 0, 110), (-110, 0, 142), (-150, 0, 118), (-145, 0, 64), (-80, 0, 34)], 18),
        blob(28, 21, 2.4, 10),
        up=(0, 1, 0),
    )
    inner = [(70.0, 106.0), (70.0, 28.0)]
    bib = revolve(np.array([(79, 28), (91.5, 56), (91.5, 80), (79, 106), *inner]), -80, 80, 15)
    return assemble(
        [
            (body, "#149ca3"),
            (lid, "#f08a24"),
            (knob, "#8a3b12"),
            (spout, "#f4d58a"),
            (handle, "#6b3a1e"),
            (bib, "#f4d58a"),
        ]
    )
