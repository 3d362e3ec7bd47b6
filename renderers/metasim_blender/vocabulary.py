"""What a scene may say, with defaults and limits, and reading it.

Lengths are in metres, angles in degrees, colours from 0 to 1 in sRGB. The table's top is z = 0
and its middle the origin; from the default camera x is to the right, y away and z up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from metasim.errors import DataError, did_you_mean
from metasim.scene.graph import Node, Scene, Value

__all__ = [
    "KINDS",
    "PLAIN",
    "Colour",
    "Ground",
    "Layout",
    "Light",
    "Placed",
    "Table",
    "View",
    "mixed",
    "read_scene",
]

PLAIN: Final = "plain"
"""The texture of what has none."""

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ground:
    """What is behind everything: a colour or a picture, and light from everywhere."""

    colour: Colour
    image: str
    ambient: float


@dataclass(frozen=True, slots=True)
class Table:
    """A slab whose top is z = 0; none where a side is 0."""

    width: float
    depth: float
    colour: Colour
    texture: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An object; ``node`` is its place in ``Scene.nodes``, ``model`` the name of its model."""

    node: int
    model: str
    x: float
    y: float
    z: float
    yaw: float
    roll: float
    pitch: float
    scale: float
    colour: Colour
    texture: str


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp: where its light comes from, and how it is."""

    azimuth: float
    elevation: float
    strength: float
    size: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class View:
    """A camera: from where it looks at (x, y, z), and how wide."""

    distance: float
    azimuth: float
    elevation: float
    fov: float
    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is drawn of a scene."""

    seed: int
    ground: Ground
    table: Table
    view: View
    lights: tuple[Light, ...]
    objects: tuple[Placed, ...]


_COLOUR = ("red", "green", "blue")
_ANYWHERE = (-1000.0, 1000.0)
_SHARE = (0.0, 1.0)
_TURN = (-36000.0, 36000.0)

# kind -> attribute -> (default, least, most)
_NUMBERS: Final[Mapping[str, Mapping[str, tuple[float, float, float]]]] = {
    "scene": {
        "red": (0.32, *_SHARE),
        "green": (0.36, *_SHARE),
        "blue": (0.40, *_SHARE),
        "ambient": (0.35, 0.0, 100.0),
    },
    "table": {
        "width": (1.0, 0.0, 100.0),
        "depth": (1.0, 0.0, 100.0),
        "red": (0.78, *_SHARE),
        "green": (0.74, *_SHARE),
        "blue": (0.68, *_SHARE),
    },
    "object": {
        "x": (0.0, *_ANYWHERE),
        "y": (0.0, *_ANYWHERE),
        "z": (0.0, *_ANYWHERE),
        "yaw": (0.0, *_TURN),
        "roll": (0.0, *_TURN),
        "pitch": (0.0, *_TURN),
        "scale": (1.0, 0.001, 1000.0),
        "red": (1.0, *_SHARE),
        "green": (1.0, *_SHARE),
        "blue": (1.0, *_SHARE),
    },
    "light": {
        "azimuth": (315.0, *_TURN),
        "elevation": (50.0, -90.0, 90.0),
        "strength": (1.0, 0.0, 1000.0),
        "size": (1.0, 0.0, 120.0),
        "red": (1.0, *_SHARE),
        "green": (1.0, *_SHARE),
        "blue": (1.0, *_SHARE),
    },
    "camera": {
        "distance": (1.6, 0.01, 100.0),
        "azimuth": (0.0, *_TURN),
        "elevation": (45.0, -90.0, 90.0),
        "fov": (40.0, 1.0, 170.0),
        "x": (0.0, *_ANYWHERE),
        "y": (0.0, *_ANYWHERE),
        "z": (0.05, *_ANYWHERE),
    },
}
_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "scene": frozenset({"image"}),
    "table": frozenset({"texture"}),
    "object": frozenset({"class", "texture"}),
}

KINDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: frozenset(known) | _NAMES.get(kind, frozenset()) for kind, known in _NUMBERS.items()}
)
"""Node kinds and the attributes of each."""

_ONCE = ("scene", "table", "camera")


def read_scene(scene: Scene, models: Sequence[str], textures: Sequence[str]) -> Layout:
    """What a scene says, with defaults for what it does not.

    A table, a light or a camera that a scene lacks is there with its defaults. An object
    without ``class`` gets one that follows from the scene's seed and the node's place.

    Args:
        scene: positions are in the table's frame, whatever the tree.
        models: names of the models.
        textures: names of the textures.

    Raises:
        DataError: naming what cannot be drawn.
    """
    once: dict[str, Node] = {}
    lights, objects = [], []
    for index, node in enumerate(scene.nodes):
        if node.kind == "object":
            objects.append(_placed(scene, index, node, models, textures))
        elif node.kind == "light":
            lights.append(_light(node.attributes))
        elif node.kind in _ONCE:
            _first(once, node)
        else:
            raise DataError(
                f"this renderer draws nodes of kind {', '.join(KINDS)}, got {node.kind!r} (node "
                f"{node.name!r}); use another renderer or kind"
            )
    said = {kind: once[kind].attributes if kind in once else {} for kind in _ONCE}
    return Layout(
        scene.seed,
        _ground(said["scene"], textures),
        _table(said["table"], textures),
        View(**_numbers("camera", said["camera"])),
        tuple(lights) or (_light({}),),
        tuple(objects),
    )


def _first(once: dict[str, Node], node: Node) -> None:
    if node.kind in once:
        raise DataError(
            f"a scene must have at most one {node.kind}, got {once[node.kind].name!r} and "
            f"{node.name!r}; remove one"
        )
    once[node.kind] = node


def _ground(said: Mapping[str, Value], textures: Sequence[str]) -> Ground:
    image = _name("scene", "image", said, textures)
    colour, numbers = _colour_and_numbers("scene", said, textured=image != PLAIN)
    return Ground(colour, image, **numbers)


def _table(said: Mapping[str, Value], textures: Sequence[str]) -> Table:
    texture = _name("table", "texture", said, textures)
    colour, numbers = _colour_and_numbers("table", said, textured=texture != PLAIN)
    return Table(colour=colour, texture=texture, **numbers)


def _light(said: Mapping[str, Value]) -> Light:
    colour, numbers = _colour_and_numbers("light", said)
    return Light(colour=colour, **numbers)


def _placed(
    scene: Scene, index: int, node: Node, models: Sequence[str], textures: Sequence[str]
) -> Placed:
    said = node.attributes
    colour, numbers = _colour_and_numbers("object", said)
    if "class" in said:
        model = str(said["class"])
        if model not in models:
            raise DataError(
                f"an object's class must be the name of a model, got {said['class']!r} (node "
                f"{node.name!r}); {did_you_mean(model, list(models))}; more models are named by "
                "the renderer's option 'models'"
            )
    else:
        model = models[mixed(scene.seed, index) % len(models)]
    texture = _name("object", "texture", said, textures)
    return Placed(node=index, model=model, **numbers, colour=colour, texture=texture)


def _numbers(kind: str, said: Mapping[str, Value]) -> dict[str, float]:
    """Every number of a kind, those not said by default."""
    found = {}
    for name, (default, least, most) in _NUMBERS[kind].items():
        value: Any = said.get(name, default)
        if isinstance(value, str) or not math.isfinite(value):
            raise DataError(f"{kind}.{name} must be a finite number, got {value!r}")
        if not least <= value <= most:
            raise DataError(
                f"{kind}.{name} must lie between {least:g} and {most:g}, got {value:g}; give it "
                "a range in the grammar"
            )
        found[name] = float(value)
    return found


def _colour_and_numbers(
    kind: str, said: Mapping[str, Value], *, textured: bool = False
) -> tuple[Colour, dict[str, float]]:
    """A kind's colour and its other numbers; a colour not said leaves a texture as it is."""
    numbers = _numbers(kind, said)
    given = {name: numbers.pop(name) for name in _COLOUR}
    red, green, blue = (
        1.0 if textured and name not in said else value for name, value in given.items()
    )
    return (red, green, blue), numbers


def _name(kind: str, key: str, said: Mapping[str, Value], textures: Sequence[str]) -> str:
    name = str(said.get(key, PLAIN))
    if name != PLAIN and name not in textures:
        raise DataError(
            f"{kind}.{key} must be {PLAIN!r} or the name of a texture, got {said[key]!r}; "
            f"{did_you_mean(name, [PLAIN, *textures])}; more are named by the renderer's option "
            "'textures'"
        )
    return name


def mixed(seed: int, number: int) -> int:
    """31 bits that follow from a seed of any size and a number (SplitMix64's finaliser)."""
    bits = (number + 1) * 0x9E3779B97F4A7C15
    while True:
        bits = (bits ^ seed) & (2**64 - 1)
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        bits ^= bits >> 31
        seed >>= 64
        if not seed:
            return bits >> 33
