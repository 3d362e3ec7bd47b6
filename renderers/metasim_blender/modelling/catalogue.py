"""All models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metasim_blender.modelling.kitchen import mug, teapot, watering_can
from metasim_blender.modelling.toys import car
from metasim_blender.ply import PlyMesh

__all__ = ["MODELS"]

MODELS: Mapping[str, Callable[[], PlyMesh]] = {
    "car": car,
    "mug": mug,
    "teapot": teapot,
    "watering_can": watering_can,
}
