"""The promises about space: what depth, normals, cameras, poses and models say is one thing.

Only of renderers that offer them, and in the scenes as they are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.testing.broken import require
from metasim.testing.motion import FEWEST
from metasim.testing.silhouette import Box, covered, extent
from metasim.testing.subject import Subject

__all__ = [
    "boxes_agree_with_poses",
    "depth_agrees_with_poses",
    "models_fit_poses",
    "normals_agree_with_depth",
    "planes_are_offered_alike",
]

_OFFERED = ("depth", "normals", "cameras")
_NEAR = 1e-3  # metres; what reaches nearer to the camera is not projected
_PIXEL = 1.0  # by which boxes may be off, since renderers look at pixels in different places
_AWAY = 0.1  # cosine that a normal may be turned away by, near a silhouette
_FEW = 0.01  # share of pixels that may be wrong at edges which the instance plane does not show
_SLANTED = 0.3  # part of a unit normal along an axis whose sign is beyond doubt
_MOST = 0.75  # share of slanted pixels that must agree; shading may smooth over the others

Mask = npt.NDArray[np.bool_]


class _Posed(NamedTuple):
    """An instance with a pose and a model, in an image with a camera."""

    where: str
    row: int
    label: Label
    camera: Camera
    pose: Pose
    mesh: Mesh
    corners: npt.NDArray[np.float64]


def planes_are_offered_alike(subject: Subject) -> None:
    """Depth, normals and cameras are offered in every batch or in none, the empty one included."""
    expected = _offers(subject.rendered)
    for batch, what in ((subject.scenes[:1], "one scene"), (subject.scenes[:0], "no scenes")):
        found = _offers(subject.draw(batch))
        require(
            found == expected,
            f"render() must offer the same in every batch, got {_listed(found)} with {what} and "
            f"{_listed(expected)} with {len(subject.scenes)}",
        )


def _offers(rendered: Rendered) -> list[str]:
    return [name for name in _OFFERED if getattr(rendered, name) is not None]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none of " + ", ".join(_OFFERED)


def models_fit_poses(subject: Subject) -> None:
    """What has a pose has a model, and the other way round; a model's faces have their corners."""
    meshes = subject.meshes()
    for row, labels in enumerate(subject.rendered.labels):
        for label in labels:
            require(
                (label.pose is not None) == (label.category in meshes),
                f"image {row}, id {label.instance}: a label must have a pose exactly where "
                f"meshes() has a model of its category, {label.category!r}; meshes() has "
                f"{sorted(meshes)} and the pose is {label.pose}",
            )


def boxes_agree_with_poses(subject: Subject) -> None:
    """The posed model, seen by the camera, fills ``full_box``, which is ``box`` where all is seen.

    A pixel's breadth is allowed for. Where there is no ``full_box``, ``box`` is looked at.
    """
    for row, labels in enumerate(subject.rendered.labels):
        for label in labels:
            full = label.full_box
            require(
                full is None or label.visible < 1 or tuple(full) == tuple(label.box),
                f"image {row}, id {label.instance}: full_box must be the box {tuple(label.box)} "
                f"where all is visible, got {full}",
            )
    for posed in _posed(subject):
        seen = posed.camera.project(posed.corners)
        box = posed.label.box if posed.label.full_box is None else posed.label.full_box
        whole = posed.label.full_box is not None or posed.label.visible == 1
        if posed.label.visible > 0:
            _check_box(posed.where, box, extent(seen), covered(seen, posed.mesh.faces), whole)


def _check_box(where: str, box: Box, outer: Box, inner: Box | None, whole: bool) -> None:
    """Whether a box is within what the model's corners reach, and holds what its faces cover."""
    name = "full_box" if whole else "box"
    require(
        _holds(outer, box),
        f"{where}: {name} must lie within the posed model as the camera sees it, "
        f"{outer} and a pixel around it, got {tuple(box)} (is the pose that of the model "
        "in the camera's frame, x right, y down, z ahead?)",
    )
    require(
        not whole or inner is None or _holds(box, inner),
        f"{where}: {name} must hold all pixels that the posed model covers, "
        f"{inner} up to a pixel, got {tuple(box)}",
    )


def _holds(outer: Box, inner: Box) -> bool:
    low = all(o - _PIXEL <= i for o, i in zip(outer[:2], inner[:2], strict=True))
    return low and all(i <= o + _PIXEL for o, i in zip(outer[2:], inner[2:], strict=True))


def depth_agrees_with_poses(subject: Subject) -> None:
    """Pixels of an instance, put where their depth says, lie on its posed model.

    That is, within the depths of its corners, and in its own frame within the box around it.
    """
    depth = subject.rendered.depth
    if depth is None:
        return
    inner = _inner(subject.rendered.instances)
    for posed in _posed(subject):
        own = inner[posed.row] & (subject.rendered.instances[posed.row] == posed.label.instance)
        if not own.any():
            continue
        height, width = own.shape
        z = depth[posed.row][own].astype(np.float64)
        points = posed.camera.rays(range(height), range(width))[own] * z[:, None]
        breadth = z.max() / min(posed.camera.fx, posed.camera.fy)
        near, far = posed.corners[:, 2].min() - breadth, posed.corners[:, 2].max() + breadth
        require(
            bool(((z >= near) & (z <= far)).mean() >= 1 - _FEW),
            f"{posed.where}: depth must be the z of the camera's frame in metres, for its posed "
            f"model {near:.4g} to {far:.4g}; got {z.min():.4g} to {z.max():.4g}",
        )
        there = posed.pose.undo(points)
        low, high = posed.mesh.vertices.min(0), posed.mesh.vertices.max(0)
        spare = breadth / posed.pose.scale
        within = ((there >= low - spare) & (there <= high + spare)).all(1)
        require(
            bool(within.mean() >= 1 - _FEW),
            f"{posed.where}: its pixels, put where their depth says, must lie within its posed "
            f"model; {np.count_nonzero(~within)} of {len(within)} do not (are the pose's rotation "
            "and scale those of the model, and the camera's focal lengths in pixels?)",
        )


def normals_agree_with_depth(subject: Subject) -> None:
    """Normals are turned towards the camera, and as the surface that depth shows."""
    rendered = subject.rendered
    depth, normals, cameras = rendered.depth, rendered.normals, rendered.cameras
    inner = _inner(rendered.instances)
    if depth is not None:
        bare = int(np.count_nonzero(inner & (rendered.instances > 0) & (depth == 0)))
        require(not bare, f"depth must be above 0 where an instance is, got 0 in {bare} pixels")
    if normals is None:
        return
    surface = normals.any(3)
    if depth is not None:
        apart = int(np.count_nonzero(inner & (surface != (depth > 0))))
        require(
            not apart,
            f"normals and depth must both be 0 where there is no surface, and only there; in "
            f"{apart} pixels one of them is",
        )
    if cameras is None:
        return
    rays = np.stack([_rays(camera, subject.renderer.image_size) for camera in cameras])
    _check_facing(normals, surface, rays)
    if depth is not None:
        _check_slopes(normals, rays * depth[..., None], inner & surface, rendered.instances)


def _rays(camera: Camera, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    return camera.rays(range(size[0]), range(size[1]))


def _check_facing(
    normals: npt.NDArray[np.float32], surface: Mask, rays: npt.NDArray[np.float64]
) -> None:
    along = (normals * rays).sum(3) / np.linalg.norm(rays, axis=3)
    away = np.count_nonzero(surface & (along > _AWAY))
    total = np.count_nonzero(surface)
    require(
        away <= _FEW * total,
        f"normals must be turned towards the camera, in its frame (x right, y down, z ahead); "
        f"{away} of {total} are turned away",
    )


def _check_slopes(
    normals: npt.NDArray[np.float32],
    points: npt.NDArray[np.float64],
    inner: Mask,
    instances: npt.NDArray[np.int32],
) -> None:
    """Each axis by itself, so that one that is turned round is found and can be named."""
    along, down = (np.roll(points, -1, axis) - np.roll(points, 1, axis) for axis in (2, 1))
    sloped = np.cross(down, along)  # towards the camera
    with np.errstate(divide="ignore", invalid="ignore"):
        sloped /= np.linalg.norm(sloped, axis=3, keepdims=True)
    for axis, name in enumerate("xyz"):
        clear = inner & (instances > 0) & (np.abs(sloped[..., axis]) > _SLANTED)
        count = np.count_nonzero(clear)
        same = (normals[clear][:, axis] * sloped[clear][:, axis] > 0).sum()
        require(
            bool(count < FEWEST or same >= _MOST * count),
            f"the {name} of normals must be as depth shows the surface, in the camera's frame "
            f"(x right, y down, z ahead); it points the other way in {count - same} of {count} "
            "pixels where it is clear",
        )


def _posed(subject: Subject) -> Iterator[_Posed]:
    """Instances whose model can be put before the camera, as drawn."""
    meshes, cameras = subject.meshes(), subject.rendered.cameras
    for row, labels in enumerate(subject.rendered.labels):
        for label in labels:
            mesh = meshes.get(label.category)
            if cameras is None or label.pose is None or mesh is None:
                continue
            corners = label.pose.apply(mesh.vertices)
            if corners[:, 2].min() > _NEAR:
                where = f"image {row}, id {label.instance} ({label.category!r})"
                yield _Posed(where, row, label, cameras[row], label.pose, mesh, corners)


def _inner(instances: npt.NDArray[np.int32]) -> Mask:
    """Pixels (B, H, W) all of whose neighbours have the same id."""
    inner = np.zeros(instances.shape, bool)
    height, width = instances.shape[1:]
    middle = instances[:, 1:-1, 1:-1]
    same = np.ones(middle.shape, bool)
    for down, along in product(range(3), repeat=2):
        same &= instances[:, down : height - 2 + down, along : width - 2 + along] == middle
    inner[:, 1:-1, 1:-1] = same
    return inner
