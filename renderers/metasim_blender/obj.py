"""Reading Wavefront OBJ files with the materials (MTL) and pictures that they name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.colour import linear
from metasim_blender.model import Floats, Model, Surface, beside
from metasim_blender.polygon import triangles

__all__ = ["read_obj"]

Whole = npt.NDArray[np.int64]

_NONE: Final = -1  # a corner without a picture's place or a normal
_MOST: Final = 2**31 - 1  # a model's faces are held as int32
_PASSED_OVER: Final = ("-blendu", "-blendv", "-cc", "-clamp", "-imfchan", "-texres", "-type", "-bm")


@dataclass(slots=True)
class _Lines:
    """What the lines of a file say; corners are (vertex, place in the picture, normal).

    Those of all polygons come one after another; each has a length and a material.
    """

    points: list[list[float]] = field(default_factory=list)
    places: list[list[float]] = field(default_factory=list)
    normals: list[list[float]] = field(default_factory=list)
    corners: list[tuple[int, int, int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    made_of: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    material: str = ""


def read_obj(path: Path) -> Model:
    """The model in an OBJ file, in the file's own unit and axes.

    Polygons are cut into triangles. Of a material its colour (``Kd``, linear light), picture
    (``map_Kd``), roughness (``Pr``) and metallic share (``Pm``) are used. Curves, lines and
    points are passed over. Colours of vertices (three numbers after the coordinates) are sRGB,
    and do not count where the material has a picture.

    Raises:
        DataError: when it cannot be read, or a line is wrong.
    """
    lines = _Lines()
    for number, text in enumerate(_text(path).splitlines(), start=1):
        try:
            _take(lines, _words(text))
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}:{number} is no line of an OBJ file: {text!r}") from error
    libraries = tuple(beside(path, name) for name in lines.libraries)
    model = _model(path, lines, _surfaces(path, libraries))
    return replace(model, libraries=libraries)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").replace("\\\n", " ")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _words(text: str) -> list[str]:
    """A line's words without its comment; names may have a ``#`` in them."""
    words = text.split()
    if "#" not in text or words[:1] in (["usemtl"], ["mtllib"]):
        return words
    return _bare(text).split()


def _bare(text: str) -> str:
    """Numbers without the comment that comes after them."""
    return text.split("#", 1)[0]


def _take(lines: _Lines, words: Sequence[str]) -> None:
    match words[:1]:
        case ["v"]:
            lines.points.append(_numbers(words[1:], (3, 4, 6, 7)))
        case ["vt"]:
            lines.places.append([float(words[1]), *map(float, words[2:3]), 0.0][:2])
        case ["vn"]:
            lines.normals.append(_numbers(words[1:], (3,)))
        case ["f"]:
            corners = [_corner(word, lines) for word in words[1:]]
            if len(corners) < 3:
                raise ValueError("a face has at least 3 corners")
            lines.corners += corners
            lines.lengths.append(len(corners))
            lines.made_of.append(lines.material)
        case ["usemtl"]:
            lines.material = " ".join(words[1:])
        case ["mtllib"]:
            lines.libraries.append(" ".join(words[1:]))


def _numbers(words: Sequence[str], lengths: Sequence[int]) -> list[float]:
    if len(words) not in lengths:
        raise ValueError(f"{len(words)} numbers")
    return [*map(float, words)]


def _corner(word: str, lines: _Lines) -> tuple[int, int, int]:
    """``vertex/place/normal``, the last two optional, counted from 1 or, below 0, backwards."""
    parts = [*word.split("/"), "", ""]
    point, place, normal = (
        _NONE if not part else _index(int(part), len(known))
        for part, known in zip(parts[:3], (lines.points, lines.places, lines.normals), strict=True)
    )
    if point == _NONE:
        raise ValueError("a corner has a vertex")
    return point, place, normal


def _index(written: int, count: int) -> int:
    index = written - 1 if written > 0 else count + written
    if written == 0 or not 0 <= index < _MOST:
        raise ValueError(f"there is no {written}")
    return index


def _surfaces(path: Path, libraries: Sequence[Path]) -> dict[str, Surface]:
    """The materials of the libraries, by name."""
    found: dict[str, Surface] = {}
    for library in libraries:
        for material, said in _materials(_text(library)):
            try:
                found[material] = _surface(said, library, path.parent)
            except (IndexError, ValueError) as error:
                raise DataError(
                    f"{library}: the material {material!r} is wrong: {error}"
                ) from error
    return found


def _materials(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each material's name and what is said of it, by keyword in lower case."""
    said: dict[str, str] | None = None
    name = ""
    for line in text.splitlines():
        keyword, rest = [*line.split(None, 1), "", ""][:2]
        if keyword == "newmtl":
            if said is not None:
                yield name, said
            name, said = " ".join(rest.split()), {}
        elif said is not None and keyword:
            said[keyword.lower()] = rest.strip()
    if said is not None:
        yield name, said


def _surface(said: dict[str, str], library: Path, folder: Path) -> Surface:
    # Beside a picture the colour is often left at some grey, which nobody means to multiply.
    red, green, blue = (1.0, 1.0, 1.0)
    picture = _picture(said["map_kd"]) if "map_kd" in said else ""
    if "kd" in said and not picture:
        red, green, blue = _numbers(_bare(said["kd"]).split(), (3,))
    return Surface(
        (red, green, blue),
        beside(library, picture, folder) if picture else None,
        float(_bare(said.get("pr", "0.6"))),
        float(_bare(said.get("pm", "0"))),
    )


def _picture(written: str) -> str:
    """The file's name of a ``map_Kd``, without its options."""
    written = written.replace("\\", "/")
    try:
        words = shlex.split(written)
    except ValueError:  # a quote that is part of the name
        words = written.split()
    while words and words[0] in (*_PASSED_OVER, "-o", "-s", "-t", "-mm"):
        option, words = words[0], words[1:]
        most = {"-mm": 2, "-o": 3, "-s": 3, "-t": 3}.get(option, 1)
        for _ in range(most):
            if words and (most == 1 or _is_number(words[0])):
                words = words[1:]
    return " ".join(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _model(path: Path, lines: _Lines, surfaces: dict[str, Surface]) -> Model:
    places = {name: place for place, name in enumerate(dict.fromkeys(lines.made_of))}
    for name in places:
        if name and lines.libraries and name not in surfaces:
            raise DataError(f"{path} uses the material {name!r}, which none of its libraries has")
    own = tuple(surfaces.get(name, Surface()) for name in places) or (Surface(),)
    points = np.array([p[:3] for p in lines.points], np.float64).reshape(-1, 3)
    corners, lengths = _corners(path, lines), np.array(lines.lengths, np.int64)
    cut = corners[triangles(points, corners[:, 0], lengths)]
    surface_of = np.repeat([places[name] for name in lines.made_of], lengths - 2).astype(np.int32)
    faces = cut[..., 0].astype(np.int32)
    pictured = np.array([surface.picture is not None for surface in own])[surface_of]
    return Model(
        points,
        faces,
        _normals(lines, cut[..., 2]),
        _uv(lines, cut[..., 1]),
        _colours(lines, faces, pictured),
        own,
        surface_of,
    )


def _corners(path: Path, lines: _Lines) -> Whole:
    """(C, 3): the corners of all polygons, which name what the file has."""
    corners = np.array(lines.corners, np.int64).reshape(-1, 3)
    for what, known, indices in (
        ("vertex", lines.points, corners[:, 0]),
        ("place in the picture", lines.places, corners[:, 1]),
        ("normal", lines.normals, corners[:, 2]),
    ):
        if indices.size and indices.max() >= len(known):
            raise DataError(
                f"{path} has {len(known)} of a {what}, and a face names number "
                f"{indices.max() + 1}; is the file complete?"
            )
    return corners


def _normals(lines: _Lines, indices: Whole) -> Floats | None:
    """(F, 3, 3) of the corners; None where some corner has none."""
    if not indices.size or indices.min() < 0:
        return None
    return np.array(lines.normals, np.float64).reshape(-1, 3)[indices]


def _uv(lines: _Lines, indices: Whole) -> Floats | None:
    """(F, 3, 2) of the corners, NaN at those without a place; None where all are."""
    if not (indices >= 0).any():
        return None
    said = np.array(lines.places, np.float64)
    said[np.isnan(said)] = np.inf  # of the file's own making: refused, where NaN means no place
    return np.concatenate([said, [[np.nan, np.nan]]])[indices]  # the last is _NONE


def _colours(
    lines: _Lines, faces: npt.NDArray[np.int32], pictured: npt.NDArray[np.bool_]
) -> Floats | None:
    """(F, 3, 3) of the corners, white in faces with a picture; None where a vertex has none."""
    if not lines.points or any(len(point) < 6 for point in lines.points):
        return None
    colours = linear(np.clip([point[-3:] for point in lines.points], 0, 1))[faces]
    colours[pictured] = 1.0
    return colours
