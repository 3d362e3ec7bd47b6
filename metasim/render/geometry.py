"""Where cameras and models are, in the terms of computer vision.

The camera's axes are OpenCV's: x to the right, y down, z ahead. Lengths are in metres. The
pixel in row i and column j has its centre at (j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Camera", "Mesh", "Pose"]

Rotation = tuple[float, float, float, float, float, float, float, float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid motion, with a uniform scale before it.

    A point p of the one frame is ``rotation @ (scale * p) + translation`` in the other.

    Attributes:
        rotation: a rotation matrix, row by row.
        translation: in metres.
        scale: above 0.
    """

    rotation: Rotation
    translation: Vector
    scale: float = 1.0

    def apply(self, points: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Points (N, 3) of the one frame in the other, (N, 3)."""
        turned = np.reshape(self.rotation, (3, 3)) @ (self.scale * points.T.astype(np.float64))
        moved: npt.NDArray[np.float64] = turned.T + np.asarray(self.translation)
        return moved

    def undo(self, points: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Points (N, 3) of the other frame in the one, (N, 3)."""
        moved = points.astype(np.float64) - np.asarray(self.translation)
        turned: npt.NDArray[np.float64] = moved @ np.reshape(self.rotation, (3, 3)) / self.scale
        return turned


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera without distortion.

    A point (x, y, z) of the camera's frame is seen at (fx x / z + cx, fy y / z + cy).

    Attributes:
        fx: focal length in pixels, along rows.
        fy: focal length in pixels, along columns.
        cx: the principal point's column; W / 2 is the middle.
        cy: the principal point's row; H / 2 is the middle.
        world: from the world's frame to the camera's; None where there is no world's frame.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    world: Pose | None = None

    def project(self, points: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Columns and rows (N, 2) at which points (N, 3) of its frame, z above 0, are seen."""
        return np.stack(
            [
                self.fx * points[:, 0] / points[:, 2] + self.cx,
                self.fy * points[:, 1] / points[:, 2] + self.cy,
            ],
            axis=1,
        )

    def rays(self, rows: range, columns: range) -> npt.NDArray[np.float64]:
        """What the centres of h x w pixels look along, (h, w, 3), each with a z of 1."""
        x = (np.arange(columns.start, columns.stop) + 0.5 - self.cx) / self.fx
        y = (np.arange(rows.start, rows.stop) + 0.5 - self.cy) / self.fy
        along, down = np.meshgrid(x, y)
        return np.stack([along, down, np.ones_like(along)], axis=2)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A model's surface, in its own frame.

    Attributes:
        vertices: float32 (V, 3), metres.
        faces: int32 (F, 3), places of the corners in ``vertices``, counter-clockwise from
            outside.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
