"""The models that a renderer draws: which there are, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from metasim.errors import DataError
from metasim_blender.colour import linear
from metasim_blender.model import Model, Surface, checked
from metasim_blender.ply import read_ply

__all__ = ["MODELS", "built_in", "load_model"]

MODELS: Final = Path(__file__).parent / "models"
"""The folder of the models that come with this package."""


def _from_ply(path: Path) -> Model:
    mesh = read_ply(path)
    picture = path.parent / mesh.texture if mesh.texture else None
    if picture is not None and mesh.uv is None:
        raise DataError(
            f"{path} names the picture {mesh.texture}, and must say where it goes: texture_u and "
            "texture_v of its vertices, or texcoord of its faces"
        )
    return Model(
        mesh.vertices.astype(np.float64),
        mesh.faces,
        None,
        None if mesh.uv is None else mesh.uv.astype(np.float64),
        None if mesh.colours is None else linear(mesh.colours / 255)[mesh.faces],
        (Surface(picture=picture),),
        np.zeros(len(mesh.faces), np.int32),
    )


_READERS: Final[Mapping[str, tuple[Callable[[Path], Model], float, str]]] = {
    ".ply": (_from_ply, 0.001, "z"),
}


def built_in() -> dict[str, Path]:
    """The models that come with this package, by name."""
    return {path.stem: path for path in sorted(MODELS.glob("*.ply"))}


def load_model(path: Path) -> Model:
    """The model in a file, in metres, z up.

    Raises:
        DataError: when it cannot be used.
    """
    if path.suffix.lower() not in _READERS:
        raise DataError(
            f"a model must be a file ending in {', '.join(_READERS)}, got {path.name!r}; "
            "export it as one of these"
        )
    read, metres, _up = _READERS[path.suffix.lower()]
    model = read(path)
    model = replace(model, vertices=np.ascontiguousarray(model.vertices * metres))
    return checked(model, str(path))
