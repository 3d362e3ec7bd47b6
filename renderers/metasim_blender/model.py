"""A model: triangles with what their surfaces look like, in metres with z up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["MOST_FACES", "Floats", "Model", "Surface", "beside", "checked"]

Floats = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

MOST_FACES: Final = 5_000_000
"""How many triangles a model may have."""

_LEAST_METRES, _MOST_METRES = 1e-5, 1e4


@dataclass(frozen=True, slots=True)
class Surface:
    """What part of a model is made of.

    Attributes:
        colour: linear light from 0 to 1; multiplies the picture and the model's own colours.
        picture: a file with an image, or the bytes of one; None for none.
        roughness: from 0, a mirror, to 1.
        metallic: from 0 to 1.
    """

    colour: Colour = (1.0, 1.0, 1.0)
    picture: Path | bytes | None = None
    roughness: float = 0.6
    metallic: float = 0.0


@dataclass(frozen=True, slots=True)
class Model:
    """V vertices and F triangles.

    Attributes:
        vertices: (V, 3), metres.
        faces: int32 (F, 3), counter-clockwise from outside.
        normals: (F, 3, 3) of the corners; None to have them worked out.
        uv: (F, 3, 2) of the corners, v upwards, where a picture goes; NaN at corners that have
            no place in it, None where no corner has one. Of a model that is :func:`checked` a
            surface has places at all of its corners, or each of its faces lacks some and a
            picture goes without them.
        colours: (F, 3, 3) of the corners, linear light; None for white.
        surfaces: at least one.
        surface_of: int32 (F,), places in ``surfaces``.
        libraries: files that its surfaces were read from.
    """

    vertices: Floats
    faces: npt.NDArray[np.int32]
    normals: Floats | None = None
    uv: Floats | None = None
    colours: Floats | None = None
    surfaces: tuple[Surface, ...] = (Surface(),)
    surface_of: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    libraries: tuple[Path, ...] = ()

    @property
    def beside(self) -> tuple[Path, ...]:
        """The files that were read beside its own: libraries, and pictures of surfaces."""
        pictures = [each.picture for each in self.surfaces if isinstance(each.picture, Path)]
        return (*self.libraries, *dict.fromkeys(pictures))


def checked(model: Model, where: str, unit: float) -> Model:
    """The model in metres, if it can be drawn.

    Without vertices that no face has, and faces with a corner twice, which Blender cannot hold.

    Args:
        model: as read.
        where: the file, for messages.
        unit: of its coordinates, in metres.

    Raises:
        DataError: naming what is wrong with it.
    """
    a, b, c = model.faces.T
    model = _with_faces(model, (a != b) & (b != c) & (c != a))
    if not len(model.faces):
        raise DataError(f"{where} must hold a surface, and has no faces; export it as a mesh")
    if len(model.faces) > MOST_FACES:
        raise DataError(
            f"{where} must have at most {MOST_FACES} triangles, got {len(model.faces)}; "
            "decimate it first"
        )
    used, places = np.unique(model.faces, return_inverse=True)
    vertices = model.vertices[used] * unit
    uv = None if model.uv is None else model.uv[~np.isnan(model.uv).all(-1)]
    for given in (vertices, model.normals, uv, model.colours):
        if given is not None and not np.isfinite(given).all():
            raise DataError(
                f"{where}: coordinates, normals, colours and places in pictures must be finite "
                "numbers, got NaN or infinity"
            )
    surfaces = tuple(_within_bounds(surface, where) for surface in model.surfaces)
    extent = float(np.ptp(vertices, axis=0).max())
    if not _LEAST_METRES <= extent <= _MOST_METRES:
        raise DataError(
            f"{where} must be from {_LEAST_METRES:g} to {_MOST_METRES:g} m in size, got "
            f"{extent:g} m; say its unit: models: {{name: {{file: ..., unit: mm}}}}"
        )
    faces = places.reshape(-1, 3).astype(np.int32)
    return _parted(replace(model, vertices=vertices, faces=faces, surfaces=surfaces))


def _within_bounds(surface: Surface, where: str) -> Surface:
    """The surface with its numbers from 0 to 1."""
    numbers = (*surface.colour, surface.roughness, surface.metallic)
    if not np.isfinite(numbers).all():
        raise DataError(
            f"{where}: the colour, roughness and metallic share of a material must be finite "
            f"numbers, got {', '.join(f'{number:g}' for number in numbers)}"
        )
    red, green, blue, roughness, metallic = np.clip(numbers, 0, 1).tolist()
    return replace(surface, colour=(red, green, blue), roughness=roughness, metallic=metallic)


def _parted(model: Model) -> Model:
    """The model, each surface that has places in a picture in some faces only made two."""
    if model.uv is None:
        return model
    bare = np.isnan(model.uv).any((1, 2))
    both = np.intersect1d(model.surface_of[bare], model.surface_of[~bare]).tolist()
    surface_of, surfaces = model.surface_of.copy(), list(model.surfaces)
    for place in both:
        surface_of[bare & (model.surface_of == place)] = len(surfaces)
        surfaces.append(model.surfaces[place])
    return replace(model, surfaces=tuple(surfaces), surface_of=surface_of)


def _with_faces(model: Model, kept: npt.NDArray[np.bool_]) -> Model:
    """The model with some of its faces."""
    if kept.all():
        return model

    def some(values: Floats | None) -> Floats | None:
        return None if values is None else values[kept]

    return replace(
        model,
        faces=model.faces[kept],
        normals=some(model.normals),
        uv=some(model.uv),
        colours=some(model.colours),
        surface_of=model.surface_of[kept],
    )


def beside(path: Path, name: str, within: Path | None = None) -> Path:
    """The file that a model's file names, which must be in the model's folder or below.

    Args:
        path: the file that names it, from whose folder the name leads.
        name: as it is written there.
        within: the model's folder; that of ``path`` where it is not given.

    Raises:
        DataError: when it is elsewhere or not there.
    """
    folder = path.parent if within is None else within
    file = path.parent / name.replace("\\", "/")
    try:
        there = file.resolve().is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, links in a ring, a NUL in it
        there = False
    if not there:
        where = "its folder" if folder == path.parent else f"the model's folder {folder}"
        raise DataError(
            f"{path} names the file {name!r}, which must be in {where} or below and is not; "
            "put it there, and mend the name"
        )
    return file
