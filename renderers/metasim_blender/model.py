"""A model: triangles with what their surfaces look like, in metres with z up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["Model", "Surface", "checked"]

Floats = npt.NDArray[np.float64]

_MOST_FACES = 5_000_000
_MOST_METRES = 1e4


@dataclass(frozen=True, slots=True)
class Surface:
    """What part of a model is made of.

    Attributes:
        colour: linear light from 0 to 1; multiplies the picture and the model's own colours.
        picture: a file with an image, or the bytes of one; None for none.
        roughness: from 0, a mirror, to 1.
        metallic: from 0 to 1.
    """

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
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
        uv: (F, 3, 2) of the corners, v upwards; None where there is none.
        colours: (F, 3, 3) of the corners, linear light; None for white.
        surfaces: at least one.
        surface_of: int32 (F,), places in ``surfaces``.
    """

    vertices: Floats
    faces: npt.NDArray[np.int32]
    normals: Floats | None = None
    uv: Floats | None = None
    colours: Floats | None = None
    surfaces: tuple[Surface, ...] = (Surface(),)
    surface_of: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


def checked(model: Model, where: str) -> Model:
    """The model, if it can be drawn.

    Args:
        model: as read.
        where: the file, for messages.

    Raises:
        DataError: naming what is wrong with it.
    """
    if not len(model.faces):
        raise DataError(f"{where} must hold a surface, and has no faces; export it as a mesh")
    if len(model.faces) > _MOST_FACES:
        raise DataError(
            f"{where} must have at most {_MOST_FACES} triangles, got {len(model.faces)}; "
            "decimate it first"
        )
    low, high = int(model.faces.min()), int(model.faces.max())
    if low < 0 or high >= len(model.vertices):
        raise DataError(
            f"{where}: faces must name vertices from 0 to {len(model.vertices) - 1}, got "
            f"{low if low < 0 else high}; is the file complete?"
        )
    used = model.vertices[model.faces.ravel()]
    if not np.isfinite(used).all():
        raise DataError(f"{where}: coordinates must be finite numbers, got NaN or infinity")
    extent = float(np.ptp(used, axis=0).max())
    if not 1e-6 <= extent <= _MOST_METRES:
        raise DataError(
            f"{where} must be from 0.001 mm to {_MOST_METRES:g} m in size, got {extent:g} m; "
            "give its unit: models: {name: {file: ..., unit: mm}}"
        )
    return model
