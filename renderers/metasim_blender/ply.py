"""Reading and writing PLY files, the format of the models and of BOP datasets.

Layout: a header in ASCII that names elements ("vertex", "face", others) with their counts and
properties, then the rows of each element, as text or as bytes without padding. A property is
a number or a list, which is a count followed by as many numbers (Turk, 1994).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["PlyMesh", "decode_ply", "encode_ply", "read_ply", "write_ply"]

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_COLOURS = ("red", "green", "blue")
_UV = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))
_CORNERS = ("vertex_indices", "vertex_index")
_HEADER = 1 << 16  # bytes within which a header must end

Column = npt.NDArray[np.float64] | list[npt.NDArray[np.float64]]
"""The values of a property: (rows,), or of a list one array a row."""


@dataclass(frozen=True)
class PlyMesh:
    """A surface of triangles.

    Attributes:
        vertices: float32 (V, 3), in the file's unit (BOP: millimetres).
        faces: int32 (F, 3), counter-clockwise from outside.
        colours: uint8 (V, 3), sRGB; None where the file has none.
        uv: float32 (F, 3, 2), the place in the texture of each face's corners, (0, 0) at its
            lower left; None where the file has none.
        texture: the name of the texture's file, as the file tells it; empty where it does not.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    colours: npt.NDArray[np.uint8] | None = None
    uv: npt.NDArray[np.float32] | None = None
    texture: str = ""


# --- writing ------------------------------------------------------------------------------


def write_ply(path: Path, mesh: PlyMesh, comments: Sequence[str] = ()) -> None:
    """Write a mesh as binary, little endian; see :func:`encode_ply`."""
    path.write_bytes(encode_ply(mesh, comments))


def encode_ply(mesh: PlyMesh, comments: Sequence[str] = ()) -> bytes:
    """The bytes of a PLY file; equal meshes give equal bytes.

    Args:
        mesh: what to write.
        comments: lines for the header, in ASCII.
    """
    vertex = [(axis, "<f4") for axis in "xyz"]
    face = [("count", "u1"), ("corners", "<i4", 3)]
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in comments)]
    if mesh.texture:
        lines.append(f"comment TextureFile {mesh.texture}")
    lines += [f"element vertex {len(mesh.vertices)}", *(f"property float {a}" for a in "xyz")]
    if mesh.colours is not None:
        vertex += [(name, "u1") for name in _COLOURS]
        lines += [f"property uchar {name}" for name in _COLOURS]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    if mesh.uv is not None:
        face += [("places", "u1"), ("uv", "<f4", 6)]
        lines.append("property list uchar float texcoord")
    vertices = np.zeros(len(mesh.vertices), vertex)
    for i, axis in enumerate("xyz"):
        vertices[axis] = mesh.vertices[:, i]
    for i, name in enumerate(_COLOURS if mesh.colours is not None else ()):
        vertices[name] = mesh.colours[:, i]
    faces = np.zeros(len(mesh.faces), face)
    faces["count"], faces["corners"] = 3, mesh.faces
    if mesh.uv is not None:
        faces["places"], faces["uv"] = 6, mesh.uv.reshape(-1, 6)
    header = "\n".join([*lines, "end_header\n"])
    return header.encode("ascii") + vertices.tobytes() + faces.tobytes()


# --- reading ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Property:
    name: str
    type: str
    counted_by: str = ""  # the type of a list's count; empty for a number


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property]


def read_ply(path: Path) -> PlyMesh:
    """The mesh that a PLY file holds, ASCII or binary; polygons become triangles.

    Polygons are cut into fans about their first corner, which is right for convex ones.
    Elements and properties that a mesh has no use for are passed over.

    Raises:
        DataError: when the file cannot be read, is not PLY, is truncated or too long, or what
            it holds is no mesh.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the PLY file {path}: {error}") from error
    return decode_ply(data, str(path))


def decode_ply(data: bytes, name: str = "the PLY file") -> PlyMesh:
    """As :func:`read_ply`, from bytes.

    Args:
        data: what a file holds.
        name: what errors call it.

    Raises:
        DataError: as :func:`read_ply`.
    """
    lines, start = _header_lines(data, name)
    form, elements, texture = _header(lines, name)
    body: _Body = _Text(data[start:], name) if form == "ascii" else _Bytes(data, start, form)
    found = {element.name: _columns(body, element, name) for element in elements}
    if rest := body.left():
        raise DataError(
            f"{name} must end with the last row that its header declares, got {rest} more; "
            "write it again (was it copied as text?)"
        )
    return _mesh(found, texture, name)


def _header_lines(data: bytes, name: str) -> tuple[list[str], int]:
    """The lines before ``end_header``, and where the rows begin."""
    if data[:3] != b"ply" or data[3:4] not in (b"\n", b"\r"):
        raise DataError(f"{name} must be a PLY file, which begins with 'ply', got {data[:8]!r}")
    end = data.find(b"end_header", 0, _HEADER)
    if end < 0:
        raise DataError(f"{name} must have a header that ends with 'end_header'; is it complete?")
    start = end + len(b"end_header")
    start += 2 if data[start : start + 2] == b"\r\n" else 1
    return data[:end].decode("ascii", "replace").splitlines(), start


def _header(lines: Sequence[str], name: str) -> tuple[str, list[_Element], str]:
    """The format, the elements and the texture's file."""
    form, texture = "", ""
    elements: list[_Element] = []
    for line in lines[1:]:
        match line.split():
            case [
                "format",
                ("ascii" | "binary_little_endian" | "binary_big_endian") as form,
                "1.0",
            ]:
                pass
            case ["comment", "TextureFile", *_]:
                texture = line.split(maxsplit=2)[2] if len(line.split()) > 2 else ""
            case ["comment" | "obj_info", *_] | []:
                pass
            case ["element", kind, count] if count.isdecimal():
                elements.append(_Element(kind, int(count), []))
            case ["property", "list", counted, type_, what] if elements and {counted, type_} <= set(
                _TYPES
            ):
                elements[-1].properties.append(_Property(what, type_, counted))
            case ["property", type_, what] if elements and type_ in _TYPES:
                elements[-1].properties.append(_Property(what, type_))
            case _:
                raise DataError(f"{name} has a header line that is not understood: {line!r}")
    if not form:
        raise DataError(f"{name} must name its format in the header; is it complete?")
    return form, elements, texture


# --- rows ---------------------------------------------------------------------------------


class _Body(Protocol):
    """What comes after the header, read from front to back."""

    at: int

    def take(self, types: Sequence[str], rows: int) -> list[npt.NDArray[np.float64]] | None:
        """The next ``rows`` rows of numbers of these types by column; None if too few are left."""
        ...

    def left(self) -> str:
        """How much is left, empty where nothing is."""
        ...


class _Bytes:
    def __init__(self, data: bytes, start: int, form: str) -> None:
        self._data, self.at, self._order = data, start, _ORDERS[form]

    def take(self, types: Sequence[str], rows: int) -> list[npt.NDArray[np.float64]] | None:
        row = np.dtype([(str(i), self._order + _TYPES[name]) for i, name in enumerate(types)])
        if not rows * row.itemsize:
            return [np.zeros(rows) for _ in types]
        if rows * row.itemsize > len(self._data) - self.at:
            return None
        table = np.frombuffer(self._data, row, rows, self.at)
        self.at += rows * row.itemsize
        return [table[str(i)].astype(np.float64) for i in range(len(types))]

    def left(self) -> str:
        rest = len(self._data) - self.at
        return f"{rest} bytes" if rest > 0 else ""


class _Text:
    def __init__(self, data: bytes, name: str) -> None:
        try:
            self._numbers = np.array(data.split(), np.bytes_).astype(np.float64)
        except ValueError as error:
            raise DataError(f"{name} must hold numbers after its header: {error}") from error
        self.at = 0

    def take(self, types: Sequence[str], rows: int) -> list[npt.NDArray[np.float64]] | None:
        count = rows * len(types)
        if count > len(self._numbers) - self.at:
            return None
        table = self._numbers[self.at : self.at + count].reshape(rows, len(types))
        self.at += count
        return list(table.T)

    def left(self) -> str:
        rest = len(self._numbers) - self.at
        return f"{rest} numbers" if rest > 0 else ""


def _columns(body: _Body, element: _Element, name: str) -> dict[str, Column]:
    """The rows of an element by property."""
    lengths = _lengths(body, element) if element.count else [1] * len(element.properties)
    start = body.at
    columns = _even(body, element, lengths) if lengths is not None else None
    if columns is None:  # lists of several lengths, or too few rows
        body.at = start
        columns = _uneven(body, element, name)
    return columns


def _lengths(body: _Body, element: _Element) -> list[int] | None:
    """How many numbers each property has in the next row, which is not consumed."""
    start, lengths = body.at, []
    for one in element.properties:
        length = _length(body, one)
        if length is None or body.take([one.type] * length, 1) is None:
            return None
        lengths.append(length)
    body.at = start
    return lengths


def _length(body: _Body, one: _Property) -> int | None:
    if not one.counted_by:
        return 1
    counted = body.take([one.counted_by], 1)
    return None if counted is None else max(int(counted[0][0]), 0)


def _even(body: _Body, element: _Element, lengths: list[int]) -> dict[str, Column] | None:
    """All rows at once, where the lists of all of them are as long as the first row's."""
    types: list[str] = []
    for one, length in zip(element.properties, lengths, strict=True):
        types += [one.counted_by] * bool(one.counted_by) + [one.type] * length
    table = body.take(types, element.count)
    if table is None:
        return None
    columns: dict[str, Column] = {}
    rest = iter(table)
    for one, length in zip(element.properties, lengths, strict=True):
        if not one.counted_by:
            columns[one.name] = next(rest)
            continue
        if (next(rest) != length).any():
            return None
        inside = [next(rest) for _ in range(length)]
        columns[one.name] = (
            list(np.column_stack(inside)) if inside else [np.empty(0)] * element.count
        )
    return columns


def _uneven(body: _Body, element: _Element, name: str) -> dict[str, Column]:
    """Row by row."""
    values: dict[str, list[npt.NDArray[np.float64]]] = {one.name: [] for one in element.properties}
    for row in range(element.count):
        for one in element.properties:
            length = _length(body, one)
            found = None if length is None else body.take([one.type] * length, 1)
            if found is None:
                raise DataError(
                    f"{name} must have {element.count} rows of the element {element.name!r} as "
                    f"its header says, got {row}; it is truncated: write or fetch it again"
                )
            values[one.name].append(np.asarray([column[0] for column in found]))
    return {
        one.name: values[one.name]
        if one.counted_by
        else np.asarray([value[0] for value in values[one.name]])
        for one in element.properties
    }


# --- from rows to a mesh ------------------------------------------------------------------


def _mesh(found: Mapping[str, Mapping[str, Column]], texture: str, name: str) -> PlyMesh:
    vertex, face = found.get("vertex", {}), found.get("face", {})
    for axis in "xyz":
        if axis not in vertex:
            raise DataError(f"{name} must have vertices with x, y and z, {axis} is missing")
    vertices = np.column_stack([_numbers(vertex, axis, name) for axis in "xyz"])
    if not np.isfinite(vertices).all():
        raise DataError(f"{name} must have vertices of finite numbers, got infinity or nan")
    key = next((key for key in _CORNERS if key in face), None)
    if key is None or not len(face[key]):
        raise DataError(
            f"{name} must have faces ('property list uchar int vertex_indices'), got none; a cloud "
            "of points cannot be used: make a mesh of it"
        )
    polygons = face[key]
    faces, owner, corner = _triangles(polygons, len(vertices), name)
    return PlyMesh(
        vertices.astype(np.float32),
        faces,
        _colours(vertex, name),
        _uv(vertex, face, polygons, (faces, owner, corner), name),
        texture,
    )


def _numbers(columns: Mapping[str, Column], key: str, name: str) -> npt.NDArray[np.float64]:
    column = columns[key]
    if isinstance(column, list):
        raise DataError(f"{name} must have one number as {key!r} of each row, got a list")
    return column


def _triangles(
    polygons: Column, count: int, name: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Triangles (F, 3), the polygon (F,) each is of, and which of its corners (F, 3) it has."""
    if not isinstance(polygons, list):
        raise DataError(f"{name} must list the corners of each face, got one number")
    lengths = np.asarray([len(polygon) for polygon in polygons])
    if (lengths < 3).any():
        bad = int(np.argmax(lengths < 3))
        raise DataError(
            f"{name} must have faces of at least 3 corners, got {lengths[bad]} in face {bad}"
        )
    flat = np.concatenate(polygons)
    if not ((flat >= 0) & (flat < count)).all():
        bad = int(flat[np.argmax((flat < 0) | (flat >= count))])
        raise DataError(
            f"{name} must have corners from 0 to {count - 1}, the last vertex, got {bad}; it is "
            "damaged"
        )
    starts = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(polygons)), lengths - 2)
    second = (
        1 + np.arange(len(owner)) - np.repeat(np.cumsum(lengths - 2) - (lengths - 2), lengths - 2)
    )
    corner = np.column_stack([np.zeros_like(second), second, second + 1])
    return flat[starts[owner][:, None] + corner].astype(np.int32), owner, corner


def _colours(vertex: Mapping[str, Column], name: str) -> npt.NDArray[np.uint8] | None:
    if not all(key in vertex for key in _COLOURS):
        return None
    colours = np.column_stack([_numbers(vertex, key, name) for key in _COLOURS])
    if not ((colours >= 0) & (colours <= 255) & (colours == np.round(colours))).all():
        raise DataError(f"{name} must have colours that are whole numbers from 0 to 255 (uchar)")
    return colours.astype(np.uint8)


def _uv(
    vertex: Mapping[str, Column],
    face: Mapping[str, Column],
    polygons: Column,
    triangles: tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    name: str,
) -> npt.NDArray[np.float32] | None:
    """Places in the texture, told by each face's corners (``texcoord``) or by the vertices."""
    faces, owner, corner = triangles
    places = face.get("texcoord")
    if isinstance(places, list):
        lengths = np.asarray([len(place) for place in places])
        if (lengths != 2 * np.asarray([len(polygon) for polygon in polygons])).any():
            raise DataError(f"{name} must have two numbers in 'texcoord' for each face's corner")
        flat = np.concatenate(places).reshape(-1, 2)
        starts = (np.cumsum(lengths) - lengths) // 2
        return flat[starts[owner][:, None] + corner].astype(np.float32)
    for pair in _UV:
        if all(key in vertex for key in pair):
            uv = np.column_stack([_numbers(vertex, key, name) for key in pair])
            return uv[faces].astype(np.float32)
    return None
