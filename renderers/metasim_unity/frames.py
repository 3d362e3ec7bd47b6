"""Frames of metasim's protocol for Unity players (PROTOCOL.md, section 2), written and read."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

import numpy as np

__all__ = [
    "CHANNEL",
    "HEADER",
    "VERSION",
    "Frame",
    "Kind",
    "ProtocolError",
    "channel_messages",
    "on_channel",
    "read_frame",
]

CHANNEL: Final = UUID("5d3c1f6e-2b84-4a97-8f0e-61b7d0c5a9e2")
"""The ML-Agents side channel that frames go through."""

VERSION: Final = 1
HEADER: Final = struct.Struct("<4sHHIIIII")

_MAGIC: Final = b"MSIM"
_DIGITS: Final = 300  # of a number that is surely finite
_DEPTH: Final = 32  # of nested JSON
_LENGTH: Final = struct.Struct("<i")
_ID: Final = 16  # bytes of a channel's id


class ProtocolError(ValueError):
    """Bytes that are not what the protocol says; the message tells what must hold."""


class Kind(IntEnum):
    """What a frame is."""

    CONFIGURE = 1
    HELLO = 2
    RENDER = 3
    IMAGES = 4
    ERROR = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        kind: what it is.
        request: id of the request that it makes or answers.
        values: its JSON.
        planes: its binary part.
        part: its place among the frames of an answer.
        parts: how many those are.
    """

    kind: Kind
    request: int
    values: Mapping[str, Any]
    planes: bytes | memoryview = b""
    part: int = 0
    parts: int = 1

    def to_bytes(self) -> bytes:
        """The frame as it is sent.

        Raises:
            ValueError: when a number is not finite.
        """
        text = json.dumps(self.values, allow_nan=False, separators=(",", ":")).encode()
        sizes = len(text), len(self.planes)
        numbers = self.kind, self.request, self.part, self.parts
        return HEADER.pack(_MAGIC, VERSION, *numbers, *sizes) + text + self.planes


def read_frame(data: bytes | memoryview, longest_json: int) -> Frame:
    """The frame that some bytes are.

    Args:
        data: the bytes; the frame's planes are a view of them.
        longest_json: how many bytes its JSON may have.

    Raises:
        ProtocolError: when they are no frame of this version.
    """
    view = memoryview(data)
    if len(view) < HEADER.size:
        raise ProtocolError(f"a frame must have {HEADER.size} bytes or more, got {len(view)}")
    magic, version, kind, request, part, parts, text, planes = HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise ProtocolError(f"a frame must begin with {_MAGIC!r}, got {magic!r}")
    if version != VERSION:
        raise ProtocolError(f"a frame must be of version {VERSION}, got {version}")
    if kind not in set(Kind):
        raise ProtocolError(f"a frame must be of the kinds {[*map(int, Kind)]}, got {kind}")
    if len(view) != HEADER.size + text + planes:
        raise ProtocolError(
            f"a frame of {text} bytes of JSON and {planes} of planes must have "
            f"{HEADER.size + text + planes} bytes, got {len(view)}"
        )
    if not part < parts:
        raise ProtocolError(f"a frame's part must be below {parts}, its parts, got {part}")
    if text > longest_json:
        raise ProtocolError(f"a frame's JSON must have at most {longest_json} bytes, got {text}")
    end = HEADER.size + text
    values = _read_json(bytes(view[HEADER.size : end]))
    return Frame(Kind(kind), request, values, view[end:], part, parts)


def _read_json(text: bytes) -> dict[str, Any]:
    try:
        told = text.decode()
        if _deepest(text) > _DEPTH:  # which counts what strings hold, too
            _refuse_nesting(told)
        parse = _finite if _may_be_too_large(text) else None  # which takes its time
        values = json.loads(told, parse_float=parse, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame's JSON must be valid UTF-8 and JSON, but {error}") from None
    if not isinstance(values, dict):
        raise ProtocolError(f"a frame's JSON must be an object, got {type(values).__name__}")
    return values


def _deepest(text: bytes) -> int:
    """How deep JSON is nested at most."""
    letters = np.frombuffer(text, np.uint8) | 0x20  # "[" and "{" differ by that bit, as do "]", "}"
    steps = (letters == ord("{")).astype(np.int8) - (letters == ord("}"))
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def _refuse_nesting(told: str) -> None:
    """Refuse what is nested too deep, before anything recurses into it."""
    depth, inside, escaped = 0, False, False
    for letter in told:
        if inside:
            inside = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            if depth > _DEPTH:
                raise ValueError(f"it is nested more than {_DEPTH} deep")
        elif letter in "]}":
            depth -= 1


def _may_be_too_large(text: bytes) -> bool:
    """Whether JSON has what looks like a long number, or one with a long exponent."""
    letters = np.frombuffer(text, np.uint8)
    digits = letters - np.uint8(ord("0")) < 10
    marks = np.flatnonzero(digits[:-1] & ((letters[1:] | 0x20) == ord("e")))
    gaps = np.diff(np.flatnonzero(~digits), prepend=-1, append=len(text))
    exponents = (text[mark + 2 : mark + 6].lstrip(b"+") for mark in marks.tolist())
    return bool(gaps.max() > _DIGITS) or any(told[:3].isdigit() for told in exponents)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is too large")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def on_channel(message: bytes, channel: UUID = CHANNEL) -> bytes:
    """A message as ML-Agents' field ``side_channel`` holds it."""
    return channel.bytes_le + _LENGTH.pack(len(message)) + message


def channel_messages(data: bytes | memoryview) -> Iterator[tuple[UUID, memoryview]]:
    """The messages in a field ``side_channel``, with their channels, as views.

    Raises:
        ProtocolError: when they do not fit into one another.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        start = at + _ID + _LENGTH.size
        if start > len(view):
            raise ProtocolError("a side channel's message must begin with 20 bytes")
        (length,) = _LENGTH.unpack_from(view, at + _ID)
        if not 0 <= length <= len(view) - start:
            raise ProtocolError(
                f"a side channel's message must have the length that it says, got {length} of "
                f"{len(view) - start} bytes that are left"
            )
        yield UUID(bytes_le=bytes(view[at : at + _ID])), view[start : start + length]
        at = start + length
