"""Things about the house: a hammer, a desk lamp, a rubber boot."""

from __future__ import annotations

import numpy as np

from metasim_blender.modelling.assembly import assemble
from metasim_blender.modelling.curves import Points, blob, circle, rounded_rectangle, smooth
from metasim_blender.modelling.primitives import (
    box,
    cylinder,
    extrude,
    lathe,
    revolve,
    sphere,
    sweep,
)
from metasim_blender.modelling.solid import Solid, loft
from metasim_blender.ply import PlyMesh

__all__ = ["boot", "hammer", "lamp"]


def hammer() -> PlyMesh:
    """A claw hammer that lies on its side: its head ahead, the face left, the claw right."""
    height = 30.0
    shaft = sweep(
        [(x, 0, height) for x in (-60, 0, 60, 144)], blob(26, 24, 3, 12), (1.1, 0.9, 0.85, 1.0)
    )
    grip = sweep(
        smooth([(-162, 0, height), (-116, 0, height), (-60, 0, height), (-30, 0, height)], 9),
        blob(44, 40, 2.6, 14),
        (0.75, 0.98, 1.05, 1.0, 0.94, 0.96, 1.04, 1.0, 0.7),
    )
    cheek = box(52, 60, 50, 10).moved(122, 4, height)
    neck = cylinder(19, 40, 16).turned("x", 90).moved(122, 44, height)
    face = cylinder(30, 40, 24, 5).turned("x", 90).moved(122, 76, height)
    prong = smooth(
        [(122, -16, height), (118, -58, height), (98, -94, height), (70, -116, height)], 9
    )
    shape = np.linspace(1.0, 0.45, 9)
    claws = [
        sweep(prong + np.array([0, 0, 13.0 * side]), rounded_rectangle(30, 20, 6, 3), shape)
        for side in (-1, 1)
    ]
    parts = [
        (shaft, "#d9a25f"),
        (grip, "#c4262e"),
        (cheek, "#5d6670"),
        (neck, "#5d6670"),
        (face, "#aab3bd"),
        *((claw, "#3e4650") for claw in claws),
    ]
    # The end of the grip touches the ground as the head does.
    return assemble([(part.turned("y", -2.0), colour) for part, colour in parts], standing=height)


def lamp() -> PlyMesh:
    """A desk lamp that bends forward, its shade orange outside and lit inside."""
    foot = lathe([(0, 0), (74, 0), (78, 5), (76, 14), (60, 22), (22, 28), (0, 30)], 32)
    elbow, neck = (-62.0, 0.0, 150.0), (66.0, 0.0, 236.0)
    joints = [sphere(18, 14, 8).moved(*place) for place in ((0, 0, 34), elbow, neck)]
    lower = sweep([(0, 0, 26), elbow], circle(10.5, 10))
    upper = sweep([elbow, neck], circle(10.5, 10))
    outside = [(0, 30), (24, 28), (34, 20), (48, -10), (84, -62)]
    inside = [(80, -64), (44, -14), (30, 8), (0, 12)]
    shade = lathe(outside + inside, 32)
    bulb = sphere(33, 18, 9).moved(z=-26)
    head = [(shade, "#ef7d1a"), (bulb, "#fff4b0")]
    return assemble(
        [
            (foot, "#25406e"),
            (lower, "#d3d8de"),
            (upper, "#d3d8de"),
            *((joint, "#25406e") for joint in joints),
            *((part.turned("y", -52).moved(98, 0, 224), colour) for part, colour in head),
        ]
    )


def boot() -> PlyMesh:
    """A yellow rubber boot of a right foot, its sole dark, its cuff and its strap red."""
    sole = extrude(_footprint(), 22, 5).moved(z=11)
    shaft = lathe([(0, 60), (58, 60), (60, 120), (64, 200), (68, 246)], 28)
    rim = [(69, 226), (74, 230), (75, 250), (70, 256), (62, 252), (60, 238)]
    cuff = revolve(np.array(rim, np.float64), 0, 360, 28)
    dark = cylinder(63, 6, 28).moved(z=244)
    strap = revolve(rounded_rectangle(9, 20, 3, 2) + np.array([60.0, 140]), 0, 360, 28)
    loop = box(10, 34, 66, 4).moved(-74, 0, 206)
    leg = [
        (shaft, "#f5c518"),
        (cuff, "#d8322b"),
        (dark, "#40331a"),
        (strap, "#d8322b"),
        (loop, "#d8322b"),
    ]
    return assemble(
        [
            (sole, "#33302e"),
            (_foot(), "#f5c518"),
            *((part.stretched(x=1.06).moved(-66), colour) for part, colour in leg),
        ]
    )


def _footprint() -> Points:
    """(K, 2): the outline of a right foot, its toes ahead, its inner side left."""
    corners = [(-136, 0), (-112, -46), (-40, -50), (40, -60), (112, -58), (150, -26)]
    corners += [(156, 10), (136, 44), (84, 54), (10, 40), (-60, 46), (-114, 44)]
    return smooth(corners, 32, closed=True)


def _foot() -> Solid:
    """From the sole to the ankle: the outline of the foot, its toes drawn back on the way up."""
    outline = _footprint()
    back, front = outline[:, 0].min(), outline[:, 0].max()
    rings = []
    for z, toes, width in [
        (18, 152, 0.93),
        (40, 153, 0.97),
        (58, 145, 0.97),
        (74, 124, 0.95),
        (88, 88, 0.92),
        (100, 48, 0.9),
        (114, 20, 0.88),
        (134, 0, 0.86),
        (160, -10, 0.8),
    ]:
        x = (outline[:, 0] - back) / (front - back) * (toes + 126) - 126
        rings.append(np.column_stack([x, outline[:, 1] * width, np.full(len(x), z)]))
    return loft(np.stack(rings))
