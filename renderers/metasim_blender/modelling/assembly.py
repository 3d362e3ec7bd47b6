"""Coloured solids put together to a model that stands on z = 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metasim_blender.modelling.solid import Solid
from metasim_blender.ply import PlyMesh

__all__ = ["Part", "assemble"]

Part = tuple[Solid, str]
"""A solid and its colour, sRGB as ``#rrggbb``."""


def assemble(parts: Sequence[Part], standing: float = 1.0) -> PlyMesh:
    """One mesh of all parts, which keep vertices of their own.

    The lowest point comes to z = 0, the middle of the rectangle about all that stands there to
    x = y = 0. Coordinates are rounded to 0.01 mm, so that all machines make the same files.

    Args:
        parts: at least one.
        standing: how far above the lowest point a vertex still stands on the ground, millimetres.
    """
    solids = [solid for solid, _ in parts]
    vertices = np.concatenate([solid.vertices for solid in solids])
    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids)])
    faces = np.concatenate([s.faces + start for s, start in zip(solids, starts, strict=False)])
    colours = np.concatenate(
        [
            np.tile(np.frombuffer(bytes.fromhex(colour[1:]), np.uint8), (len(solid.vertices), 1))
            for solid, colour in parts
        ]
    )
    lowest = vertices[:, 2].min()
    base = vertices[vertices[:, 2] < lowest + standing, :2]
    middle = (base.min(0) + base.max(0)) / 2
    vertices = np.round(vertices - (*middle, lowest), 2) + 0.0  # which makes a 0 of -0
    return PlyMesh(vertices.astype(np.float32), faces.astype(np.int32), colours)
