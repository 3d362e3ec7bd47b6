"""Reading binary glTF 2.0 (GLB): the scene's triangles, put where its nodes say.

Layout: a header, a chunk of JSON, a chunk of bytes in which "buffer views" and "accessors" of
the JSON find the arrays (Khronos, glTF 2.0 specification).
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.model import MOST_FACES, Floats, Model, Surface, beside

__all__ = ["read_glb"]

_TYPES: Final = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", 5126: "f4"}
_WIDTHS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_JSON, _BYTES = 0x4E4F534A, 0x004E4942
_MOVED: Final = "KHR_texture_transform"
_UNDERSTOOD: Final = frozenset({"KHR_mesh_quantization", "KHR_materials_unlit", _MOVED})


class _Unfit(Exception):
    """Why a file cannot be used."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Triangles of one material: positions (V, 3), faces (F, 3), and more of the vertices."""

    points: Floats
    faces: npt.NDArray[np.int64]
    normals: Floats | None
    uv: Floats | None
    colours: Floats | None
    surface: Surface


def read_glb(path: Path) -> Model:
    """The model in a GLB file, in metres and with y up, as the format has it.

    Of materials the base colour, its picture, roughness and metallic share are used. Lights,
    cameras, animations and morphs are passed over; skins stay as they were bound. What a node
    squeezes to a line or a point, the usual way to hide it, is left out.

    Raises:
        DataError: when it cannot be read, is not GLB, or needs an extension.
    """
    try:
        return _joined(list(_Glb(path).parts()))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except _Unfit as error:
        raise DataError(f"{path} {error}") from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(
            f"{path} must be a GLB file that keeps to glTF 2.0, and is damaged: {error!r}"
        ) from error


def _joined(parts: Sequence[_Part]) -> Model:
    if not parts:
        raise _Unfit("must hold triangles, and has none; export a mesh")
    starts = np.cumsum([0, *(len(part.points) for part in parts)]).tolist()
    places: dict[Surface, int] = {}
    made_of = [
        np.full(len(part.faces), places.setdefault(part.surface, len(places))) for part in parts
    ]
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    whole = all(part.normals is not None for part in parts)
    return Model(
        np.concatenate([part.points for part in parts]),
        np.concatenate(faces).astype(np.int32),
        _corners(parts, [part.normals for part in parts], (0.0, 0.0, 0.0)) if whole else None,
        _corners(parts, [part.uv for part in parts], (np.nan, np.nan)),
        _corners(parts, [part.colours for part in parts], (1.0, 1.0, 1.0)),
        tuple(places),
        np.concatenate(made_of).astype(np.int32),
    )


def _corners(
    parts: Sequence[_Part], values: Sequence[Floats | None], missing: Sequence[float]
) -> Floats | None:
    """(F, 3, n) of the vertices' values, ``missing`` where a part has none; None if all do."""
    if all(each is None for each in values):
        return None
    corners: Floats = np.concatenate(
        [
            np.broadcast_to(missing, (len(part.faces), 3, len(missing)))
            if each is None
            else each[part.faces]
            for part, each in zip(parts, values, strict=True)
        ]
    )
    return corners


class _Glb:
    """An open file."""

    def __init__(self, path: Path) -> None:
        data = memoryview(path.read_bytes())
        if bytes(data[:4]) != b"glTF" or len(data) < 20:
            raise _Unfit("must be a binary glTF (GLB) file, and does not begin as one")
        (version,) = struct.unpack_from("<I", data, 4)
        if version != 2:
            raise _Unfit(f"must be of glTF version 2, got {version}; export it again")
        chunks = dict(_chunks(data))
        if _JSON not in chunks:
            raise _Unfit("must have a chunk of JSON; is it complete?")
        self.json: dict[str, Any] = json.loads(bytes(chunks[_JSON]))
        self.bytes, self.path = chunks.get(_BYTES, memoryview(b"")), path
        self._surfaces: dict[int | None, Surface] = {}
        self._pictures: dict[int, bytes | Path] = {}
        needed = sorted(set(self.json.get("extensionsRequired", ())) - _UNDERSTOOD)
        if needed:
            raise _Unfit(
                f"needs the extensions {', '.join(needed)}, which are not supported; export it "
                "without compression"
            )

    def parts(self) -> Iterator[_Part]:
        """All triangles of the scene, in the scene's frame."""
        scenes = self.json.get("scenes", [])
        if scenes:
            roots = scenes[self.json.get("scene", 0)].get("nodes", [])
        else:
            nodes = self.json.get("nodes", [])
            roots = sorted(
                set(range(len(nodes))) - {c for n in nodes for c in n.get("children", ())}
            )
        count = 0
        for mesh, matrix in self._meshes(roots):
            for primitive in self.json["meshes"][mesh]["primitives"]:
                part = self._part(primitive, matrix)
                if part is None:
                    continue
                count += len(part.faces)
                if count > MOST_FACES:  # before they are all held: nodes may share a mesh
                    raise _Unfit(f"must have at most {MOST_FACES} triangles; decimate it first")
                yield part

    def _meshes(self, roots: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The mesh of each node, with the (4, 4) matrix that puts it into the scene's frame."""
        waiting, seen = [(root, np.eye(4)) for root in reversed(roots)], set()
        while waiting:
            index, above = waiting.pop()
            if index in seen:
                raise _Unfit(
                    f"must have a tree of nodes, and node {index} is below two or below itself; "
                    "export it again"
                )
            seen.add(index)
            node = self.json["nodes"][index]
            matrix = above @ _matrix(node)
            if not np.isfinite(matrix).all():
                raise _Unfit("must put its nodes by finite numbers, and has NaN or infinity")
            if "mesh" in node and np.linalg.matrix_rank(matrix[:3, :3]) > 1:
                yield node["mesh"], matrix
            waiting += [(child, matrix) for child in reversed(node.get("children", ()))]

    def _part(self, primitive: Mapping[str, Any], matrix: Floats) -> _Part | None:
        """A primitive's triangles; None where it is of points or lines."""
        mode = primitive.get("mode", 4)
        if mode not in (4, 5, 6):
            return None
        attributes = primitive["attributes"]
        points = self._array(attributes["POSITION"])
        order = (
            self._array(primitive["indices"])[:, 0].astype(np.int64)
            if "indices" in primitive
            else np.arange(len(points))
        )
        if order.size and not 0 <= order.min() <= order.max() < len(points):
            raise _Unfit(f"has faces that name vertices beyond the last, {len(points) - 1}")
        faces = _faces(order, mode)
        linear_part = matrix[:3, :3]
        if np.linalg.det(linear_part) < 0:
            faces = faces[:, ::-1]
        colours = self._optional(attributes, "COLOR_0")
        return _Part(
            points @ linear_part.T + matrix[:3, 3],
            faces,
            _turned(self._optional(attributes, "NORMAL"), linear_part),
            self._places(attributes, self._texture(primitive.get("material"))),
            None if colours is None else np.clip(colours[:, :3], 0, 1),
            self._surface(primitive.get("material")),
        )

    def _places(self, attributes: Mapping[str, int], texture: Mapping[str, Any]) -> Floats | None:
        """(V, 2): where the vertices are in the picture, v upwards."""
        moved = texture.get("extensions", {}).get(_MOVED, {})
        channel = moved.get("texCoord", texture.get("texCoord", 0))
        uv = self._optional(attributes, f"TEXCOORD_{channel}")
        if uv is None:
            return None
        if not np.isfinite(uv).all():
            raise _Unfit("must have finite places in pictures, and has NaN or infinity")
        # The extension's listing turns the other way than its words, its example and other
        # programs (KhronosGroup/glTF, issue 1563).
        angle = moved.get("rotation", 0.0)
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = (uv * np.array(moved.get("scale", (1, 1)), np.float64)).T
        places: Floats = np.stack([cos * u + sin * v, cos * v - sin * u], axis=1)
        places += np.array(moved.get("offset", (0, 0)), np.float64)
        return places * (1, -1) + (0, 1)  # glTF counts v downwards

    def _optional(self, attributes: Mapping[str, int], name: str) -> Floats | None:
        return self._array(attributes[name]) if name in attributes else None

    def _array(self, index: int) -> Floats:
        """(count, width) numbers of an accessor."""
        accessor = self.json["accessors"][index]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise _Unfit("has sparse arrays, which are not supported; export it without")
        kind, width = np.dtype("<" + _TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        view = self.json["bufferViews"][accessor["bufferView"]]
        data, start = self._view(accessor["bufferView"]), accessor.get("byteOffset", 0)
        count, row = accessor["count"], width * kind.itemsize
        stride = view.get("byteStride", row)
        end = start + (count - 1) * stride + row if count else start
        if count < 0 or start < 0 or stride < row or len(data) < end:
            raise _Unfit("must hold the arrays that it declares, and ends before; is it complete?")
        table: npt.NDArray[Any] = np.ndarray(
            (count, width), kind, data, start, (stride, kind.itemsize)
        )
        numbers = table.astype(np.float64)
        if accessor.get("normalized"):
            numbers = np.maximum(numbers / np.iinfo(kind).max, -1)
        return numbers

    def _view(self, index: int) -> memoryview:
        view = self.json["bufferViews"][index]
        if view["buffer"] != 0 or "uri" in self.json["buffers"][0]:
            raise _Unfit("must hold all of its data, and names other files; export it as one GLB")
        start = view.get("byteOffset", 0)
        if start < 0 or view["byteLength"] < 0 or start + view["byteLength"] > len(self.bytes):
            raise _Unfit("must hold the data that it declares, and ends before; is it complete?")
        return self.bytes[start : start + view["byteLength"]]

    def _about(self, material: int | None) -> Mapping[str, Any]:
        said = {} if material is None else self.json["materials"][material]
        about: Mapping[str, Any] = said.get("pbrMetallicRoughness", {})
        return about

    def _texture(self, material: int | None) -> Mapping[str, Any]:
        """What is said of the picture of a material's base colour, {} where it has none."""
        texture: Mapping[str, Any] = self._about(material).get("baseColorTexture") or {}
        return texture

    def _surface(self, material: int | None) -> Surface:
        if material not in self._surfaces:
            about, texture = self._about(material), self._texture(material)
            red, green, blue, *_ = about.get("baseColorFactor", (1.0, 1.0, 1.0, 1.0))
            # Where a picture says what is metal and how rough it is, the factors do not.
            plain = material is None or "metallicRoughnessTexture" in about
            self._surfaces[material] = Surface(
                (float(red), float(green), float(blue)),
                self._picture(texture["index"]) if texture else None,
                0.6 if plain else float(about.get("roughnessFactor", 1.0)),
                0.0 if plain else float(about.get("metallicFactor", 1.0)),
            )
        return self._surfaces[material]

    def _picture(self, texture: int) -> bytes | Path:
        source = self.json["textures"][texture]["source"]
        if source not in self._pictures:
            self._pictures[source] = self._image(self.json["images"][source])
        return self._pictures[source]

    def _image(self, image: Mapping[str, Any]) -> bytes | Path:
        if "bufferView" in image:
            return bytes(self._view(image["bufferView"]))
        head, comma, rest = image["uri"].partition(",")
        if comma and head.startswith("data:"):
            return base64.b64decode(rest)
        return beside(self.path, unquote(image["uri"]))


def _turned(normals: Floats | None, linear_part: Floats) -> Floats | None:
    """The normals of what a matrix (3, 3) turned; None where it made it flat, too."""
    if normals is None or np.linalg.matrix_rank(linear_part) < 3:
        return None
    turned: Floats = normals @ np.linalg.inv(linear_part)
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return turned


def _chunks(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(kind, bytes) of each chunk; of a kind that comes twice the first."""
    at, seen = 12, set()
    while at + 8 <= len(data):
        length, kind = struct.unpack_from("<II", data, at)
        if at + 8 + length > len(data):
            raise _Unfit("must hold the chunks that it declares, and ends before; is it complete?")
        if kind not in seen:
            yield kind, data[at + 8 : at + 8 + length]
        seen.add(kind)
        at += 8 + length


def _matrix(node: Mapping[str, Any]) -> Floats:
    """(4, 4): where a node puts what is below it."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _faces(order: npt.NDArray[np.int64], mode: int) -> npt.NDArray[np.int64]:
    """(F, 3) of a list (4), a strip (5) or a fan (6) of triangles."""
    if mode == 4:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if len(order) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == 6:
        return np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
    strip: npt.NDArray[np.int64] = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip
