"""What goes between a pool and its workers: frames of JSON, in which labels are short lists.

Whatever is large (images and other planes, meshes) goes beside it, as arrays. Nothing is
pickled, and both ends run the same file, whatever their Python.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim import errors
from metasim.errors import ConfigError, MetasimError, Mistake
from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Scene

__all__ = [
    "PLANES",
    "Arrays",
    "Frames",
    "as_error",
    "camera_rows",
    "cameras_of",
    "frame",
    "from_error",
    "label_rows",
    "labels_of",
    "mesh_arrays",
    "meshes_of",
    "planes_of",
    "text",
]

Arrays = dict[str, npt.NDArray[Any]]
"""Arrays by name, in order."""

PLANES = ("images", "instances", "depth", "normals")
"""The parts of :class:`Rendered` that are arrays."""

_LENGTH = struct.Struct("!I")


def frame(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent: its length, then :func:`text`.

    Raises:
        TypeError: when something is no JSON value.
    """
    body = text(message).encode()
    return _LENGTH.pack(len(body)) + body


def text(value: Any) -> str:
    """A value as JSON; numpy scalars become numbers.

    Raises:
        TypeError: when something is no JSON value.
    """
    return json.dumps(value, default=_scalar)


def _scalar(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")


class Frames:
    """Messages from the bytes that arrive, in pieces of whatever length."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take what has arrived; the messages that are whole with it, in order."""
        self._left += data
        while len(self._left) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._left)
            end = _LENGTH.size + length
            if len(self._left) < end:
                return
            body = bytes(self._left[_LENGTH.size : end])
            del self._left[:end]
            yield json.loads(body)


# --- what is rendered ----------------------------------------------------------------------


def planes_of(rendered: Rendered) -> Arrays:
    """The arrays of a batch, without those that are not offered."""
    found = {name: getattr(rendered, name) for name in PLANES}
    return {name: plane for name, plane in found.items() if plane is not None}


def label_rows(labels: Sequence[Sequence[Label]]) -> list[Any]:
    """Labels as JSON values; their names and kinds are those of their nodes."""
    return [
        [
            [
                label.instance,
                label.node,
                label.category,
                list(label.box),
                label.visible,
                None if label.full_box is None else list(label.full_box),
                _pose_row(label.pose),
            ]
            for label in one
        ]
        for one in labels
    ]


def labels_of(rows: Sequence[Any], scenes: Sequence[Scene]) -> list[tuple[Label, ...]]:
    """The labels that :func:`label_rows` wrote of images of ``scenes``."""
    return [
        tuple(_label(row, scene) for row in one) for one, scene in zip(rows, scenes, strict=True)
    ]


def _label(row: Sequence[Any], scene: Scene) -> Label:
    instance, place, category, box, visible, full, pose = row
    node = scene.nodes[place]
    return Label(
        instance,
        place,
        node.name,
        node.kind,
        category,
        (box[0], box[1], box[2], box[3]),
        visible,
        None if full is None else (full[0], full[1], full[2], full[3]),
        _pose(pose),
    )


def camera_rows(cameras: Sequence[Camera] | None) -> list[Any] | None:
    """Cameras as JSON values."""
    if cameras is None:
        return None
    return [[c.fx, c.fy, c.cx, c.cy, _pose_row(c.world)] for c in cameras]


def cameras_of(rows: Sequence[Any] | None) -> list[Camera] | None:
    """The cameras that :func:`camera_rows` wrote."""
    if rows is None:
        return None
    return [Camera(fx, fy, cx, cy, _pose(world)) for fx, fy, cx, cy, world in rows]


def _pose_row(pose: Pose | None) -> list[Any] | None:
    return None if pose is None else [list(pose.rotation), list(pose.translation), pose.scale]


def _pose(row: Sequence[Any] | None) -> Pose | None:
    if row is None:
        return None
    (a, b, c, d, e, f, g, h, i), (x, y, z), scale = row
    return Pose((a, b, c, d, e, f, g, h, i), (x, y, z), scale)


def mesh_arrays(meshes: Mapping[str, Mesh]) -> Arrays:
    """The arrays of models, two for each category, in the categories' order."""
    parts = ((m.vertices, m.faces) for m in meshes.values())
    return {f"{n}": part for n, part in enumerate(p for pair in parts for p in pair)}


def meshes_of(categories: Sequence[str], arrays: Arrays) -> dict[str, Mesh]:
    """The models that :func:`mesh_arrays` wrote, in memory of their own."""
    parts = iter([part.copy() for part in arrays.values()])
    return {category: Mesh(next(parts), next(parts)) for category in categories}


# --- what goes wrong -----------------------------------------------------------------------


def from_error(error: MetasimError) -> dict[str, Any]:
    """An error as JSON values."""
    named = (found.__name__ for found in type(error).__mro__ if found.__name__ in errors.__all__)
    return {"type": next(named), "message": str(error), "place": list(error.place)}


def as_error(told: Mapping[str, Any]) -> MetasimError:
    """The error that :func:`from_error` wrote; of one that a plugin made, metasim's nearest."""
    found = getattr(errors, told["type"])
    error: MetasimError = found.__new__(found)
    error.args = (told["message"],)
    error.place = tuple(told["place"])
    if isinstance(error, ConfigError):
        error.mistakes = (Mistake(told["message"]),)
    return error
