"""Frames that every implementation of the protocol must read alike, or refuse.

python -m metasim_unity.peer.vectors renderers/metasim_unity/vectors
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera, Mesh, Pose
from metasim_unity.frames import HEADER, Frame, Kind, written
from metasim_unity.models import meshes_frames
from metasim_unity.peer.bridged import images_frame

__all__ = ["Vector", "vectors", "write"]

_PLANES = ("images", "instances", "depth", "normals")
_QUARTER = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Vector:
    """A frame's bytes.

    Attributes:
        name: of its file, without the ending.
        about: what it shows, for people.
        data: the bytes.
        frame: what they say; None where they must be refused.
        refused: why they must be.
    """

    name: str
    about: str
    data: bytes
    frame: Frame | None = None
    refused: str = ""

    def entry(self) -> dict[str, Any]:
        """What the index says of it."""
        told: dict[str, Any] = {"file": f"{self.name}.bin", "about": self.about}
        if self.frame is None:
            return {**told, "refused": self.refused}
        frame = self.frame
        about = {
            "kind": int(frame.kind),
            "request": frame.request,
            "part": frame.part,
            "parts": frame.parts,
            "json": json.loads(frame.text),
            "planes": bytes(frame.planes).hex(),
        }
        return {**told, "frame": about}


def _good(name: str, about: str, frame: Frame) -> Vector:
    return Vector(name, about, frame.to_bytes(), frame)


def vectors() -> Iterator[Vector]:
    """All of them."""
    yield from _requests()
    yield from _answers()
    yield from _malformed()


def _requests() -> Iterator[Vector]:
    asked = {"protocols": [1], "image_size": [2, 3], "planes": [*_PLANES]}
    yield _good("configure", "what Python asks first", Frame(Kind.CONFIGURE, 1, written(asked)))
    nodes: list[dict[str, Any]] = [
        {"name": "scene", "kind": "scene", "parent": -1, "attributes": {}},
        {
            "name": 'a "car" \\ é 車 🚗',
            "kind": "object",
            "parent": 0,
            "attributes": {"class": "car", "x": -0.125, "yaw": 359.99999999999994, "y": 1e-7},
        },
    ]
    scenes = [{"seed": 0, "nodes": nodes[:1]}, {"seed": 2**63 - 1, "nodes": nodes}]
    yield _good(
        "render",
        "two scenes, all sorts of text and numbers",
        Frame(Kind.RENDER, 4294967295, written({"scenes": scenes})),
    )
    node = '{"attributes":{},"kind":"scene","name":"\\u0073cene","parent":-1}'
    told = f'{{ "scenes" : [ {{ "nodes":[{node}],"seed":0 }} ] }}\n'
    yield _good(
        "render-spaced",
        "JSON with white space, escapes, and keys in another order",
        Frame(Kind.RENDER, 2, told.encode()),
    )


def _answers() -> Iterator[Vector]:
    hello = {
        "protocol": 1,
        "player": "a player",
        "image_size": [2, 3],
        "planes": [*_PLANES],
        "cameras": True,
        "rows": "bottom-up",
        "kinds": {"scene": [], "object": ["class", "x", "y", "yaw"]},
        "categories": {"object": ["car", "mug"]},
        "request_bytes": 4000000,
    }
    yield _good("hello", "what a player says of itself", Frame(Kind.HELLO, 1, written(hello)))
    frame = images_frame(_pictures(), 7, _PLANES, flipped=True)
    yield _good("images", "two images of 2 x 3 pixels with all planes, rows from the bottom", frame)
    plain = images_frame(_pictures()[:1], 7, _PLANES[:2], flipped=False, place=(0, 0, 2))
    yield _good("images-part", "the first of two frames, planes that end unaligned", plain)
    yield _good("models", "what models there are is asked", Frame(Kind.MODELS, 2, b"{}"))
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1.5, 0]], np.float32)
    triangle = Mesh(corners, np.array([[0, 1, 2]], np.int32))
    for place, told in enumerate(meshes_frames({"car": triangle, "a mug": triangle}, 2)):
        yield _good(f"meshes-{place}", "a model, in metres, with padding", told)
    (nothing,) = meshes_frames({}, 2)
    yield _good("meshes-none", "the answer of who has no models", nothing)
    error = {"code": "scene", "message": "no kind is 'cat'; there are object, table", "scene": 1}
    yield _good("error", "a scene that cannot be built", Frame(Kind.ERROR, 7, written(error)))


def _pictures() -> Rendered:
    numbers = np.arange(2 * 2 * 3)
    images = np.stack([numbers, numbers + 100, 255 - numbers], -1).astype(np.uint8)
    ids = np.zeros((2, 2, 3), np.int32)
    ids[0, 0, 1:] = 1
    ids[1, 1, 0] = 65535
    depth = np.where(ids > 0, 1.5, 0).astype(np.float32)
    normals = np.zeros((2, 2, 3, 3), np.float32)
    normals[ids > 0] = (0, 0, -1)
    pose = Pose(_QUARTER, (0.25, -0.5, 1.5), 2.0)
    first = Label(1, 1, "car", "object", "car", (1, 0, 3, 1), 0.25, (-1, -2, 3, 1), pose)
    second = Label(65535, 1, "car", "object", "mug", (0, 1, 1, 2), 1.0, (0, 1, 1, 2))
    camera = Camera(3.5, 3.5, 1.5, 1.0, Pose(_QUARTER, (0.0, 0.0, 1.6)))
    return Rendered(
        images.reshape(2, 2, 3, 3), ids, ((first,), (second,)), depth, normals, (camera, camera)
    )


def _malformed() -> Iterator[Vector]:
    good = Frame(Kind.ERROR, 7, b'{"code":"failed"}').to_bytes()

    def changed(at: int, code: str, value: Any) -> bytes:
        told = bytearray(good)
        struct.pack_into(code, told, at, value)
        return bytes(told)

    def with_text(text: bytes) -> bytes:
        return HEADER.pack(b"MSIM", 1, 5, 7, 0, 1, len(text), 0) + text

    yield Vector("bad-empty", "no bytes at all", b"", refused="shorter than a header")
    yield Vector(
        "bad-short", "a header without its last byte", good[:27], refused="shorter than a header"
    )
    yield Vector("bad-magic", "another magic", changed(0, "4s", b"MSIN"), refused="magic")
    yield Vector("bad-version", "version 2", changed(4, "<H", 2), refused="version")
    yield Vector("bad-kind", "kind 8", changed(6, "<H", 8), refused="kind")
    yield Vector("bad-kind-zero", "kind 0", changed(6, "<H", 0), refused="kind")
    yield Vector("bad-part", "part 1 of 1", changed(12, "<I", 1), refused="part")
    yield Vector("bad-parts", "part 0 of 0", changed(16, "<I", 0), refused="part")
    yield Vector("bad-json-length", "4 GiB of JSON", changed(20, "<I", 2**32 - 1), refused="length")
    yield Vector(
        "bad-planes-length", "4 GiB of planes", changed(24, "<I", 2**32 - 1), refused="length"
    )
    yield Vector("bad-longer", "a byte too many", good + b"\0", refused="length")
    yield Vector("bad-shorter", "a byte too few", good[:-1], refused="length")
    for name, about, text in (
        ("array", "JSON that is no object", b"[]"),
        ("cut", "JSON that is cut off", b'{"a": '),
        ("twice", "two objects", b"{}{}"),
        ("no-text", "no JSON", b""),
        ("utf8", "JSON that is no UTF-8", b'{"a": "\xff"}'),
        ("nan", "a number that is none", b'{"scene": NaN}'),
        ("infinity", "a number that is not finite", b'{"scene": -Infinity}'),
        ("large", "a number too large for double precision", b'{"scene": 1e999}'),
        ("long", "another, written out", b'{"scene": 1' + b"0" * 400 + b".5}"),
        ("very-deep", "2,000 levels", b'{"a":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
        ("mark", "a byte order mark", b"\xef\xbb\xbf{}"),
    ):
        yield Vector(f"bad-json-{name}", about, with_text(text), refused="JSON")
    deep = b'{"a":' + b"[" * 31 + b"]" * 31 + b"}"
    yield _good("deep", "32 levels", Frame(Kind.ERROR, 7, deep))


def write(folder: Path) -> None:
    """Write the files and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(vectors())
    for vector in found:
        (folder / f"{vector.name}.bin").write_bytes(vector.data)
    index = [vector.entry() for vector in found]
    (folder / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
