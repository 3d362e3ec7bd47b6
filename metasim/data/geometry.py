"""Cameras and poses as they stand in ``labels.jsonl``: every number comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasim.render.geometry import Camera, Pose

__all__ = ["camera_from_json", "camera_to_json", "pose_from_json", "pose_to_json"]


def pose_to_json(pose: Pose) -> dict[str, Any]:
    """A pose in JSON values."""
    return {
        "rotation": [float(value) for value in pose.rotation],
        "translation": [float(value) for value in pose.translation],
        "scale": float(pose.scale),
    }


def pose_from_json(data: Mapping[str, Any]) -> Pose:
    """The pose that :func:`pose_to_json` described.

    Raises:
        ValueError: when it is none; KeyError or TypeError as well.
    """
    a, b, c, d, e, f, g, h, i = map(float, data["rotation"])
    x, y, z = map(float, data["translation"])
    return Pose((a, b, c, d, e, f, g, h, i), (x, y, z), float(data["scale"]))


def camera_to_json(camera: Camera) -> dict[str, Any]:
    """A camera in JSON values."""
    known = {name: float(getattr(camera, name)) for name in ("fx", "fy", "cx", "cy")}
    return known if camera.world is None else {**known, "world": pose_to_json(camera.world)}


def camera_from_json(data: Mapping[str, Any]) -> Camera:
    """The camera that :func:`camera_to_json` described.

    Raises:
        ValueError: when it is none; KeyError or TypeError as well.
    """
    fx, fy, cx, cy = (float(data[name]) for name in ("fx", "fy", "cx", "cy"))
    world = pose_from_json(data["world"]) if "world" in data else None
    return Camera(fx, fy, cx, cy, world)
