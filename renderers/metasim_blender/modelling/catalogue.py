"""All models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metasim_blender.modelling.household import boot, hammer, lamp
from metasim_blender.modelling.kitchen import mug, teapot, watering_can
from metasim_blender.modelling.toys import car, dinosaur, duck, plane
from metasim_blender.ply import PlyMesh

__all__ = ["MODELS"]

MODELS: Mapping[str, Callable[[], PlyMesh]] = {
    "boot": boot,
    "car": car,
    "dinosaur": dinosaur,
    "duck": duck,
    "hammer": hammer,
    "lamp": lamp,
    "mug": mug,
    "plane": plane,
    "teapot": teapot,
    "watering_can": watering_can,
}
