"""Frames of metasim's protocol for Unity players (PROTOCOL.md, section 2), written and read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

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
    "written",
]

CHANNEL: Final = UUID("5d3c1f6e-2b84-4a97-8f0e-61b7d0c5a9e2")
"""The ML-Agents side channel that frames go through."""

VERSION: Final = 1
HEADER: Final = struct.Struct("<4sHHIIIII")

_MAGIC: Final = b"MSIM"
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
    MODELS = 6
    MESHES = 7


Told = TypeVar("Told", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        kind: what it is.
        request: id of the request that it makes or answers.
        text: its JSON.
        planes: its binary part.
        part: its place among the frames of an answer.
        parts: how many those are.
    """

    kind: Kind
    request: int
    text: bytes
    planes: bytes | memoryview = b""
    part: int = 0
    parts: int = 1

    def to_bytes(self) -> bytes:
        """The frame as it is sent."""
        numbers = self.kind, self.request, self.part, self.parts
        sizes = len(self.text), len(self.planes)
        return b"".join([HEADER.pack(_MAGIC, VERSION, *numbers, *sizes), self.text, self.planes])

    def told(self, model: type[Told]) -> Told:
        """What its JSON says.

        Args:
            model: of :mod:`metasim_unity.messages`.

        Raises:
            ProtocolError: when it is no JSON, or says what the protocol does not.
        """
        try:
            return model.model_validate_json(self.text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, (self.kind.name, *first["loc"])))
            raise ProtocolError(f"{where}: {first['msg']}, got {first['input']!r:.200}") from None


def written(values: Mapping[str, Any]) -> bytes:
    """JSON for a frame.

    Raises:
        ValueError: when a number is not finite.
    """
    text = to_json(values)
    if b"NaN" in text or b"Infinity" in text:
        json.dumps(values, allow_nan=False)  # refuses what is a number, and no text
    return text


def read_frame(data: bytes | memoryview, longest_json: int) -> Frame:
    """The frame that some bytes are; its JSON is not looked at yet.

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
    return Frame(Kind(kind), request, bytes(view[HEADER.size : end]), view[end:], part, parts)


def on_channel(*messages: bytes, channel: UUID = CHANNEL) -> bytes:
    """Messages as ML-Agents' field ``side_channel`` holds them."""
    heads = (channel.bytes_le + _LENGTH.pack(len(message)) for message in messages)
    return b"".join(chain.from_iterable(zip(heads, messages, strict=True)))


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
