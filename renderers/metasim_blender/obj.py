"""Reading Wavefront OBJ files with the materials (MTL) and pictures that they name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.colour import linear
from metasim_blender.model import Floats, Model, Surface, beside

__all__ = ["read_obj"]

_NONE: Final = -1  # a corner without a picture's place or a normal
_PASSED_OVER: Final = ("-blendu", "-blendv", "-cc", "-clamp", "-imfchan", "-texres", "-type", "-bm")


@dataclass(slots=True)
class _Lines:
    """What the lines of a file say; corners are (vertex, place in the picture, normal)."""

    points: list[list[float]] = field(default_factory=list)
    places: list[list[float]] = field(default_factory=list)
    normals: list[list[float]] = field(default_factory=list)
    triangles: list[tuple[tuple[int, int, int], ...]] = field(default_factory=list)
    made_of: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    material: str = ""


def read_obj(path: Path) -> Model:
    """The model in an OBJ file, in the file's own unit and axes.

    Polygons are cut into triangles. Of a material its colour (``Kd``, linear light), picture
    (``map_Kd``), roughness (``Pr``) and metallic share (``Pm``) are used. Curves, lines and
    points are passed over. Colours of vertices (three numbers after the coordinates) are sRGB.

    Raises:
        DataError: when it cannot be read, or a line is wrong.
    """
    lines = _Lines()
    for number, text in enumerate(_text(path).splitlines(), start=1):
        try:
            _take(lines, text.split("#", 1)[0].split())
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}:{number} is no line of an OBJ file: {text!r}") from error
    surfaces = _surfaces(path, lines.libraries)
    return _model(path, lines, surfaces)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _take(lines: _Lines, words: Sequence[str]) -> None:
    match words[:1]:
        case ["v"]:
            lines.points.append(_numbers(words[1:], (3, 4, 6, 7)))
        case ["vt"]:
            lines.places.append([*map(float, words[1:3]), 0.0][:2])
        case ["vn"]:
            lines.normals.append(_numbers(words[1:], (3,)))
        case ["f"]:
            corners = [_corner(word, lines) for word in words[1:]]
            if len(corners) < 3:
                raise ValueError("a face has at least 3 corners")
            lines.triangles += [(corners[0], *two) for two in pairwise(corners[1:])]
            lines.made_of += [lines.material] * (len(corners) - 2)
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
    if written == 0 or index < 0:
        raise ValueError(f"there is no {written}")
    return index


def _surfaces(path: Path, libraries: Sequence[str]) -> dict[str, Surface]:
    """The materials of the libraries, by name."""
    found: dict[str, Surface] = {}
    for name in libraries:
        library = beside(path, name)
        for material, said in _materials(_text(library)):
            try:
                found[material] = _surface(said, library)
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
        keyword, _, rest = line.split("#", 1)[0].strip().partition(" ")
        if keyword == "newmtl":
            if said is not None:
                yield name, said
            name, said = " ".join(rest.split()), {}
        elif said is not None and keyword:
            said[keyword.lower()] = rest.strip()
    if said is not None:
        yield name, said


def _surface(said: dict[str, str], library: Path) -> Surface:
    # Beside a picture the colour is often left at some grey, which nobody means to multiply.
    red, green, blue = (1.0, 1.0, 1.0)
    picture = _picture(said["map_kd"]) if "map_kd" in said else ""
    if "kd" in said and not picture:
        red, green, blue = _numbers(said["kd"].split(), (3,))
    return Surface(
        (red, green, blue),
        beside(library, picture) if picture else None,
        float(said.get("pr", 0.6)),
        float(said.get("pm", 0.0)),
    )


def _picture(written: str) -> str:
    """The file's name of a ``map_Kd``, without its options."""
    words = shlex.split(written.replace("\\", "/"))
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
    triangles = np.array(lines.triangles, np.int64).reshape(-1, 3, 3)
    named = list(dict.fromkeys(lines.made_of))
    for name in named:
        if name and lines.libraries and name not in surfaces:
            raise DataError(f"{path} uses the material {name!r}, which none of its libraries has")
    for what, known, indices in (
        ("vertex", lines.points, triangles[..., 0]),
        ("place in the picture", lines.places, triangles[..., 1]),
        ("normal", lines.normals, triangles[..., 2]),
    ):
        if indices.size and indices.max() >= len(known):
            raise DataError(
                f"{path} has {len(known)} of a {what}, and a face names number "
                f"{indices.max() + 1}; is the file complete?"
            )
    points = np.array([p[:3] for p in lines.points], np.float64).reshape(-1, 3)
    coloured = bool(lines.points) and all(len(p) >= 6 for p in lines.points)
    colours = linear(np.clip([p[-3:] for p in lines.points], 0, 1)) if coloured else None
    faces = triangles[..., 0].astype(np.int32)
    return Model(
        points,
        faces,
        _corners(lines.normals, triangles[..., 2], 3),
        _corners(lines.places, triangles[..., 1], 2),
        None if colours is None else colours[faces],
        tuple(surfaces.get(name, Surface()) for name in named) or (Surface(),),
        np.array([named.index(name) for name in lines.made_of], np.int32),
    )


def _corners(
    values: Sequence[Sequence[float]], indices: npt.NDArray[np.int64], width: int
) -> Floats | None:
    """(F, 3, width) values of the corners; None where some corner has none."""
    if not indices.size or indices.min() < 0:
        return None
    return np.array(values, np.float64).reshape(-1, width)[indices]
