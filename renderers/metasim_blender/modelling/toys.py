"""Toys: a car, a rubber duck, an aeroplane."""

from __future__ import annotations

import numpy as np

from metasim_blender.modelling.assembly import Part, assemble
from metasim_blender.modelling.curves import Points, blob, circle, smooth
from metasim_blender.modelling.primitives import (
    box,
    capsule,
    cylinder,
    extrude,
    lathe,
    sphere,
    sweep,
)
from metasim_blender.ply import PlyMesh

__all__ = ["car", "dinosaur", "duck", "plane"]


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


def duck() -> PlyMesh:
    """A yellow bath duck, its beak orange, its wings darker, its tail up."""
    body = sphere(1.0, 28, 14).bent(_hull)
    head = sphere(58, 24, 12).stretched(x=1.05).moved(72, 0, 152)
    beak = sphere(1.0, 16, 8).stretched(36, 32, 12).turned("y", 6).moved(134, 0, 144)
    eyes = [(sphere(10, 12, 6).moved(108, y, 172), "#1b1b1b") for y in (-36, 36)]
    wings = [
        (sphere(1.0, 16, 8).bent(_wing).turned("z", -9 * side).moved(-24, 80 * side, 78), "#eda914")
        for side in (-1, 1)
    ]
    tuft = sweep(
        smooth([(66, 0, 200), (54, 0, 220), (34, 0, 230)], 7), circle(1, 8), np.linspace(14, 5, 7)
    )
    return assemble(
        [
            (body, "#ffd21f"),
            (head, "#ffd21f"),
            (beak, "#f2641c"),
            (tuft, "#f2641c"),
            *eyes,
            *wings,
        ]
    )


def _hull(points: Points) -> Points:
    """A ball as the body of a duck: flat below, narrow and raised behind."""
    x, y, z = points.T
    behind = np.clip(-x, 0, 1)
    height = np.where(z < 0, np.maximum(62 * z, -48), 62 * z)
    return np.column_stack([132 * x, 88 * y * (1 - 0.45 * behind**2), 56 + height + 74 * behind**3])


def _wing(points: Points) -> Points:
    """A ball as a wing: flat, its tip behind and raised."""
    x, y, z = points.T
    behind = np.clip(-x, 0, 1)
    return np.column_stack([66 * x, 16 * y, 34 * z * (1 - 0.6 * behind) + 30 * behind**2])


def plane() -> PlyMesh:
    """A white propeller plane with red wings, a blue tail and a yellow nose, on three wheels."""
    along = [-150, -110, -50, 10, 60, 92, 104]
    width = np.array([8.0, 15, 24, 31, 33, 28, 20])
    fuselage = sweep([(x, 0, 0) for x in along], blob(2, 2, 2.3, 18), width)
    wing = extrude(_blade(150, 74, 48), 13, 5).moved(42, 0, -8)
    tail = extrude(_blade(62, 44, 26), 9, 3).moved(-130, 0, 5)
    fin = extrude(np.array([(-158.0, 0), (-108, 0), (-138, 62), (-160, 64)]), 10, 3)
    canopy = sphere(1.0, 16, 10).stretched(38, 22, 26).moved(10, 0, 28)
    nose = lathe([(24, 0), (22, 10), (12, 22), (0, 27)], 16).turned("y", 90).moved(102)
    blades = [box(8, 18, 112, 3).turned("x", turn).moved(118) for turn in (28, 118)]
    flying = [
        (fuselage, "#f4f3ee"),
        (wing, "#d62a2a"),
        (tail, "#2463c4"),
        (fin.turned("x", 90), "#2463c4"),
        (canopy, "#5fb7e8"),
        (nose, "#f7c417"),
        *((blade, "#3a3d42") for blade in blades),
    ]
    gear: list[Part] = [(cylinder(9, 8, 12).turned("x", 90).moved(-134, 0, 9), "#222326")]
    for side in (-1, 1):
        strut = sweep([(46, 18 * side, 66), (56, 46 * side, 22)], circle(6, 8))
        tyre = cylinder(22, 16, 18, 5).turned("x", 90).moved(56, 52 * side, 22)
        gear += [(strut, "#8b939c"), (tyre, "#222326")]
    return assemble(
        [*((part.turned("y", -15).moved(0, 0, 62), colour) for part, colour in flying), *gear]
    )


def _blade(span: float, root: float, tip: float) -> Points:
    """(K, 2): a wing from tip to tip, ``span`` to each side, swept a little back."""
    right = [(root / 2, 0), (root / 2 - 2, -span * 0.4), (tip / 2 - 10, -span * 0.92)]
    right += [(-8, -span), (-tip / 2 - 10, -span * 0.92), (-root / 2, -span * 0.35)]
    left = [(x, -y) for x, y in right[:0:-1]]
    return np.array([*left, *right], np.float64)[::-1]


def dinosaur() -> PlyMesh:
    """A green long-necked dinosaur, orange plates along its back, its tail to the left."""
    spine = smooth(
        [
            (-146, 50, 26),
            (-116, 34, 44),
            (-80, 8, 84),
            (-20, 0, 108),
            (40, 0, 108),
            (80, 0, 138),
            (98, 0, 184),
            (112, 0, 210),
        ],
        24,
    )
    along = np.linspace(0, 1, 24)
    girth = np.interp(along, [0, 0.1, 0.32, 0.5, 0.66, 0.78, 1], [3, 10, 40, 54, 44, 25, 18])
    body = sweep(spine, circle(1.0, 18), girth)
    head = sphere(1.0, 18, 10).stretched(40, 26, 24).turned("y", 10).moved(127, 0, 216)
    eyes = [(sphere(7, 10, 5).moved(135, y, 228), "#141414") for y in (-21, 21)]
    legs: list[Part] = []
    for x, y in ((-58, -34), (-54, 36), (34, -36), (38, 36)):
        legs.append((capsule(20, 110, 12).moved(x, y, 50), "#3f9b3b"))
        legs.append((cylinder(23, 16, 12, 5).moved(x + 3, y, 8), "#2a6a2e"))
    plates: list[Part] = []
    shape = np.array([(-0.8, -0.6), (0.8, -0.6), (0.35, 0.6), (0.0, 1.0), (-0.4, 0.6)])
    for at, size in ((4, 13), (6, 19), (8, 26), (10, 30), (12, 30), (14, 26), (16, 20), (18, 15)):
        plate = extrude(shape * float(size), 9)
        x, y, z = spine[at]
        plates.append((plate.turned("x", 90).moved(x, y, z + girth[at] * 0.92), "#f2841f"))
    return assemble([(body, "#57b84c"), (head, "#57b84c"), *eyes, *legs, *plates])
