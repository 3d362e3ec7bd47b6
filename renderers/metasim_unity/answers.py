"""Answers to RENDER, taken apart and checked (PROTOCOL.md, section 5)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from metasim.render.base import Label
from metasim.render.geometry import Camera
from metasim.scene.graph import Node, Scene
from metasim_unity.canvas import PLANES, Canvas
from metasim_unity.frames import Frame, ProtocolError
from metasim_unity.messages import Images

__all__ = ["Answer", "longest_json", "plane_bytes"]

_ALIGNED: Final = 8
_set = object.__setattr__  # of what is frozen
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
    """The answer to one request, as its frames are taken; on the canvas once it is whole.

    Args:
        canvas: what it is drawn on, after what is drawn there already.
        scenes: that were asked for.
        flipped: whether the planes' rows are sent from bottom to top.
        models: the classes whose models are known; poses of others say nothing.
    """

    def __init__(
        self,
        canvas: Canvas,
        scenes: Sequence[Scene],
        flipped: bool,
        models: Collection[str] = (),
    ) -> None:
        self._canvas, self._scenes, self._flipped = canvas, scenes, flipped
        self._models = models
        self._labels: list[tuple[Label, ...]] = []
        self._cameras: list[Camera] = []
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
        told = frame.told(Images)
        start = len(self._labels)
        left = len(self._scenes) - start
        if told.first != start or not 1 <= told.count <= left:
            raise ProtocolError(
                f"a frame must have from 1 to {left} scenes, the first of which is number {start}, "
                f"got {told.count} from number {told.first} on"
            )
        self._copy(told, frame.planes)
        self._read_cameras(told)
        self._read_labels(told)
        if not self.done:
            return
        if told.count < left:
            raise ProtocolError(
                f"an answer must have all {len(self._scenes)} scenes, got {start + told.count}"
            )
        self._canvas.labels += self._labels
        self._canvas.cameras += self._cameras

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

    def _copy(self, told: Images, planes: bytes | memoryview) -> None:
        canvas = self._canvas
        offsets, end = _layout(told.count, canvas.size, canvas.names)
        wanted = [
            (name, PLANES[name].code, offset)
            for name, offset in zip(canvas.names, offsets, strict=True)
        ]
        got = [(plane.name, plane.type, plane.offset) for plane in told.planes]
        if got != wanted:
            raise ProtocolError(
                f"the planes of {told.count} images must be {wanted}, got {got!r:.400}"
            )
        if len(planes) != end:
            raise ProtocolError(
                f"the planes {', '.join(canvas.names)} of {told.count} images of "
                f"{canvas.size[0]} x {canvas.size[1]} pixels must have {end} bytes, got "
                f"{len(planes)}"
            )
        rows = self._rows(told.count)
        for name, offset in zip(canvas.names, offsets, strict=True):
            plane = PLANES[name]
            shape = plane.shape(told.count, canvas.size)
            sent = np.frombuffer(planes, plane.sent, math.prod(shape), offset).reshape(shape)
            canvas.planes[name][rows] = sent[:, ::-1] if self._flipped else sent

    def _rows(self, count: int) -> slice:
        """Where the canvas has the next so many images."""
        start = self._canvas.drawn + len(self._labels)
        return slice(start, start + count)

    def _read_labels(self, told: Images) -> None:
        if len(told.labels) != told.count:
            raise ProtocolError(f"labels must be {told.count} lists, got {len(told.labels)}")
        instances = self._canvas.planes["instances"][self._rows(told.count)]
        highest = instances.max((1, 2)).tolist()
        for place, (labels, high) in enumerate(zip(told.labels, highest, strict=True), told.first):
            nodes = self._scenes[place].nodes
            try:
                self._complete(labels, nodes)
            except IndexError:
                raise ProtocolError(
                    f"labels must be of the {len(nodes)} nodes that scene {place} has, got "
                    f"{[label.node for label in labels]!r:.200}"
                ) from None
            if high > max([label.instance for label in labels], default=0):
                raise ProtocolError(
                    f"every instance in the plane must have a label, but scene {place} has none "
                    f"for {high}"
                )
            self._labels.append(tuple(labels))

    def _complete(self, labels: Sequence[Label], nodes: Sequence[Node]) -> None:
        """Give labels that were just read, which nobody else has, what is the scene's."""
        for label in labels:
            node = nodes[label.node]
            _set(label, "name", node.name)
            _set(label, "kind", node.kind)
            if label.category not in self._models:
                _set(label, "pose", None)

    def _read_cameras(self, told: Images) -> None:
        if not self._canvas.seen:
            return
        if len(told.cameras) != told.count:
            raise ProtocolError(
                f"cameras must be {told.count}, one for each scene, got {len(told.cameras)}"
            )
        for camera in told.cameras:
            same = self._cameras and camera == self._cameras[-1]  # as most are
            self._cameras.append(self._cameras[-1] if same else camera)
