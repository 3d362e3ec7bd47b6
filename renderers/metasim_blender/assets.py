"""The models and pictures that a renderer is given: which there are, and reading models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from metasim.errors import DataError, PluginError, did_you_mean
from metasim_blender.colour import linear
from metasim_blender.glb import read_glb
from metasim_blender.model import Model, Surface, beside, checked
from metasim_blender.obj import read_obj
from metasim_blender.ply import read_ply
from metasim_blender.textures import TEXTURES
from metasim_blender.vocabulary import PLAIN

__all__ = [
    "BUILT_IN",
    "MODELS",
    "ModelFile",
    "files_beside",
    "find_textures",
    "load_models",
    "model_names",
]

ModelFile = (
    Literal["builtin"]
    | Path
    | Mapping[Literal["file", "unit", "up"], Path | Literal["m", "cm", "mm", "y", "z"]]
)
"""What the option ``models`` says of one model."""

BUILT_IN: Final = "builtin"
"""What an option says for a model that comes with this package."""

MODELS: Final = Path(__file__).parent / "models"
"""The folder of the models that come with this package."""

_UNITS: Final = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def _from_ply(path: Path) -> Model:
    """The model in a PLY file; a picture goes without the vertices' colours, as in BOP's tools."""
    mesh = read_ply(path)
    picture = beside(path, mesh.texture) if mesh.texture else None
    if picture is not None and mesh.uv is None:
        raise DataError(
            f"{path} names the picture {mesh.texture}, and must say where it goes: texture_u and "
            "texture_v of its vertices, or texcoord of its faces"
        )
    colours = None if picture is not None else mesh.colours
    return Model(
        mesh.vertices.astype(np.float64),
        mesh.faces,
        None,
        None if mesh.uv is None else mesh.uv.astype(np.float64),
        None if colours is None else linear(colours / 255)[mesh.faces],
        (Surface(picture=picture),),
        np.zeros(len(mesh.faces), np.int32),
    )


# By the file's ending: what reads it, its unit and its upward axis.
_READERS: Final[Mapping[str, tuple[Callable[[Path], Model], str, str]]] = {
    ".ply": (_from_ply, "mm", "z"),
    ".obj": (read_obj, "m", "y"),
    ".glb": (read_glb, "m", "y"),
}


def model_names() -> tuple[str, ...]:
    """The models that come with this package."""
    return tuple(path.stem for path in sorted(MODELS.glob("*.ply")))


def load_models(said: str | Mapping[str, Any]) -> dict[str, Model]:
    """The models of the option ``models``, by name.

    Args:
        said: "builtin" for all that come with this package; or name -> "builtin", a file, or
            {file, unit, up}.

    Raises:
        PluginError: when the option is not of this form.
        DataError: when a file cannot be used.
    """
    if said == BUILT_IN:
        return {name: _read(MODELS / f"{name}.ply") for name in model_names()}
    if not isinstance(said, Mapping) or not said:
        raise PluginError(
            f"models must be {BUILT_IN!r}, or name: file for each model, got {said!r}"
        )
    return {str(name): _load(str(name), what) for name, what in said.items()}


def files_beside(said: str | Mapping[str, Any]) -> tuple[Path, ...]:
    """The files that models of the option ``models`` name: their materials and pictures.

    Raises:
        PluginError: as :func:`load_models`.
        DataError: as :func:`load_models`.
    """
    models = {} if said == BUILT_IN else load_models(said)
    return tuple(dict.fromkeys(file for model in models.values() for file in model.beside))


def _load(name: str, said: Any) -> Model:
    if said == BUILT_IN:
        if name not in model_names():
            raise PluginError(
                f"there is no model {name!r} in this package; {did_you_mean(name, model_names())}"
            )
        return _read(MODELS / f"{name}.ply")
    about = dict(said) if isinstance(said, Mapping) else {"file": said}
    file, unit, up = (about.pop(key, None) for key in ("file", "unit", "up"))
    if about or not isinstance(file, (str, Path)):
        raise PluginError(
            f"the model {name!r} must be {BUILT_IN!r}, a file, or {{file: ..., unit: m, up: z}}, "
            f"got {said!r}"
        )
    if unit not in (None, *_UNITS) or up not in (None, "y", "z"):
        raise PluginError(
            f"the model {name!r} must have a unit of {', '.join(_UNITS)} and up of y or z, got "
            f"{said!r}"
        )
    return _read(Path(file), unit, up)


def _read(path: Path, unit: str | None = None, up: str | None = None) -> Model:
    """The model in a file, in metres, z up."""
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise DataError(
            f"a model must be a file ending in {', '.join(_READERS)}, got {path}; export it as "
            "one of these"
        )
    if not path.is_file():
        raise DataError(f"a model must be a file that is there; {path} is not")
    read, usual_unit, usual_up = _READERS[ending]
    with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity are told of
        try:
            model = read(path)
        except (ArithmeticError, IndexError, RecursionError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is damaged: {error!r}; write or fetch it again, or export it anew"
            ) from error
        model = checked(model, str(path), _UNITS[unit or usual_unit])
    return _z_up(model) if (up or usual_up) == "y" else model


def _z_up(model: Model) -> Model:
    """Turned about x, so that what was y is z."""
    turn = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    normals = None if model.normals is None else model.normals @ turn.T
    return replace(model, vertices=model.vertices @ turn.T, normals=normals)


def find_textures(said: Mapping[str, Any]) -> dict[str, Path]:
    """The pictures of the option ``textures``, by name.

    Raises:
        PluginError: when the option is not of the form name -> file.
        DataError: when a file is not there.
    """
    if not isinstance(said, Mapping):
        raise PluginError(f"textures must be name: file for each picture, got {said!r}")
    found = {}
    for name, file in said.items():
        if not isinstance(file, (str, Path)):
            raise PluginError(f"the texture {name!r} must be a file, got {file!r}")
        if str(name) in (PLAIN, *TEXTURES):
            raise PluginError(f"the texture {name!r} must have a name of its own: there is one")
        if not Path(file).is_file():
            raise DataError(f"the texture {name!r} must be a file that is there; {file} is not")
        found[str(name)] = Path(file)
    return found
