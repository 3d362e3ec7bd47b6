from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import metasim_unity
from metasim_unity.frames import (
    CHANNEL,
    Frame,
    Kind,
    ProtocolError,
    channel_messages,
    on_channel,
    read_frame,
    written,
)
from metasim_unity.messages import Configure, Failure, Hello, Images, Meshes, Models, Render
from metasim_unity.peer.vectors import vectors, write

VECTORS = Path(metasim_unity.__file__).with_name("vectors")
LONG = 1 << 20
MODELS = {
    Kind.CONFIGURE: Configure,
    Kind.HELLO: Hello,
    Kind.RENDER: Render,
    Kind.IMAGES: Images,
    Kind.ERROR: Failure,
    Kind.MODELS: Models,
    Kind.MESHES: Meshes,
}

numbers = st.integers(0, 2**32 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    kind=st.sampled_from(Kind),
    request=numbers,
    told=st.dictionaries(st.text(), values, max_size=4),
    planes=st.binary(max_size=64),
    part=st.integers(0, 9),
)
def test_a_frame_is_read_as_it_was_written(
    kind: Kind, request: int, told: dict[str, Any], planes: bytes, part: int
) -> None:
    frame = Frame(kind, request, written(told), planes, part, 10)
    read = read_frame(frame.to_bytes(), LONG)
    assert replace(read, planes=bytes(read.planes)) == frame
    assert json.loads(read.text) == told


@given(st.binary(max_size=200))
def test_whatever_bytes_are_they_are_a_frame_or_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_frame(data, LONG)  # no random bytes begin with the magic


@given(data=st.data())
def test_a_damaged_frame_is_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(
        Frame(Kind.IMAGES, 3, '{"count": 1, "a": [1, "é"]}'.encode(), b"12345678").to_bytes()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for one in (bytes(good), bytes(good[:cut])):
        with suppress(ProtocolError):
            assert read_frame(one, LONG).told(Images).count >= 0


@given(st.lists(st.tuples(st.uuids(), st.binary(max_size=40)), max_size=4), st.binary(max_size=10))
def test_side_channels_are_read_as_written(messages: list[tuple[UUID, bytes]], more: bytes) -> None:
    data = b"".join(on_channel(message, channel=channel) for channel, message in messages)
    assert [(c, bytes(m)) for c, m in channel_messages(data)] == messages
    if more:  # too short for one more
        with pytest.raises(ProtocolError, match="must begin with 20 bytes"):
            list(channel_messages(data + more))


@given(st.binary(max_size=100))
def test_whatever_a_side_channel_holds_it_is_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        assert sum(20 + len(message) for _, message in channel_messages(data)) == len(data)


def test_a_length_below_nothing_is_refused() -> None:
    data = CHANNEL.bytes_le + (-1).to_bytes(4, "little", signed=True) + b"abc"
    with pytest.raises(ProtocolError, match="got -1"):
        list(channel_messages(data))


def test_json_that_is_too_long_is_refused_unread() -> None:
    frame = Frame(Kind.ERROR, 1, b" " * 100)
    with pytest.raises(ProtocolError, match="at most 50 bytes"):
        read_frame(frame.to_bytes(), 50)


def test_numbers_that_json_lacks_are_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written({"x": float("nan")})
    assert written({"x": "NaN"}) == b'{"x":"NaN"}'


def test_the_vectors_that_are_kept_are_those_that_are_made(tmp_path: Path) -> None:
    write(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name: path.read_bytes() for path in VECTORS.iterdir()} == made


def understood(data: bytes) -> Frame:
    frame = read_frame(data, LONG)
    frame.told(MODELS[frame.kind])
    return frame


@pytest.mark.parametrize(
    "entry", json.loads((VECTORS / "index.json").read_text()), ids=lambda e: e["file"]
)
def test_vectors_are_read_or_refused(entry: dict[str, Any]) -> None:
    data = (VECTORS / entry["file"]).read_bytes()
    if "refused" in entry:
        with pytest.raises(ProtocolError):
            understood(data)
        return
    frame, told = understood(data), entry["frame"]
    assert [frame.kind, frame.request, frame.part, frame.parts] == [
        told[key] for key in ("kind", "request", "part", "parts")
    ]
    assert json.loads(frame.text) == told["json"]
    assert bytes(frame.planes).hex() == told["planes"]


def test_every_kind_has_a_vector() -> None:
    assert {vector.frame.kind for vector in vectors() if vector.frame} == {*Kind}
