"""Players with metasim's package: scenes in, images with their labels out (PROTOCOL.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from metasim.errors import RenderError
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
)
from metasim_unity.session import Session

__all__ = ["Bridge", "Hello"]

_REQUEST_BYTES: Final = 4_000_000
_ENVELOPE: Final = 4096  # bytes that ML-Agents puts around a frame, at most
_EXCHANGES: Final = 1000  # without the answer
_SILENT: Final = 20  # exchanges in which a player may say nothing of metasim's at first
_MOST_SCENES: Final = 4096
_SEEDS: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Hello:
    """What a player is.

    Attributes:
        player: its name and version.
        planes: names of those that it sends, in order.
        cameras: whether it tells the camera of each image.
        flipped: whether their rows are from bottom to top.
        kinds: kind -> attributes that it understands.
        categories: kind -> classes that it can have.
        request_bytes: the longest frame that it takes.
    """

    player: str
    planes: tuple[str, ...]
    cameras: bool
    flipped: bool
    kinds: Mapping[str, tuple[str, ...]]
    categories: Mapping[str, tuple[str, ...]]
    request_bytes: int


class Bridge:
    """Draws scenes with a player that has metasim's package.

    Args:
        session: with the player, which has begun.
        size: (H, W) of the images.
        planes: beside images and instances, those that are wanted.
        scenes: how many a request has at most.

    Attributes:
        hello: what the player said it is.

    Raises:
        PlayerError: when it is gone, or does not keep to the protocol.
        RenderError: when it cannot do what is asked.
    """

    def __init__(
        self, session: Session, size: tuple[int, int], planes: Sequence[str], scenes: int
    ) -> None:
        self._session, self._size, self._most = session, size, min(scenes, _MOST_SCENES)
        self._request = 1
        wanted = ["images", "instances", *planes]
        asked = {"protocols": [VERSION], "image_size": list(size), "planes": wanted}
        request = Frame(Kind.CONFIGURE, self._request, asked).to_bytes()
        frame = next(self._ask(request, Kind.HELLO, 0))
        with _telling():
            self.hello = _hello(frame.values, size, wanted)

    def canvas(self, count: int) -> Canvas:
        """What so many images are drawn on."""
        return Canvas(count, self._size, self.hello.planes, self.hello.cameras)

    def draw(self, canvas: Canvas, scenes: Sequence[Scene]) -> None:
        """Draw some more scenes of a batch, as many as fit into a request.

        Args:
            canvas: of the whole batch.
            scenes: the whole batch.

        Raises:
            PlayerError: when the player is gone, or does not keep to the protocol.
            RenderError: when it cannot draw a scene.
        """
        if (canvas.names, canvas.seen) != (self.hello.planes, self.hello.cameras):
            raise _unfit("a player that is started again must offer the same planes and cameras")
        first = canvas.drawn
        count, request = self._fitting(scenes[first : first + self._most], first)
        answer = Answer(canvas, scenes[first : first + count], self.hello.flipped)
        for frame in self._ask(request, Kind.IMAGES, first, count):
            with _telling():
                answer.take(frame)
        canvas.drop_poses(first)
        _refuse_blank(canvas, first)

    def _fitting(self, scenes: Sequence[Scene], first: int) -> tuple[int, bytes]:
        """How many scenes go into the next request, and its frame."""
        self._request += 1
        count = len(scenes)
        while True:
            values = {"scenes": [_told(scene) for scene in scenes[:count]]}
            request = Frame(Kind.RENDER, self._request, values).to_bytes()
            size = len(request)
            if size <= self.hello.request_bytes:
                return count, request
            if count == 1:
                raise RenderError(
                    f"a scene must fit into a message to Unity of {self.hello.request_bytes} bytes "
                    f"(ML-Agents' players take no more than 4 MiB), but scene {first} of the batch "
                    f"has {size}: {len(scenes[0].nodes)} nodes; make scenes of fewer nodes"
                )
            count = max(1, min(count - 1, count * self.hello.request_bytes // size))

    def _ask(self, request: bytes, answer: Kind, first: int, count: int = 1) -> Iterator[Frame]:
        """Send a request; the frames that answer it."""
        configuring = answer is Kind.HELLO
        part, parts, stale, silent = 0, 1, 0, 0
        sent, reset = on_channel(request), configuring
        for _ in range(_EXCHANGES):
            heard: bytes = self._session.exchange(sent, reset).side_channel
            sent, reset = b"", False
            for frame in self._frames(heard, count):
                if frame.kind is Kind.ERROR and frame.request in (0, self._request):
                    raise _error(frame.values, first)
                if frame.request != self._request:
                    stale += 1
                    continue
                if frame.kind is not answer:
                    raise _unfit(
                        f"a request must be answered by {answer.name}, got {frame.kind.name}"
                    )
                parts, part = frame.parts, part + 1
                yield frame
            if part >= parts:
                return
            silent += not heard
            if configuring and silent > _SILENT and not stale:
                raise PlayerError(
                    "the player must have metasim's package with a MetasimBridge in its scene, "
                    f"but said nothing of it in {silent} exchanges; add it (see the README in "
                    "metasim_unity/unity), or give 'parameters' for a build without it"
                )
        raise PlayerError(
            f"the player must answer request {self._request} within {_EXCHANGES} exchanges, got "
            f"{stale} frames of other requests",
            again=True,
        )

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


def _error(values: Mapping[str, Any], first: int) -> RenderError:
    """What the player says went wrong, as an error."""
    code, message, scene = values.get("code"), values.get("message"), values.get("scene")
    told = f"{message:.2000}" if isinstance(message, str) else "no message"
    if code == "failed":
        return PlayerError(f"the player failed: {told}", again=True)
    if code == "scene" and isinstance(scene, int):
        return RenderError(f"the player cannot build scene {first + scene} of the batch: {told}")
    return RenderError(f"the player refused the request ({code!r:.40}): {told}")


def _hello(values: Mapping[str, Any], size: tuple[int, int], wanted: Sequence[str]) -> Hello:
    """What HELLO says, checked."""
    if values.get("protocol") != VERSION:
        raise ProtocolError(f"protocol must be {VERSION}, got {values.get('protocol')!r:.40}")
    if values.get("image_size") != list(size):
        raise ProtocolError(
            f"image_size must be the {list(size)} asked for, got {values.get('image_size')!r:.80}"
        )
    planes, rows = values.get("planes"), values.get("rows")
    if not isinstance(planes, list) or not _fit(planes, wanted):
        raise ProtocolError(f"planes must be of the {wanted} asked for, got {planes!r:.200}")
    if rows not in ("top-down", "bottom-up"):
        raise ProtocolError(f"rows must be 'top-down' or 'bottom-up', got {rows!r:.40}")
    longest = values.get("request_bytes", _REQUEST_BYTES)
    if isinstance(longest, bool) or not isinstance(longest, (int, float)) or longest < _ENVELOPE:
        raise ProtocolError(f"request_bytes must be at least {_ENVELOPE}, got {longest!r:.40}")
    return Hello(
        f"{values.get('player', 'a player')!s:.200}",
        tuple(planes),
        values.get("cameras", False) is True,
        rows == "bottom-up",
        _names(values, "kinds"),
        _names(values, "categories"),
        min(int(longest), _REQUEST_BYTES),
    )


def _fit(planes: Sequence[Any], wanted: Sequence[str]) -> bool:
    """Whether planes are some of the wanted ones, each once, with those that must be there."""
    allowed = all(isinstance(name, str) and name in wanted for name in planes)
    return allowed and len({*planes}) == len(planes) and {"images", "instances"} <= {*planes}


def _names(values: Mapping[str, Any], key: str) -> dict[str, tuple[str, ...]]:
    found = values.get(key, {})
    if not isinstance(found, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in found.values()
    ):
        raise ProtocolError(f"{key} must map names to lists of names, got {found!r:.200}")
    return {kind: tuple(names) for kind, names in found.items()}


def _refuse_blank(canvas: Canvas, row: int) -> None:
    """Refuse an image of one colour whose labels say that something is seen in it."""
    image = canvas.planes["images"][row]
    seen = any(label.visible > 0 for label in canvas.labels[row])
    if seen and (image == image[0, 0]).all():
        raise PlayerError(
            f"images must show something, but one is {image[0, 0].tolist()} all over while "
            "its labels say that objects are seen; a player needs a display to render: never give "
            "it -nographics, and on a machine without a screen start it under xvfb-run -a"
        )
