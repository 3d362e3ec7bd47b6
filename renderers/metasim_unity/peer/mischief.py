"""Faults for tests: the behaviour of a player, with one thing wrong from some message on."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json

from metasim_unity.frames import (
    HEADER,
    Frame,
    Kind,
    channel_messages,
    on_channel,
    read_frame,
    written,
)
from metasim_unity.peer.player import Behaviour

__all__ = ["FAULTS", "Mischief"]

_LONGEST: Final = 1 << 31


def _die(frame: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return frame


def _exit(frame: bytes) -> bytes:
    sys.stderr.write("the peer was asked to exit with code 3\n")
    sys.stderr.flush()
    os._exit(3)


def _hang(frame: bytes) -> bytes:
    threading.Event().wait()
    return frame


def _packed(at: int, code: str, value: int) -> Callable[[bytes], bytes]:
    """Another number in a frame's header."""

    def change(frame: bytes) -> bytes:
        told = bytearray(frame)
        struct.pack_into(code, told, at, value)
        return bytes(told)

    return change


def _with(**values: Any) -> Callable[[bytes], bytes]:
    """Other JSON in a frame."""

    def change(frame: bytes) -> bytes:
        found = read_frame(frame, _LONGEST)
        return replace(found, text=written({**from_json(found.text), **values})).to_bytes()

    return change


def _stale(frame: bytes) -> bytes:
    found = read_frame(frame, _LONGEST)
    return replace(found, request=max(0, found.request - 1)).to_bytes()


def _black(frame: bytes) -> bytes:
    found = read_frame(frame, _LONGEST)
    if found.kind is not Kind.IMAGES:
        return frame
    places = {plane["name"]: plane["offset"] for plane in from_json(found.text)["planes"]}
    planes = bytearray(found.planes)
    planes[: places["instances"]] = bytes(places["instances"])
    return replace(found, planes=bytes(planes)).to_bytes()


def _failed(frame: bytes) -> bytes:
    found = read_frame(frame, _LONGEST)
    text = written({"code": "failed", "message": "a shader"})
    return Frame(Kind.ERROR, found.request, text).to_bytes()


FAULTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "die": _die,
    "exit": _exit,
    "hang": _hang,
    "mute": lambda frame: b"",
    "protocol": _packed(4, "<H", 9),
    "kind": _packed(6, "<H", 77),
    "stale": _stale,
    "part": _packed(12, "<I", 1),
    "json-length": _packed(20, "<I", 0xFFFFFFFF),
    "planes-length": _packed(24, "<I", 0xFFFFFFFF),
    "short": lambda frame: frame[: HEADER.size - 1],
    "garbage": lambda frame: bytes(range(256)) * 4,
    "rows": _with(rows="sideways"),
    "size": _with(image_size=[7, 7]),
    "planes": _with(planes=[]),
    "count": _with(count=10_000),
    "labels": _with(labels=None),
    "modelless": _with(models=False),
    "black": _black,
    "failed": _failed,
}
"""What becomes of a frame, by the fault's name; "mute" sends none."""


class Mischief:
    """A behaviour, all of whose frames but those with models have one thing wrong.

    Args:
        inner: the behaviour.
        fault: a name of :data:`FAULTS`; "late" sends each frame once more before the next.
        after: so many frames are as they should be.
    """

    def __init__(self, inner: Behaviour, fault: str, after: int = 0) -> None:
        self._inner, self._change, self._left = inner, FAULTS.get(fault), after
        self._last = b""

    def hear(self, side_channel: bytes, reset: bool) -> None:
        """As it is."""
        self._inner.hear(side_channel, reset)

    def side_channel(self) -> bytes:
        """With the fault."""
        return b"".join(
            on_channel(frame, channel=channel)
            for channel, message in channel_messages(self._inner.side_channel())
            for frame in self._changed(bytes(message))
            if frame
        )

    def _changed(self, frame: bytes) -> tuple[bytes, ...]:
        if read_frame(frame, _LONGEST).kind is Kind.MESHES:  # only a player that starts sends those
            return (frame,)
        self._left -= 1
        if self._left >= 0:
            return (frame,)
        if self._change is not None:
            return (self._change(frame),)
        before, self._last = self._last, frame
        return before, frame

    def observations(self) -> Iterable[Mapping[str, Any]]:
        """As they are."""
        return self._inner.observations()
