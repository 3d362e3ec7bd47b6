"""Where the camera is and how it sees, and where models stand, in numpy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metasim.render.geometry import Camera, Pose
from metasim_blender.vocabulary import Placed, View

__all__ = ["camera_of", "facing", "placement", "pose_in", "rotation", "stand"]

Matrix = npt.NDArray[np.float64]
Three = tuple[float, float, float]

_SHORT = 1e-6

_FROM_BLENDER = np.diag([1.0, -1.0, -1.0])
"""Blender's cameras look along -z with y up, computer vision's along z with y down."""


def rotation(roll: float, pitch: float, yaw: float) -> Matrix:
    """(3, 3): by ``roll`` about x, then ``pitch`` about y, then ``yaw`` about z; degrees.

    What Blender calls an Euler rotation of order XYZ.
    """
    (a, b, c) = (math.radians(angle) for angle in (roll, pitch, yaw))
    sa, ca, sb, cb, sc, cc = (f(t) for t in (a, b, c) for f in (math.sin, math.cos))
    return np.array(
        [
            [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
            [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
            [-sb, cb * sa, cb * ca],
        ]
    )


def stand(view: View) -> tuple[Three, Three]:
    """A camera's place in metres, and the angles of :func:`rotation` it is turned by in degrees."""
    across = math.radians(view.azimuth)
    up = math.radians(view.elevation)
    away = view.distance * math.cos(up)
    place = (
        view.x + away * math.sin(across),
        view.y - away * math.cos(across),
        view.z + view.distance * math.sin(up),
    )
    return place, (90 - view.elevation, 0.0, view.azimuth)


def camera_of(view: View, size: tuple[int, int]) -> Camera:
    """The pinhole camera of a view.

    Args:
        view: ``view.fov`` is the angle across the larger side.
        size: (H, W) in pixels.
    """
    height, width = size
    focal = max(size) / 2 / math.tan(math.radians(view.fov) / 2)
    place, angles = stand(view)
    turn = _FROM_BLENDER @ rotation(*angles).T
    world = Pose(_nine(turn), _three(-turn @ np.array(place)))
    return Camera(focal, focal, width / 2, height / 2, world)


def placement(placed: Placed, vertices: Matrix) -> tuple[Matrix, Three]:
    """How a model stands on the table.

    Args:
        placed: where it is to stand.
        vertices: (V, 3) of its own frame, metres.

    Returns:
        Its rotation (3, 3) and place: point p is at ``rotation @ (scale * p) + place``.
    """
    turn = rotation(placed.roll, placed.pitch, placed.yaw)
    lowest = placed.scale * float((vertices @ turn[2]).min())
    return turn, (placed.x, placed.y, placed.z - lowest)


def pose_in(camera: Camera, turn: Matrix, place: Three, scale: float) -> Pose:
    """The pose in the camera's frame of what is placed in the world.

    Args:
        camera: of :func:`camera_of`.
        turn: rotation (3, 3) in the world.
        place: in the world, metres.
        scale: of the model.
    """
    to_camera, way = _world(camera)
    return Pose(_nine(to_camera @ turn), _three(to_camera @ np.array(place) + way), scale)


def facing(
    normals: npt.NDArray[np.float32], there: npt.NDArray[np.bool_], camera: Camera
) -> npt.NDArray[np.float32]:
    """Unit normals in the camera's frame that face it.

    Args:
        normals: (H, W, 3) in the world's frame, of any length; means over pixels' samples and
            of smoothed surfaces, either of which may look away from the camera.
        there: (H, W) where there is a surface; the others get 0.
        camera: of :func:`camera_of`.
    """
    height, width = there.shape
    turned = normals.astype(np.float64) @ _world(camera)[0].T
    rays = np.ones((height, width, 3))
    rays[..., 0] = (np.arange(width) + 0.5 - camera.cx) / camera.fx
    rays[..., 1] = ((np.arange(height) + 0.5 - camera.cy) / camera.fy)[:, None]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    away = np.maximum((turned * rays).sum(-1, keepdims=True), 0)
    turned -= away * rays
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    turned = np.where(length > _SHORT, turned / np.maximum(length, _SHORT), -rays)
    return np.where(there[..., None], turned, 0).astype(np.float32)


def _world(camera: Camera) -> tuple[Matrix, Matrix]:
    """Rotation (3, 3) and translation (3,) from the world's frame to the camera's."""
    if camera.world is None:
        raise ValueError("the camera must have a pose in the world")
    return np.array(camera.world.rotation).reshape(3, 3), np.array(camera.world.translation)


def _three(values: Matrix) -> Three:
    x, y, z = values.tolist()
    return x, y, z


def _nine(
    matrix: Matrix,
) -> tuple[float, float, float, float, float, float, float, float, float]:
    flat: Sequence[float] = matrix.ravel().tolist()
    a, b, c, d, e, f, g, h, i = flat
    return a, b, c, d, e, f, g, h, i
