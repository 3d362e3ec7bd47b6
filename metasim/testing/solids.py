"""A renderer of solids whose geometry is exact: depth, normals, poses, cameras and models.

What reads or writes these is tested against it. It casts a ray through each pixel's centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered, Renderer
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Node, Scene

__all__ = ["SolidsRenderer"]

_DISTANCE, _ELEVATION = 1.5, math.radians(35)
_NEAR = 0.1  # metres from the camera; what reaches nearer is not drawn
_REACH = 8  # image sizes beyond the image's edge within which own pixels are counted
_GROUND, _LIGHT = 40, (0.3, -0.6, -0.74)
_COLOURS = {"box": (255, 170, 60), "crystal": (70, 200, 255)}


def _learned(mean: float, std: float, low: float, high: float, unit: str) -> dict[str, Any]:
    prior = {"normal": {"mean": mean, "std": std}}
    return {"prior": prior, "range": [low, high], "unit": unit, "mutable": True}


def _mesh(vertices: Sequence[Sequence[float]], faces: Sequence[Sequence[int]]) -> Mesh:
    return Mesh(np.array(vertices, np.float32), np.array(faces, np.int32))


def _box(x: float, y: float, z: float) -> Mesh:
    """Half as large as the lengths that are given to each side."""
    corners = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return _mesh(corners, [t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))])


def _crystal(x: float, y: float, z: float) -> Mesh:
    """Eight sides between six corners, the upper one twice as far out as the lower."""
    corners = [(x, 0, 0), (-x, 0, 0), (0, y, 0), (0, -y, 0), (0, 0, z), (0, 0, -z / 2)]
    upper = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4)]
    return _mesh(corners, [*upper, *((b, a, 5) for a, b, _ in upper)])


_MESHES = {"box": _box(0.15, 0.1, 0.06), "crystal": _crystal(0.12, 0.08, 0.16)}


@dataclass(frozen=True, slots=True)
class _Cast:
    """What would be seen of a solid if nothing hid it, in a window of h x w pixels.

    Attributes:
        rows: the window's, in pixels of the image; some lie beyond its edge.
        columns: as well.
        hit: (h, w), where it is seen.
        depth: (h, w).
        normals: (h, w, 3).
    """

    rows: range
    columns: range
    hit: npt.NDArray[np.bool_]
    depth: npt.NDArray[np.float64]
    normals: npt.NDArray[np.float64]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) around it."""
        return _box_of(self.hit, self.rows.start, self.columns.start)

    def overlap(self, size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of an image that the window covers, and the part of the window that does."""
        pairs = list(zip((self.rows, self.columns), size, strict=True))
        ends = [(max(one.start, 0), max(min(one.stop, side), 0)) for one, side in pairs]
        image = [slice(first, last) for first, last in ends]
        window = [
            slice(first - one.start, max(last - one.start, 0))
            for (first, last), (one, _) in zip(ends, pairs, strict=True)
        ]
        return (image[0], image[1]), (window[0], window[1])


class SolidsRenderer(Renderer):
    """Draws boxes and crystals that float before a camera, with all that a renderer may offer.

    Kinds: ``scene`` (``azimuth`` of the camera in degrees; it looks at the origin from 1.5 m)
    and ``solid`` (``class``, "box" or "crystal"; ``x``, ``y`` and ``z`` in metres, z up;
    ``yaw`` in degrees about z; ``size``, of which 1 is the model's own). There is no surface
    behind them.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = {
        "scene": frozenset({"azimuth"}),
        "solid": frozenset({"class", "x", "y", "z", "yaw", "size"}),
    }
    known_categories: Mapping[str, Sequence[str]] = {"solid": tuple(_MESHES)}
    example: ClassVar[Mapping[str, Any] | None] = {
        "root": {
            "name": "scene",
            "kind": "scene",
            "attributes": {"azimuth": {**_learned(0, 30, 0, 360, "deg"), "periodic": True}},
            "children": [
                {
                    "name": "solid",
                    "kind": "solid",
                    "count": 3,
                    "attributes": {
                        "class": {"prior": {"choice": {"values": list(_MESHES)}}},
                        "x": _learned(0, 0.2, -0.4, 0.4, "m"),
                        "y": _learned(0, 0.2, -0.4, 0.4, "m"),
                        "z": _learned(0, 0.1, -0.2, 0.2, "m"),
                        "yaw": {**_learned(0, 60, 0, 360, "deg"), "periodic": True},
                        "size": _learned(1, 0.2, 0.6, 1.4, "m/m"),
                    },
                }
            ],
        }
    }

    def __init__(self, image_size: Sequence[int] = (48, 64)) -> None:
        self.image_size = (int(image_size[0]), int(image_size[1]))

    def meshes(self) -> Mapping[str, Mesh]:
        """The boxes' and the crystals' model."""
        return _MESHES

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes."""
        shape = (len(scenes), *self.image_size)
        images = np.full((*shape, 3), _GROUND, np.uint8)
        instances = np.zeros(shape, np.int32)
        depth, normals = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
        cameras = tuple(_camera(scene, self.image_size) for scene in scenes)
        labels = []
        for row, (scene, camera) in enumerate(zip(scenes, cameras, strict=True)):
            planes = images[row], instances[row], depth[row], normals[row]
            labels.append(_draw(scene, camera, *planes))
        return Rendered(images, instances, tuple(labels), depth, normals, cameras)


def _draw(
    scene: Scene,
    camera: Camera,
    image: npt.NDArray[np.uint8],
    instances: npt.NDArray[np.int32],
    depth: npt.NDArray[np.float32],
    normals: npt.NDArray[np.float32],
) -> tuple[Label, ...]:
    """Fill the planes (H, W) of one image; a label for each solid."""
    size = (image.shape[0], image.shape[1])
    drawn = []
    for index, node in enumerate(scene.nodes):
        if node.kind != "solid":
            continue
        category, pose = str(node.attributes.get("class", "box")), _pose(node, camera)
        cast = _cast(_MESHES[category], pose, camera, size)
        part, inside = cast.overlap(size)
        behind = depth[part]
        front = cast.hit[inside] & ((behind == 0) | (cast.depth[inside] < behind))
        facing = cast.normals[inside][front]
        instances[part][front], depth[part][front] = index, cast.depth[inside][front]
        normals[part][front] = facing
        bright = 0.35 + 0.65 * np.maximum(0, facing @ np.array(_LIGHT))
        image[part][front] = np.rint(bright[:, None] * np.array(_COLOURS[category]))
        drawn.append((index, node, category, pose, cast))
    return tuple(_label(*one, instances == one[0]) for one in drawn)


def _label(
    index: int, node: Node, category: str, pose: Pose, cast: _Cast, seen: npt.NDArray[np.bool_]
) -> Label:
    visible = float(np.count_nonzero(seen) / max(np.count_nonzero(cast.hit), 1))
    return Label(
        index, index, node.name, node.kind, category, _box_of(seen), visible, cast.box, pose
    )


def _box_of(
    mask: npt.NDArray[np.bool_], down: int = 0, along: int = 0
) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) around a mask whose corner is so far down and along; 0 where it is empty."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return (0, 0, 0, 0)
    x0, y0 = int(columns.min()) + along, int(rows.min()) + down
    return (x0, y0, int(columns.max()) + along + 1, int(rows.max()) + down + 1)


def _camera(scene: Scene, size: tuple[int, int]) -> Camera:
    """One that looks at the origin from aside and above, z of the world upwards."""
    turn = math.radians(float(scene.nodes[0].attributes.get("azimuth", 0.0)))
    level = math.cos(_ELEVATION)
    back = np.array([level * math.cos(turn), level * math.sin(turn), math.sin(_ELEVATION)])
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    rotation = np.stack([right, np.cross(-back, right), -back])
    height, width = size
    return Camera(
        fx=1.2 * width,
        fy=1.2 * width,
        cx=width / 2,
        cy=height / 2,
        world=_as_pose(rotation, np.array([0.0, 0.0, _DISTANCE])),
    )


def _pose(node: Node, camera: Camera) -> Pose:
    """A solid's, from its model's frame to the camera's."""
    assert camera.world is not None
    values = node.attributes
    place = np.array([[float(values.get(key, 0.0)) for key in ("x", "y", "z")]])
    yaw = math.radians(float(values.get("yaw", 0.0)))
    cos, sin = math.cos(yaw), math.sin(yaw)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    rotation = np.reshape(camera.world.rotation, (3, 3)) @ turn
    return _as_pose(rotation, camera.world.apply(place)[0], float(values.get("size", 1.0)))


def _as_pose(
    rotation: npt.NDArray[np.float64], translation: npt.NDArray[np.float64], scale: float = 1.0
) -> Pose:
    x, y, z = translation.tolist()
    a, b, c, d, e, f, g, h, i = rotation.ravel().tolist()
    return Pose((a, b, c, d, e, f, g, h, i), (x, y, z), scale)


def _cast(mesh: Mesh, pose: Pose, camera: Camera, size: tuple[int, int]) -> _Cast:
    """Rays through the centres of all pixels that a convex mesh can touch."""
    corners = pose.apply(mesh.vertices)
    rows, columns = _window(corners, camera, size)
    rays = camera.rays(rows, columns)
    a, b, c = (corners[mesh.faces[:, place]] for place in range(3))
    outward = np.cross(b - a, c - a)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    along = rays @ outward.T
    with np.errstate(divide="ignore", invalid="ignore"):
        depths = (outward * a).sum(1) / along  # (h, w, F): where the ray meets each face's plane
    entering = np.where(along < 0, depths, -np.inf)
    leaving = np.where(along > 0, depths, np.inf).min(2, initial=np.inf)
    face = entering.argmax(2)
    depth = np.take_along_axis(entering, face[..., None], 2)[..., 0]
    return _Cast(rows, columns, (depth <= leaving) & (depth > 0), depth, outward[face])


def _window(
    corners: npt.NDArray[np.float64], camera: Camera, size: tuple[int, int]
) -> tuple[range, range]:
    """Rows and columns that may see a solid; none where a corner is too near."""
    if corners[:, 2].min() < _NEAR:
        return range(0), range(0)
    seen = camera.project(corners)
    ends = [
        np.clip((math.floor(at.min()), math.ceil(at.max())), -_REACH * side, (_REACH + 1) * side)
        for at, side in zip((seen[:, 1], seen[:, 0]), size, strict=True)
    ]
    rows, columns = (range(*map(int, pair)) for pair in ends)
    return rows, columns
