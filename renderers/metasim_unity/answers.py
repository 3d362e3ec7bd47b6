"""Answers to RENDER, taken apart and checked (PROTOCOL.md, section 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from metasim.render.base import Label
from metasim.render.geometry import Camera, Pose
from metasim.scene.graph import Scene
from metasim_unity.canvas import PLANES, Canvas
from metasim_unity.frames import Frame, ProtocolError

__all__ = ["Answer", "longest_json", "plane_bytes"]

_ALIGNED: Final = 8
_WRONG: Final = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading JSON that is not as it should be raises."""
_JSON, _JSON_SCENE = 1 << 20, 1 << 16  # bytes: of a frame, and more for each scene


def longest_json(scenes: int) -> int:
    """How many bytes the JSON of an answer about so many scenes may have."""
    return _JSON + _JSON_SCENE * scenes


def _layout(count: int, size: tuple[int, int], planes: Sequence[str]) -> tuple[list[int], int]:
    """Offsets of planes of so many images, and the end of the last."""
    offsets, end = [], 0
    for name in planes:
        plane = PLANES[name]
        start = -(-end // _ALIGNED) * _ALIGNED
        offsets.append(start)
        end = start + math.prod(plane.shape(count, size)) * np.dtype(plane.sent).itemsize
    return offsets, end


def plane_bytes(count: int, size: tuple[int, int], planes: Sequence[str]) -> int:
    """How many bytes the planes of so many images have."""
    return _layout(count, size, planes)[1]


class Answer:
    """The answer to one request, as its frames arrive.

    Args:
        canvas: what it is drawn on, after what is drawn there already.
        scenes: that were asked for.
        flipped: whether the planes' rows are sent from bottom to top.
    """

    def __init__(self, canvas: Canvas, scenes: Sequence[Scene], flipped: bool) -> None:
        self._canvas, self._scenes, self._flipped = canvas, scenes, flipped
        self._before = canvas.drawn
        self._part = 0
        self._parts: int | None = None

    @property
    def done(self) -> bool:
        """Whether all frames are here."""
        return self._part == self._parts

    def take(self, frame: Frame) -> None:
        """Take the next frame.

        Raises:
            ProtocolError: when it is not what the protocol says.
        """
        self._follow(frame)
        first, count = _whole(frame.values, "first"), _whole(frame.values, "count")
        start = self._canvas.drawn - self._before
        left = len(self._scenes) - start
        if first != start or not 1 <= count <= left:
            raise ProtocolError(
                f"a frame must have from 1 to {left} scenes, the first of which is number {start}, "
                f"got {count} from number {first} on"
            )
        scenes = self._scenes[first : first + count]
        self._copy(frame, count)
        self._read_cameras(frame.values.get("cameras"), count)
        self._read_labels(frame.values.get("labels"), scenes, first)
        if self.done and count < left:
            raise ProtocolError(
                f"an answer must have all {len(self._scenes)} scenes, got {first + count}"
            )

    def _follow(self, frame: Frame) -> None:
        if self._parts is None:
            if frame.parts > max(1, len(self._scenes)):
                raise ProtocolError(
                    f"an answer must have at most {len(self._scenes)} frames, as many as there "
                    f"are scenes, got {frame.parts}"
                )
            self._parts = frame.parts
        if (frame.part, frame.parts) != (self._part, self._parts):
            raise ProtocolError(
                f"the next frame must be {self._part} of {self._parts}, got {frame.part} of "
                f"{frame.parts}"
            )
        self._part += 1

    def _copy(self, frame: Frame, count: int) -> None:
        canvas = self._canvas
        offsets, end = _layout(count, canvas.size, canvas.names)
        wanted = [
            {"name": name, "type": PLANES[name].code, "offset": offset}
            for name, offset in zip(canvas.names, offsets, strict=True)
        ]
        told = frame.values.get("planes")
        if told != wanted:
            raise ProtocolError(f"the planes of {count} images must be {wanted}, got {told!r:.400}")
        if len(frame.planes) != end:
            raise ProtocolError(
                f"the planes {', '.join(canvas.names)} of {count} images of {canvas.size[0]} x "
                f"{canvas.size[1]} pixels must have {end} bytes, got {len(frame.planes)}"
            )
        rows = slice(canvas.drawn, canvas.drawn + count)
        for name, offset in zip(canvas.names, offsets, strict=True):
            plane = PLANES[name]
            shape = plane.shape(count, canvas.size)
            sent = np.frombuffer(frame.planes, plane.sent, math.prod(shape), offset).reshape(shape)
            canvas.planes[name][rows] = sent[:, ::-1] if self._flipped else sent

    def _read_labels(self, told: Any, scenes: Sequence[Scene], first: int) -> None:
        if not isinstance(told, list) or len(told) != len(scenes):
            raise ProtocolError(f"labels must be {len(scenes)} lists, got {told!r:.200}")
        rows = slice(self._canvas.drawn, self._canvas.drawn + len(scenes))
        highest = self._canvas.planes["instances"][rows].max((1, 2)).tolist()
        for place, (one, scene, high) in enumerate(zip(told, scenes, highest, strict=True), first):
            try:
                labels = tuple(_label(label, scene) for label in one)
            except _WRONG as error:
                raise ProtocolError(
                    f"labels of scene {place} must be as the protocol says, but {error!r}; got "
                    f"{one!r:.400}"
                ) from None
            if high > max((label.instance for label in labels), default=0):
                raise ProtocolError(
                    f"every instance in the plane must have a label, but scene {place} has none "
                    f"for {high}"
                )
            self._canvas.labels.append(labels)

    def _read_cameras(self, told: Any, count: int) -> None:
        if not self._canvas.seen:
            return
        if not isinstance(told, list) or len(told) != count:
            raise ProtocolError(f"cameras must be {count}, one for each scene, got {told!r:.200}")
        try:
            self._canvas.cameras += [_camera(one) for one in told]
        except _WRONG as error:
            raise ProtocolError(
                f"cameras must be as the protocol says, but {error!r}; got {told!r:.400}"
            ) from None


def _label(told: Mapping[str, Any], scene: Scene) -> Label:
    place = _whole(told, "node")
    node = scene.nodes[place]
    category = told["category"]
    if not isinstance(category, str):
        raise TypeError(f"category must be text, got {category!r}")
    return Label(
        _whole(told, "instance"),
        place,
        node.name,
        node.kind,
        category,
        _box(told["box"]),
        _number(told["visible"]),
        None if told.get("full_box") is None else _box(told["full_box"]),
        None if told.get("pose") is None else _pose(told["pose"]),
    )


def _camera(told: Mapping[str, Any]) -> Camera:
    world = told.get("world")
    fx, fy, cx, cy = (_number(told[name]) for name in ("fx", "fy", "cx", "cy"))
    return Camera(fx, fy, cx, cy, None if world is None else _pose(world))


def _pose(told: Mapping[str, Any]) -> Pose:
    a, b, c, d, e, f, g, h, i = map(_number, told["rotation"])
    x, y, z = map(_number, told["translation"])
    return Pose((a, b, c, d, e, f, g, h, i), (x, y, z), _number(told.get("scale", 1.0)))


def _box(told: Any) -> tuple[int, int, int, int]:
    if not isinstance(told, list) or len(told) != 4:
        raise ValueError(f"a box must be four whole numbers, got {told!r:.80}")
    x0, y0, x1, y1 = (_as_whole(side) for side in told)
    return x0, y0, x1, y1


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a number must be finite, got {value!r:.80}")
    return float(value)


def _whole(values: Mapping[str, Any], key: str) -> int:
    if key not in values:
        raise ProtocolError(f"{key} must be there")
    value = _as_whole(values[key])
    if value < 0:
        raise ProtocolError(f"{key} must be at least 0, got {value}")
    return value


def _as_whole(value: Any) -> int:
    """A whole number of 32 bits, which JSON may write as 3 or as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise ProtocolError(f"must be a whole number of 32 bits, got {value!r:.80}")
    return value
