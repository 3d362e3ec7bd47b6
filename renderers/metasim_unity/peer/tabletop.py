"""A table-top drawn in software: matt shapes, one light without shadows, all ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError, did_you_mean
from metasim.render.base import Label, Rendered, Renderer
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Node, Scene
from metasim_unity.example import EXAMPLE, KINDS
from metasim_unity.peer.raster import Floats, Window, first_hits, window_of
from metasim_unity.peer.shapes import SHAPES, Shape

__all__ = ["TabletopRenderer"]

_BEYOND: Final = 3  # images that an object may reach beyond the edge, on each side
_FINE: Final = 2  # samples of the colour along each side of a pixel
_DEFAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "scene": {"red": 0.3, "green": 0.35, "blue": 0.4, "ambient": 0.35},
    "table": {"red": 0.8, "green": 0.75, "blue": 0.7, "width": 1.0, "depth": 1.0},
    "object": dict.fromkeys(("x", "y", "z", "yaw", "roll", "pitch"), 0.0)
    | dict.fromkeys(("scale", "red", "green", "blue"), 1.0),
    "light": dict.fromkeys(("red", "green", "blue"), 1.0)
    | {"azimuth": 315.0, "elevation": 50.0, "strength": 0.8},
    "camera": {"distance": 1.6, "azimuth": 0.0, "elevation": 45.0, "fov": 40.0}
    | {"x": 0.0, "y": 0.0, "z": 0.05},
}


class TabletopRenderer(Renderer):
    """Draws the sample scene of metasim's Unity package, without Unity.

    Kinds, attributes, units and axes are those of ``metasim_unity/unity/README.md``. A pixel's
    colour is the mean of 4 samples, as of a camera with MSAA; all else is that of its middle.

    Args:
        image_size: (H, W) in pixels.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    example: ClassVar[Mapping[str, Any] | None] = EXAMPLE

    def __init__(self, image_size: tuple[int, int] = (64, 64)) -> None:
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.known_categories = {"object": tuple(SHAPES)}

    def meshes(self) -> Mapping[str, Mesh]:
        """The models, each triangle with corners of its own."""
        return {
            name: Mesh(
                shape.corners.reshape(-1, 3).astype(np.float32),
                np.arange(3 * len(shape.corners), dtype=np.int32).reshape(-1, 3),
            )
            for name, shape in SHAPES.items()
        }

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw scenes one after the other.

        Raises:
            DataError: when a scene says what is not understood.
        """
        drawn = [_draw(_read(scene), self.image_size) for scene in scenes]
        shape = (len(scenes), *self.image_size)
        return Rendered(
            np.array([one.image for one in drawn], np.uint8).reshape(*shape, 3),
            np.array([one.instances for one in drawn], np.int32).reshape(shape),
            tuple(one.labels for one in drawn),
            np.array([one.depth for one in drawn], np.float32).reshape(shape),
            np.array([one.normals for one in drawn], np.float32).reshape(*shape, 3),
            tuple(one.camera for one in drawn),
        )


# --- scenes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Placed:
    """An object; ``node`` is its place in the scene."""

    node: int
    name: str
    kind: str
    model: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a scene says, with defaults."""

    scene: Mapping[str, float]
    table: Mapping[str, float]
    light: Mapping[str, float]
    camera: Mapping[str, float]
    objects: tuple[_Placed, ...]


def _read(scene: Scene) -> _Layout:
    found: dict[str, Mapping[str, float]] = dict(_DEFAULTS)
    objects = []
    for place, node in enumerate(scene.nodes):
        values = _values(node)
        if node.kind == "object":
            model = node.attributes.get("class", "car")
            if model not in SHAPES:
                near = did_you_mean(str(model), list(SHAPES))
                raise DataError(f"no object's class is {model!r}; {near}")
            objects.append(_Placed(place, node.name, node.kind, str(model), values))
        else:
            found[node.kind] = values
    return _Layout(found["scene"], found["table"], found["light"], found["camera"], tuple(objects))


def _values(node: Node) -> dict[str, float]:
    if node.kind not in KINDS:
        raise DataError(f"no kind is {node.kind!r}; {did_you_mean(node.kind, list(KINDS))}")
    values = dict(_DEFAULTS[node.kind])
    for name, value in node.attributes.items():
        if name not in KINDS[node.kind]:
            near = did_you_mean(name, sorted(KINDS[node.kind]))
            raise DataError(f"a {node.kind!r} has no {name!r}; {near}")
        if name == "class":
            continue
        if isinstance(value, str):
            raise DataError(f"{name} of a {node.kind!r} must be a number, got {value!r}")
        values[name] = float(value)
    return values


# --- geometry ------------------------------------------------------------------------------


def _turn_z(degrees: float) -> Floats:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _turn_x(degrees: float) -> Floats:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def _turn_y(degrees: float) -> Floats:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _placed(thing: _Placed) -> tuple[Floats, Floats]:
    """Rotation and translation from an object's scaled model to the world."""
    values = thing.values
    turn = _turn_z(values["yaw"]) @ _turn_y(values["pitch"]) @ _turn_x(values["roll"])
    lowest = values["scale"] * (SHAPES[thing.model].corners @ turn.T)[..., 2].min()
    return turn, np.array([values["x"], values["y"], values["z"] - lowest])


def _in_world(thing: _Placed) -> Floats:
    """The corners of an object's triangles in the world."""
    turn, move = _placed(thing)
    corners: Floats = thing.values["scale"] * SHAPES[thing.model].corners @ turn.T + move
    return corners


def _pose(turn: Floats, move: Floats, scale: float = 1.0) -> Pose:
    a, b, c, d, e, f, g, h, i = turn.ravel().tolist()
    x, y, z = move.tolist()
    return Pose((a, b, c, d, e, f, g, h, i), (x, y, z), scale)


def _camera(values: Mapping[str, float], size: tuple[int, int]) -> tuple[Camera, Floats, Floats]:
    """The camera; rotation and translation from the world to its frame."""
    turn = _turn_x(values["elevation"] + 90) @ _turn_z(-values["azimuth"])
    # From the near side, y of the world is away: with elevation 90 it is up in the image.
    target = np.array([values["x"], values["y"], values["z"]])
    move = np.array([0, 0, values["distance"]]) - turn @ target
    focal = max(size) / 2 / math.tan(math.radians(values["fov"]) / 2)
    return Camera(focal, focal, size[1] / 2, size[0] / 2, _pose(turn, move)), turn, move


# --- pictures ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Drawn:
    image: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]
    depth: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    labels: tuple[Label, ...]
    camera: Camera


class _Canvas:
    """Colour, id, depth and normal of each pixel, as things are drawn over one another.

    Args:
        layout: what is drawn.
        size: (H, W) in pixels.
        beyond: images around this one that are looked at, too, on each side.
    """

    def __init__(self, layout: _Layout, size: tuple[int, int], beyond: int) -> None:
        high, wide = size
        self.camera, self.turn, self.move = _camera(layout.camera, size)
        self.focal, self.centre = self.camera.fx, (self.camera.cx, self.camera.cy)
        self.frame = Window(0, 0, wide, high)
        self.most = Window(-beyond * wide, -beyond * high, (1 + beyond) * wide, (1 + beyond) * high)
        scene, light = layout.scene, layout.light
        self.colour = np.empty((*size, 3))
        self.colour[:] = _rgb(scene)
        self.ids = np.zeros(size, np.int32)
        self.depth = np.full(size, np.inf)
        self.normals = np.zeros((*size, 3))
        across, up = math.radians(light["azimuth"]), math.radians(light["elevation"])
        towards = [math.cos(up) * math.sin(across), -math.cos(up) * math.cos(across), math.sin(up)]
        self.light = self.turn @ np.array(towards)
        self.ambient, self.lit = scene["ambient"], light["strength"] * _rgb(light)

    def put(
        self, world: Floats, colours: Floats, number: int
    ) -> tuple[Window, npt.NDArray[np.bool_]]:
        """Draw triangles; the pixels that are theirs where nothing hides them, and which."""
        corners = world @ self.turn.T + self.move
        window = window_of(corners, self.focal, self.centre, self.most)
        depth, which = first_hits(corners, self.focal, self.centre, window)
        inside = window.within(self.frame)
        mine, here = window.slices(inside), self.frame.slices(inside)
        nearer = depth[mine] < self.depth[here]
        triangle = which[mine][nearer]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        shade = self.ambient + self.lit * np.maximum(normals @ self.light, 0)[:, None]
        self.depth[here][nearer] = depth[mine][nearer]
        self.ids[here][nearer] = number
        self.normals[here][nearer] = normals[triangle]
        self.colour[here][nearer] = (colours * shade)[triangle]
        return window, which >= 0


def _draw(layout: _Layout, size: tuple[int, int]) -> _Drawn:
    (high, wide), pixels = size, _Canvas(layout, size, _BEYOND)
    own = _fill(pixels, layout)
    samples = _Canvas(layout, (_FINE * high, _FINE * wide), 0)
    _fill(samples, layout)
    colour = np.clip(samples.colour, 0, 1).reshape(high, _FINE, wide, _FINE, 3).mean((1, 3))
    labels = tuple(
        _label(thing, number, pixels, *seen)
        for number, (thing, seen) in enumerate(zip(layout.objects, own, strict=True), start=1)
    )
    return _Drawn(
        np.rint(colour * 255).astype(np.uint8),
        pixels.ids,
        np.where(np.isfinite(pixels.depth), pixels.depth, 0).astype(np.float32),
        pixels.normals.astype(np.float32),
        labels,
        pixels.camera,
    )


def _fill(canvas: _Canvas, layout: _Layout) -> list[tuple[Window, npt.NDArray[np.bool_]]]:
    """Draw the table and the objects; of these what :meth:`_Canvas.put` tells."""
    table = layout.table
    if table["width"] > 0 and table["depth"] > 0:
        slab = _slab(table["width"], table["depth"])
        canvas.put(slab, np.tile(_rgb(table), (2, 1)), 0)
    own = []
    for number, thing in enumerate(layout.objects, start=1):
        corners = _in_world(thing)
        shape: Shape = SHAPES[thing.model]
        own.append(canvas.put(corners, shape.colours * _rgb(thing.values), number))
    return own


def _label(
    thing: _Placed,
    number: int,
    canvas: _Canvas,
    window: Window,
    own: npt.NDArray[np.bool_],
) -> Label:
    seen = canvas.ids == number
    whole = int(np.count_nonzero(own))
    x0, y0, x1, y1 = _box(own)
    full = (
        (window.x0 + x0, window.y0 + y0, window.x0 + x1, window.y0 + y1) if whole else (0, 0, 0, 0)
    )
    turn, move = _placed(thing)
    pose = _pose(canvas.turn @ turn, canvas.turn @ move + canvas.move, thing.values["scale"])
    return Label(
        number,
        thing.node,
        thing.name,
        thing.kind,
        thing.model,
        _box(seen),
        int(np.count_nonzero(seen)) / whole if whole else 0.0,
        full,
        pose,
    )


def _box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _slab(width: float, depth: float) -> Floats:
    x, y = width / 2, depth / 2
    a, b, c, d = (-x, -y, 0.0), (x, -y, 0.0), (x, y, 0.0), (-x, y, 0.0)
    return np.array([[a, b, c], [a, c, d]], np.float64)


def _rgb(values: Mapping[str, float]) -> Floats:
    return np.array([values["red"], values["green"], values["blue"]])
