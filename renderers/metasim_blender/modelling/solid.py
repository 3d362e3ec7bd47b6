"""A closed surface of triangles, and how it is moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metasim_blender.modelling.curves import Points

__all__ = ["Solid", "loft"]


@dataclass(frozen=True)
class Solid:
    """A closed surface.

    Attributes:
        vertices: (V, 3), millimetres.
        faces: (F, 3), counter-clockwise from outside.
    """

    vertices: Points
    faces: npt.NDArray[np.int64]

    @property
    def volume(self) -> float:
        """In cubic millimetres; above 0 where the faces look outward."""
        a, b, c = (self.vertices[corners] for corners in self.faces.T)
        return float((a * np.cross(b, c)).sum() / 6)

    def bent(self, function: Callable[[Points], Points]) -> Solid:
        """Every vertex where ``function``, (V, 3) to (V, 3), puts it; it may mirror the solid."""
        return _outward(function(self.vertices), self.faces)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        """Shifted, in millimetres."""
        return Solid(self.vertices + np.array([x, y, z]), self.faces)

    def stretched(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Solid:
        """Scaled along the axes; a negative factor mirrors."""
        return _outward(self.vertices * (x, y, z), self.faces)

    def turned(self, axis: str, degrees: float) -> Solid:
        """Turned about an axis, "x", "y" or "z", counter-clockwise as seen from its tip."""
        i = "xyz".index(axis)
        j, k = (i + 1) % 3, (i + 2) % 3
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = self.vertices.copy()
        turned[:, j] = cosine * self.vertices[:, j] - sine * self.vertices[:, k]
        turned[:, k] = sine * self.vertices[:, j] + cosine * self.vertices[:, k]
        return Solid(turned, self.faces)


def loft(
    rings: Points,
    *,
    first: Sequence[float] | None = None,
    last: Sequence[float] | None = None,
    closed: bool = False,
) -> Solid:
    """The surface through a row of closed outlines, its ends closed by fans.

    Args:
        rings: (R, K, 3): R outlines of K points that correspond.
        first: the point from which the first end's fan spreads; without it, the outline's
            middle, which every point of the outline must be seen from.
        last: as ``first``, of the other end.
        closed: whether the last outline is joined to the first instead of closing the ends.
    """
    count, corners = rings.shape[:2]
    here = np.arange(corners)
    after = np.roll(here, -1)
    rows = np.arange(count if closed else count - 1)[:, None]
    low, high = rows * corners, (rows + 1) % count * corners
    faces = [
        np.stack([low + here, low + after, high + after], -1).reshape(-1, 3),
        np.stack([low + here, high + after, high + here], -1).reshape(-1, 3),
    ]
    vertices = [rings.reshape(-1, 3)]
    if not closed:
        top = (count - 1) * corners
        ends = ((rings[0], first), (rings[-1], last))
        vertices += [
            np.mean(ring, 0)[None] if hub is None else np.array([hub]) for ring, hub in ends
        ]
        hub = np.full(corners, count * corners)
        faces.append(np.column_stack([hub, after, here]))
        faces.append(np.column_stack([hub + 1, top + here, top + after]))
    return _outward(np.concatenate(vertices), np.concatenate(faces))


def _outward(vertices: Points, faces: npt.NDArray[np.int64]) -> Solid:
    solid = Solid(vertices, faces)
    return solid if solid.volume > 0 else Solid(vertices, faces[:, ::-1])
