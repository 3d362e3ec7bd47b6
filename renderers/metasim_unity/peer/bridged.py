"""The peer as a player with metasim's package: any renderer, behind the protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from metasim.errors import MetasimError
from metasim.render.base import Label, Rendered, Renderer
from metasim.render.geometry import Camera, Pose
from metasim.scene.graph import Scene
from metasim_unity.canvas import PLANES
from metasim_unity.frames import (
    CHANNEL,
    VERSION,
    Frame,
    Kind,
    ProtocolError,
    channel_messages,
    on_channel,
    read_frame,
    written,
)
from metasim_unity.messages import REQUEST_BYTES, Configure, Render
from metasim_unity.models import meshes_frames

__all__ = ["Bridged", "images_frame"]

_NAME: Final = "metasim's reference peer (not Unity)"
_REQUEST_AT: Final = 8  # where a frame says which request it answers
_REQUEST: Final = struct.Struct("<I")

Make = Callable[[tuple[int, int]], Renderer]
"""Makes the renderer for a size of images."""


class Bridged:
    """Answers requests with what a renderer draws.

    Args:
        make: makes the renderer.
        flipped: send rows from bottom to top, as Unity does.
        replay: keep what is drawn, and send it again when the same scenes are asked for.
        scenes: of a frame of an answer, at most.
    """

    def __init__(
        self, make: Make, flipped: bool = True, replay: bool = False, scenes: int = 64
    ) -> None:
        self._make, self._flipped, self._replay, self._most = make, flipped, replay, scenes
        self._renderer: Renderer | None = None
        self._planes: tuple[str, ...] = ()
        self._answers: list[bytes] = []
        self._drawn: dict[bytes, list[bytes]] = {}

    def hear(self, side_channel: bytes, reset: bool) -> None:
        """Answer what came, for the next message."""
        del reset  # CONFIGURE says all
        for channel, message in channel_messages(side_channel):
            if channel == CHANNEL:
                self._answers += self.answers(message)

    def side_channel(self) -> bytes:
        """The answers."""
        told, self._answers = self._answers, []
        return on_channel(*told)

    def observations(self) -> Iterable[Mapping[str, Any]]:
        """One number, since an agent must observe something."""
        return [{"shape": [1], "float_data": [0.0]}]

    def answers(self, message: bytes | memoryview) -> list[bytes]:
        """The frames that answer a frame."""
        try:
            frame = read_frame(message, REQUEST_BYTES)
        except ProtocolError as error:
            return [_error("protocol", str(error), 0)]
        try:
            if frame.kind is Kind.CONFIGURE:
                return [self._hello(frame).to_bytes()]
            if frame.kind is Kind.MODELS and self._renderer is not None:
                models = meshes_frames(self._renderer.meshes(), frame.request)
                return [told.to_bytes() for told in models]
            if frame.kind is Kind.RENDER:
                return self._images(frame)
            return [_error("protocol", f"no request is of the kind {frame.kind}", frame.request)]
        except ProtocolError as error:
            return [_error("protocol", str(error), frame.request)]
        except (MetasimError, ValueError) as error:
            return [_error("scene", str(error), frame.request)]
        except Exception as error:  # whatever it is, a player must not end for it
            return [_error("failed", repr(error), frame.request)]

    def _hello(self, frame: Frame) -> Frame:
        asked = frame.told(Configure)
        high, wide = asked.image_size
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._make((high, wide))
        self._drawn = {}
        nothing = self._renderer.render(())
        offered = {name for name in PLANES if getattr(nothing, name) is not None}
        self._planes = tuple(name for name in asked.planes if name in offered)
        values = {
            "protocol": VERSION,
            "player": _NAME,
            "image_size": [high, wide],
            "planes": self._planes,
            "cameras": nothing.cameras is not None,
            "models": True,
            "rows": "bottom-up" if self._flipped else "top-down",
            "kinds": {kind: sorted(names) for kind, names in self._renderer.kinds.items()},
            "categories": {k: list(n) for k, n in self._renderer.known_categories.items()},
            "request_bytes": REQUEST_BYTES,
        }
        return Frame(Kind.HELLO, frame.request, written(values))

    def _images(self, frame: Frame) -> list[bytes]:
        if self._renderer is None:
            return [_error("protocol", "CONFIGURE must come before RENDER", frame.request)]
        if drawn := self._drawn.get(frame.text):
            return [_about(frame.request, answer) for answer in drawn]
        scenes = [Scene.from_json(scene) for scene in frame.told(Render).scenes]
        rendered = self._renderer.render(scenes)
        starts = range(0, len(scenes), self._most)
        answers = [
            images_frame(
                rendered[start : start + self._most],
                frame.request,
                self._planes,
                self._flipped,
                (start, part, len(starts)),
            ).to_bytes()
            for part, start in enumerate(starts)
        ]
        if self._replay:
            self._drawn[frame.text] = answers
        return answers


def images_frame(
    rendered: Rendered,
    request: int,
    planes: Sequence[str],
    flipped: bool = True,
    place: tuple[int, int, int] = (0, 0, 1),
) -> Frame:
    """A frame with images.

    Args:
        rendered: the images.
        request: that they answer.
        planes: names of those to send.
        flipped: whether their rows go from bottom to top.
        place: of the first scene in the request, and of the frame among how many.
    """
    first, part, parts = place
    told: list[dict[str, Any]] = []
    sent = bytearray()
    for name in planes:
        sent += bytes(-len(sent) % 8)
        told.append({"name": name, "type": PLANES[name].code, "offset": len(sent)})
        plane = getattr(rendered, name)
        sent += np.ascontiguousarray(plane[:, ::-1] if flipped else plane, PLANES[name].sent).data
    values: dict[str, Any] = {
        "first": first,
        "count": len(rendered),
        "planes": told,
        "labels": [[*map(_label, labels)] for labels in rendered.labels],
    }
    if rendered.cameras is not None:
        values["cameras"] = [*map(_camera, rendered.cameras)]
    return Frame(Kind.IMAGES, request, written(values), bytes(sent), part, parts)


def _label(label: Label) -> dict[str, Any]:
    told: dict[str, Any] = {
        "instance": label.instance,
        "node": label.node,
        "category": label.category,
        "box": list(label.box),
        "visible": float(label.visible),
    }
    if label.full_box is not None:
        told["full_box"] = list(label.full_box)
    if label.pose is not None:
        told["pose"] = _pose(label.pose)
    return told


def _camera(camera: Camera) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")}
    return told if camera.world is None else {**told, "world": _pose(camera.world)}


def _pose(pose: Pose) -> dict[str, Any]:
    return {
        "rotation": list(pose.rotation),
        "translation": list(pose.translation),
        "scale": pose.scale,
    }


def _error(code: str, message: str, request: int) -> bytes:
    values = {"code": code, "message": message[:2000]}
    return Frame(Kind.ERROR, request, written(values)).to_bytes()


def _about(request: int, answer: bytes) -> bytes:
    """An answer, as one to another request."""
    told = memoryview(answer)
    return b"".join(
        [told[:_REQUEST_AT], _REQUEST.pack(request), told[_REQUEST_AT + _REQUEST.size :]]
    )
