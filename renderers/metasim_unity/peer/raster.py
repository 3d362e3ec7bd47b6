"""Triangles to pixels: which triangle a ray meets first, and how far ahead.

Rays are solved in homogeneous coordinates (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997), so that nothing need be clipped at the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Window", "first_hits", "window_of"]

Floats = npt.NDArray[np.float64]

_NEAR: Final = 1e-3  # metres ahead of the camera from which on things are seen
_THIN: Final = 1e-12  # a triangle seen from its edge


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels from column x0 to x1 and row y0 to y1, half-open; they may lie beyond the image."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return max(0, self.y1 - self.y0), max(0, self.x1 - self.x0)

    def within(self, other: Window) -> Window:
        """What both have."""
        return Window(
            max(self.x0, other.x0),
            max(self.y0, other.y0),
            max(self.x0, other.x0, min(self.x1, other.x1)),
            max(self.y0, other.y0, min(self.y1, other.y1)),
        )

    def slices(self, inside: Window) -> tuple[slice, slice]:
        """Where another window lies in arrays of this one."""
        return (
            slice(inside.y0 - self.y0, inside.y1 - self.y0),
            slice(inside.x0 - self.x0, inside.x1 - self.x0),
        )


def window_of(corners: Floats, focal: float, centre: tuple[float, float], most: Window) -> Window:
    """The pixels that triangles may be seen in.

    Args:
        corners: (T, 3, 3) in the camera's frame.
        focal: length in pixels.
        centre: column and row of the principal point.
        most: no pixels but these.
    """
    points = corners.reshape(-1, 3)
    if (points[:, 2] <= _NEAR).any():  # some of it is beside or behind the camera
        return most
    seen = focal * points[:, :2] / points[:, 2:] + centre
    x0, y0 = np.floor(seen.min(0)).astype(int).tolist()
    x1, y1 = np.ceil(seen.max(0)).astype(int).tolist()
    return Window(x0, y0, x1, y1).within(most)


def first_hits(
    corners: Floats, focal: float, centre: tuple[float, float], window: Window
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """How far ahead each pixel's ray first meets a triangle's front, and which.

    Args:
        corners: (T, 3, 3) in the camera's frame (x right, y down, z ahead), counter-clockwise
            from the front.
        focal: length in pixels.
        centre: column and row of the principal point.
        window: the pixels, h x w.

    Returns:
        Planar depth (h, w), infinite where there is none; the triangle's place (h, w), and -1.
    """
    shape = window.shape
    nothing = np.full(shape, np.inf), np.full(shape, -1, np.intp)
    sides = np.linalg.det(corners)
    facing = np.flatnonzero(sides < -_THIN)
    if not len(facing) or not all(shape):
        return nothing
    x = (np.arange(window.x0, window.x1) + 0.5 - centre[0]) / focal
    y = (np.arange(window.y0, window.y1) + 0.5 - centre[1]) / focal
    rays = np.stack([*(part.ravel() for part in np.meshgrid(x, y)), np.ones(len(x) * len(y))])
    # Where b = inverse(corners) ray has no negative part the ray meets the triangle, at 1 / sum(b).
    solved = np.linalg.inv(corners[facing].transpose(0, 2, 1)) @ rays
    ahead = solved.sum(1)
    met = (solved >= 0).all(1) & (ahead > 0)
    depth = np.full(ahead.shape, np.inf)
    np.divide(1.0, ahead, out=depth, where=met)
    depth[depth < _NEAR] = np.inf
    nearest = depth.argmin(0)
    found = np.take_along_axis(depth, nearest[None], 0)[0]
    which = np.where(np.isfinite(found), facing[nearest], -1)
    return found.reshape(shape), which.reshape(shape)
