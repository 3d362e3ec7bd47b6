"""Meshes in PLY files, the format of the models and of BOP datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.plytable import Column, read_table
from metasim_blender.polygon import triangles

__all__ = ["PlyMesh", "decode_ply", "encode_ply", "read_ply", "write_ply"]

_COLOURS = ("red", "green", "blue")
_UV = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))
_CORNERS = ("vertex_indices", "vertex_index")


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
    """Write a mesh as binary, little endian; see :func:`encode_ply`.

    Raises:
        OSError: when it cannot be written.
    """
    path.write_bytes(encode_ply(mesh, comments))


def encode_ply(mesh: PlyMesh, comments: Sequence[str] = ()) -> bytes:
    """The bytes of a PLY file; equal meshes give equal bytes.

    Args:
        mesh: what to write.
        comments: lines for the header.
    """
    vertex: list[tuple[str, str]] = [(axis, "<f4") for axis in "xyz"]
    face: list[tuple[str, str, tuple[int, ...]]] = [("count", "u1", ()), ("corners", "<i4", (3,))]
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in comments)]
    if mesh.texture:
        lines.append(f"comment TextureFile {mesh.texture}")
    lines += [f"element vertex {len(mesh.vertices)}", *(f"property float {a}" for a in "xyz")]
    if mesh.colours is not None:
        vertex += [(name, "u1") for name in _COLOURS]
        lines += [f"property uchar {name}" for name in _COLOURS]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    if mesh.uv is not None:
        face += [("places", "u1", ()), ("uv", "<f4", (6,))]
        lines.append("property list uchar float texcoord")
    vertices = np.zeros(len(mesh.vertices), vertex)
    for i, axis in enumerate("xyz"):
        vertices[axis] = mesh.vertices[:, i]
    if mesh.colours is not None:
        for i, name in enumerate(_COLOURS):
            vertices[name] = mesh.colours[:, i]
    faces = np.zeros(len(mesh.faces), face)
    faces["count"], faces["corners"] = 3, mesh.faces
    if mesh.uv is not None:
        faces["places"], faces["uv"] = 6, mesh.uv.reshape(-1, 6)
    header = "\n".join([*lines, "end_header\n"])
    return header.encode() + vertices.tobytes() + faces.tobytes()


# --- reading ------------------------------------------------------------------------------


def read_ply(path: Path) -> PlyMesh:
    """The mesh that a PLY file holds, ASCII or binary; polygons become triangles.

    Polygons may be concave (:mod:`metasim_blender.polygon`). Elements and properties that a
    mesh has no use for are passed over. The texture's name is not looked at: whoever opens it
    keeps it within the file's folder.

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
    table = read_table(data, name)
    vertex, face = (table.elements.get(element, {}) for element in ("vertex", "face"))
    for axis in "xyz":
        if axis not in vertex:
            raise DataError(f"{name} must have vertices with x, y and z, {axis} is missing")
    with np.errstate(over="ignore"):  # beyond float32: told of below
        vertices = np.column_stack([_numbers(vertex, a, name) for a in "xyz"]).astype(np.float32)
    if not np.isfinite(vertices).all():
        raise DataError(f"{name} must have vertices of finite numbers, got infinity or nan")
    cut = _triangulated(face, vertices, name)
    return PlyMesh(
        vertices,
        cut.corners,
        _colours(vertex, name),
        _uv(vertex, face, cut, name),
        table.texture,
    )


@dataclass(frozen=True)
class _Triangles:
    """Polygons as triangles.

    Attributes:
        corners: (F, 3), vertices.
        places: (F, 3), the same among the corners of all polygons one after another.
        lengths: (P,), corners of each polygon.
    """

    corners: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def _triangulated(
    face: Mapping[str, Column], vertices: npt.NDArray[np.float32], name: str
) -> _Triangles:
    polygons = next((face[key] for key in _CORNERS if key in face), None)
    if not isinstance(polygons, list) or not polygons:
        raise DataError(
            f"{name} must have faces ('property list uchar int vertex_indices'), got none; "
            "a cloud of points cannot be used: make a mesh of it"
        )
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
    if (lengths < 3).any():
        bad = int(np.argmax(lengths < 3))
        raise DataError(
            f"{name} must have faces of at least 3 corners, got {lengths[bad]} in face {bad}"
        )
    corners, count = np.concatenate(polygons), len(vertices)
    wrong = ~((corners >= 0) & (corners < count) & (corners == np.floor(corners)))
    if wrong.any():
        raise DataError(
            f"{name} must have faces of vertices from 0 to {count - 1}, got "
            f"{corners[np.argmax(wrong)]:g}; it is damaged: write or fetch it again"
        )
    places = triangles(vertices.astype(np.float64), corners.astype(np.int64), lengths)
    return _Triangles(corners[places].astype(np.int32), places, lengths)


def _numbers(columns: Mapping[str, Column], key: str, name: str) -> npt.NDArray[np.float64]:
    column = columns[key]
    if isinstance(column, list):
        raise DataError(f"{name} must have one number as {key!r} of each row, got a list")
    return column


def _colours(vertex: Mapping[str, Column], name: str) -> npt.NDArray[np.uint8] | None:
    if not all(key in vertex for key in _COLOURS):
        return None
    colours = np.column_stack([_numbers(vertex, key, name) for key in _COLOURS])
    wrong = ~((colours >= 0) & (colours <= 255) & (colours == np.floor(colours)))
    if wrong.any():
        raise DataError(
            f"{name} must have colours that are whole numbers from 0 to 255 (uchar), got "
            f"{colours[wrong][0]:g}"
        )
    return colours.astype(np.uint8)


def _uv(
    vertex: Mapping[str, Column], face: Mapping[str, Column], cut: _Triangles, name: str
) -> npt.NDArray[np.float32] | None:
    """Places in the texture, told by each face's corners (``texcoord``) or by the vertices."""
    uv: npt.NDArray[np.float64] | None = None
    if isinstance(listed := face.get("texcoord"), list):
        if any(len(row) != 2 * n for row, n in zip(listed, cut.lengths, strict=True)):
            raise DataError(f"{name} must have two numbers in 'texcoord' for each face's corner")
        uv = np.concatenate(listed).reshape(-1, 2)[cut.places]
    else:
        pair = next((pair for pair in _UV if all(key in vertex for key in pair)), None)
        if pair is not None:
            uv = np.column_stack([_numbers(vertex, key, name) for key in pair])[cut.corners]
    if uv is None:
        return None
    if not np.isfinite(uv).all():
        raise DataError(f"{name} must have finite places in the texture, got infinity or nan")
    return uv.astype(np.float32)
