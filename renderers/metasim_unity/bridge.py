"""Players with metasim's package: scenes in, images with their labels out (PROTOCOL.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from metasim.errors import RenderError
from metasim.render.geometry import Mesh
from metasim.scene.graph import Scene
from metasim_unity.answers import Answer, longest_json
from metasim_unity.canvas import Canvas
from metasim_unity.faults import PlayerError
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
from metasim_unity.messages import REQUEST_BYTES, Failure, Hello
from metasim_unity.models import read_meshes
from metasim_unity.session import Session

__all__ = ["Bridge"]

_EXCHANGES: Final = 1000  # without the answer
_SILENT: Final = 20  # exchanges in which a player may say nothing of metasim's at first
_MOST_SCENES: Final = 4096
_SEEDS: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class _Request:
    """So many scenes, as they are asked for."""

    number: int
    count: int
    frame: bytes


class Bridge:
    """Draws scenes with a player that has metasim's package.

    Args:
        session: with the player, which has begun.
        size: (H, W) of the images.
        planes: beside images and instances, those that are wanted.
        scenes: how many a request has at most.

    Attributes:
        hello: what the player said it is.
        models: of its classes, as far as it tells them.

    Raises:
        PlayerError: when it is gone, or does not keep to the protocol.
        RenderError: when it cannot do what is asked.
    """

    def __init__(
        self, session: Session, size: tuple[int, int], planes: Sequence[str], scenes: int
    ) -> None:
        self._session, self._size, self._most = session, size, min(scenes, _MOST_SCENES)
        self._number = 1
        wanted = ["images", "instances", *planes]
        asked = {"protocols": [VERSION], "image_size": list(size), "planes": wanted}
        frame = Frame(Kind.CONFIGURE, self._number, written(asked)).to_bytes()
        self._session.send(on_channel(frame), reset=True)
        hello, *_ = self._answer(_Request(self._number, 1, frame), Kind.HELLO, 0)
        with _telling():
            self.hello = _checked(hello.told(Hello), size, wanted)
        self.models = self._read_models() if self.hello.models else {}
        self._flipped = self.hello.rows == "bottom-up"
        self._longest = min(self.hello.request_bytes, REQUEST_BYTES)

    def canvas(self, count: int) -> Canvas:
        """What so many images are drawn on."""
        return Canvas(count, self._size, tuple(self.hello.planes), self.hello.cameras)

    def draw(self, canvas: Canvas, scenes: Sequence[Scene]) -> None:
        """Draw the rest of a batch, while the player draws the next images as these are read.

        Args:
            canvas: of the whole batch.
            scenes: the whole batch.

        Raises:
            PlayerError: when the player is gone, or does not keep to the protocol.
            RenderError: when it cannot draw a scene.
        """
        if (*canvas.names, canvas.seen) != (*self.hello.planes, self.hello.cameras):
            raise _unfit("a player that is started again must offer the same planes and cameras")
        requests = [*self._requests(scenes, canvas.drawn)]
        if requests:
            self._session.send(on_channel(requests[0].frame))
        for request, following in zip_longest(requests, requests[1:]):
            first, asked = canvas.drawn, scenes[canvas.drawn : canvas.drawn + request.count]
            answer = Answer(canvas, asked, self._flipped, self.models)
            for frame in self._answer(request, Kind.IMAGES, first):
                if following and frame.part + 1 == frame.parts:
                    self._session.send(on_channel(following.frame))
                with _telling():
                    answer.take(frame)
            _refuse_blank(canvas, first)

    def _read_models(self) -> Mapping[str, Mesh]:
        self._number += 1
        frame = Frame(Kind.MODELS, self._number, written({})).to_bytes()
        self._session.send(on_channel(frame))
        with _telling():
            return read_meshes(self._answer(_Request(self._number, 1, frame), Kind.MESHES, 0))

    def _requests(self, scenes: Sequence[Scene], first: int) -> Iterator[_Request]:
        """What asks for all scenes from one on, as many at once as fit into a request."""
        while first < len(scenes):
            self._number += 1
            request = self._request(scenes[first : first + self._most], first)
            yield request
            first += request.count

    def _request(self, scenes: Sequence[Scene], first: int) -> _Request:
        """What asks for as many scenes as fit."""
        text = written({"scenes": [_told(scene) for scene in scenes]})
        frame = Frame(Kind.RENDER, self._number, text).to_bytes()
        size, count = len(frame), len(scenes)
        if size <= self._longest:
            return _Request(self._number, count, frame)
        if count > 1:
            return self._request(
                scenes[: max(1, min(count - 1, count * self._longest // size))], first
            )
        raise RenderError(
            f"a scene must fit into a message to Unity of {self._longest} bytes (ML-Agents' "
            f"players take no more than 4 MiB), but scene {first} of the batch has {size}: "
            f"{len(scenes[0].nodes)} nodes; make scenes of fewer nodes"
        )

    def _answer(self, request: _Request, kind: Kind, first: int) -> Iterator[Frame]:
        """The frames that answer what was sent; once the last is here, nothing more is heard."""
        part, parts, stale, silent = 0, 1, 0, 0
        for _ in range(_EXCHANGES):
            heard: bytes = self._session.receive().side_channel
            for frame in self._frames(heard, request.count):
                if frame.kind is Kind.ERROR and frame.request in (0, request.number):
                    raise self._failure(frame, first)
                if frame.request != request.number:
                    stale += 1
                    continue
                if frame.kind is not kind:
                    raise _unfit(
                        f"a request must be answered by {kind.name}, got {frame.kind.name}"
                    )
                part, parts = part + 1, frame.parts
                yield frame
            if part >= parts:
                return
            silent += not heard
            if kind is Kind.HELLO and silent > _SILENT and not stale:
                raise PlayerError(
                    "the player must have metasim's package with a MetasimBridge in its scene, "
                    f"but said nothing of it in {silent} exchanges; add it (see the README in "
                    "metasim_unity/unity), or give 'parameters' for a build without it"
                )
            self._session.send(b"")
        raise PlayerError(
            f"the player must answer request {request.number} within {_EXCHANGES} exchanges, got "
            f"{stale} frames of other requests",
            again=True,
        )

    def _failure(self, frame: Frame, first: int) -> RenderError:
        """What the player says went wrong, as an error."""
        with _telling():
            failure = frame.told(Failure)
        told = f"{failure.message:.2000}"
        if failure.code == "failed":
            return PlayerError(f"the player failed: {told}", again=True)
        if failure.code == "scene" and failure.scene is not None:
            place = first + failure.scene
            return RenderError(f"the player cannot build scene {place} of the batch: {told}")
        return RenderError(f"the player refused the request ({failure.code!r:.40}): {told}")

    def _frames(self, heard: bytes, count: int) -> Iterator[Frame]:
        """The frames among what came through side channels."""
        with _telling():
            for channel, message in channel_messages(heard):
                if channel == CHANNEL:
                    yield read_frame(message, longest_json(count))


def _told(scene: Scene) -> dict[str, Any]:
    """A scene as the protocol has it: of its seed the last 63 bits."""
    return {**scene.to_json(), "seed": scene.seed % _SEEDS}


@contextmanager
def _telling() -> Iterator[None]:
    """What is not as the protocol says becomes an error of the player's."""
    try:
        yield
    except ProtocolError as error:
        raise _unfit(str(error)) from None


def _unfit(problem: str) -> PlayerError:
    return PlayerError(
        f"the player does not keep to metasim's protocol, version {VERSION}: {problem}; bring "
        "metasim's Unity package and metasim to the same version"
    )


def _checked(hello: Hello, size: tuple[int, int], wanted: Sequence[str]) -> Hello:
    """HELLO, once it says what it must."""
    if hello.protocol != VERSION:
        raise ProtocolError(f"protocol must be {VERSION}, got {hello.protocol}")
    if hello.image_size != size:
        raise ProtocolError(f"image_size must be the {size} asked for, got {hello.image_size}")
    planes = {*hello.planes}
    if not {"images", "instances"} <= planes <= {*wanted} or len(planes) < len(hello.planes):
        raise ProtocolError(f"planes must be of the {wanted} asked for, got {hello.planes!r:.200}")
    return hello


def _refuse_blank(canvas: Canvas, row: int) -> None:
    """Refuse an image of one colour whose labels say that something is seen in it."""
    image = canvas.planes["images"][row]
    some = image[:: max(1, len(image) // 8)]  # which tells most of the time
    if (some != image[0, 0]).any() or (image != image[0, 0]).any():
        return
    if any(label.visible > 0 for label in canvas.labels[row]):
        raise PlayerError(
            f"images must show something, but one is {image[0, 0].tolist()} all over while "
            "its labels say that objects are seen; a player needs a display to render: never give "
            "it -nographics, and on a machine without a screen start it under xvfb-run -a"
        )
