"""What a renderer gave is what the contract asks for; cheap enough for every batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.errors import RenderError
from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Scene

__all__ = ["check_meshes", "check_rendered"]

_ROUNDING = 1e-4  # of rotations that were made of single precision numbers
_UNIT = 2e-3  # by which the square of a normal's length may differ from 1


def check_rendered(
    rendered: Any, scenes: Sequence[Scene], size: tuple[int, int], first: int = 0
) -> Rendered:
    """``rendered`` if it is what the contract asks for.

    Args:
        rendered: what a renderer's ``render`` returned.
        scenes: what it was given.
        size: its ``image_size``, (H, W).
        first: the place in the whole batch of the first of them, for messages.

    Raises:
        RenderError: naming what must hold and what was got.
    """
    if not isinstance(rendered, Rendered):
        raise RenderError(f"render() must return a metasim Rendered, got {type(rendered).__name__}")
    shape = (len(scenes), *size)
    _check_plane("images", rendered.images, np.uint8, (*shape, 3))
    _check_plane("instances", rendered.instances, np.int32, shape)
    if rendered.instances.size and rendered.instances.min() < 0:
        raise RenderError(f"instances must be at least 0, got {rendered.instances.min()}")
    if rendered.depth is not None:
        _check_plane("depth", rendered.depth, np.float32, shape)
        _check_depth(rendered.depth)
    if rendered.normals is not None:
        _check_plane("normals", rendered.normals, np.float32, (*shape, 3))
        _check_normals(rendered.normals)
    _check_labels(rendered.labels, scenes, first)
    if rendered.cameras is not None:
        _check_cameras(rendered.cameras, len(scenes), first)
    _check_rotations(dict(_poses(rendered, first)))
    return rendered


def _check_plane(name: str, plane: Any, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(plane, np.ndarray):
        raise RenderError(f"{name} must be a numpy array, got {type(plane).__name__}")
    if plane.dtype != dtype:
        raise RenderError(f"{name} must be {np.dtype(dtype)}, got {plane.dtype}")
    if plane.shape != shape:
        raise RenderError(f"{name} must have shape {shape}, got {plane.shape}")


def _check_depth(depth: npt.NDArray[np.float32]) -> None:
    if not np.isfinite(depth).all():
        raise RenderError("depth must be finite, got NaN or infinity; it is 0 without a surface")
    if depth.size and depth.min() < 0:
        raise RenderError(f"depth must be at least 0, got {depth.min()}")


def _check_normals(normals: npt.NDArray[np.float32]) -> None:
    with np.errstate(all="ignore"):
        squares = np.square(normals).reshape(-1, 3) @ np.ones(3, np.float32)
        good = np.abs(squares - 1) <= _UNIT  # NaN is not
    good |= squares == 0
    if good.all():
        return
    if not np.isfinite(normals).all():
        raise RenderError("normals must be finite, got NaN or infinity")
    worst = float(np.sqrt(squares[~good][0], dtype=np.float64))
    raise RenderError(
        f"normals must have length 1, or 0 where there is no surface; got {worst:.4g} in "
        f"{np.count_nonzero(~good)} of {len(good)} pixels"
    )


def _check_labels(labels: Any, scenes: Sequence[Scene], first: int) -> None:
    if not isinstance(labels, (tuple, list)) or len(labels) != len(scenes):
        got = len(labels) if isinstance(labels, (tuple, list)) else type(labels).__name__
        raise RenderError(f"labels must hold {len(scenes)} tuples, one for each scene, got {got}")
    for row, (ours, scene) in enumerate(zip(labels, scenes, strict=True)):
        if wrong := _labels_mistake(ours, scene):
            raise RenderError(f"labels of image {first + row} of the batch: {wrong}")


def _labels_mistake(labels: Any, scene: Scene) -> str:
    """What is wrong with the labels of one image; empty where nothing is."""
    if not isinstance(labels, (tuple, list)):
        return f"must be a tuple of Label, got {type(labels).__name__}"
    for label in labels:
        if wrong := _label_mistake(label, scene) or _box_mistake(label):
            return wrong
        if label.pose is not None and (wrong := _pose_mistake(label.pose)):
            return f"a pose {wrong}"
    ids = [label.instance for label in labels]
    return f"no two may have the same instance, got {ids}" if len(set(ids)) < len(ids) else ""


def _label_mistake(label: Any, scene: Scene) -> str:
    """What is wrong with what a label says of its instance; empty where nothing is."""
    if not isinstance(label, Label):
        return f"each must be a metasim Label, got {type(label).__name__}"
    if not _is_whole(label.instance) or label.instance < 1:
        return f"an instance must be a whole number of at least 1, got {label.instance!r}"
    if not _is_whole(label.node) or not 0 <= label.node < len(scene.nodes):
        return (
            f"a node must be the place of one of the scene's {len(scene.nodes)}, got {label.node!r}"
        )
    node = scene.nodes[label.node]
    if (label.name, label.kind) != (node.name, node.kind):
        return (
            f"name and kind must be those of node {label.node}, {node.name!r} and {node.kind!r}, "
            f"got {label.name!r} and {label.kind!r}"
        )
    if not isinstance(label.category, str) or not label.category:
        return f"a category must be text and not empty, got {label.category!r}"
    if not isinstance(label.visible, (int, float, np.number)) or not 0 <= label.visible <= 1:
        return f"visible must be a share from 0 to 1, got {label.visible!r}"
    return ""


def _box_mistake(label: Label) -> str:
    """What is wrong with a label's boxes; empty where nothing is."""
    if not _is_box(label.box):
        return f"a box must be four whole numbers (x0, y0, x1, y1), got {label.box!r}"
    full = label.full_box
    if full is None:
        return ""
    if not _is_box(full) or full[0] > full[2] or full[1] > full[3]:
        return f"a full_box must be four whole numbers (x0, y0, x1, y1), or None, got {full!r}"
    x0, y0, x1, y1 = label.box
    inside = full[0] <= x0 and full[1] <= y0 and x1 <= full[2] and y1 <= full[3]
    if label.visible > 0 and not inside:
        return f"a full_box must contain the box {tuple(label.box)}, got {tuple(full)}"
    return ""


def _is_box(box: Any) -> bool:
    return isinstance(box, (tuple, list)) and len(box) == 4 and all(map(_is_whole, box))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    real = isinstance(value, (float, int, np.floating, np.integer)) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _pose_mistake(pose: Any) -> str:
    """What is wrong with a pose beside its rotation's values; empty where nothing is."""
    if not isinstance(pose, Pose):
        return f"must be a metasim Pose, got {type(pose).__name__}"
    for name, numbers, count in (
        ("rotation", pose.rotation, 9),
        ("translation", pose.translation, 3),
    ):
        given = isinstance(numbers, (tuple, list)) and len(numbers) == count
        if not given or not all(map(_is_number, numbers)):
            return f"must have a {name} of {count} finite numbers in a tuple, got {numbers!r}"
    if not _is_number(pose.scale) or pose.scale <= 0:
        return f"must have a scale above 0, got {pose.scale!r}"
    return ""


def _check_cameras(cameras: Any, count: int, first: int) -> None:
    if not isinstance(cameras, (tuple, list)) or len(cameras) != count:
        got = len(cameras) if isinstance(cameras, (tuple, list)) else type(cameras).__name__
        raise RenderError(f"cameras must be {count}, one for each image, or None; got {got}")
    for row, camera in enumerate(cameras, start=first):
        if wrong := _camera_mistake(camera):
            raise RenderError(f"the camera of image {row} of the batch {wrong}")


def _camera_mistake(camera: Any) -> str:
    """What is wrong with a camera beside its rotation's values; empty where nothing is."""
    if not isinstance(camera, Camera):
        return f"must be a metasim Camera, got {type(camera).__name__}"
    for name in ("fx", "fy"):
        length = getattr(camera, name)
        if not _is_number(length) or length <= 0:
            return f"must have a finite focal length {name} above 0, got {length!r}"
    for name in ("cx", "cy"):
        if not _is_number(getattr(camera, name)):
            return f"must have a finite principal point {name}, got {getattr(camera, name)!r}"
    if camera.world is None:
        return ""
    if wrong := _pose_mistake(camera.world):
        return f"has a world that {wrong}"
    # The world and the camera are both measured in metres.
    return "" if camera.world.scale == 1 else f"must have a world of scale 1, got {camera.world}"


def _poses(rendered: Rendered, first: int) -> Iterator[tuple[str, Pose]]:
    """Every pose of a batch, by where it is."""
    for row, labels in enumerate(rendered.labels, start=first):
        for label in labels:
            if label.pose is not None:
                yield (
                    f"the pose of instance {label.instance} of image {row} of the batch",
                    label.pose,
                )
    for row, camera in enumerate(rendered.cameras or (), start=first):
        if camera.world is not None:
            yield f"the world of the camera of image {row} of the batch", camera.world


def _check_rotations(poses: Mapping[str, Pose]) -> None:
    """Whether all are proper rotations, at once: one by one numpy takes longer than they do."""
    if not poses:
        return
    given = np.array([pose.rotation for pose in poses.values()], np.float64).reshape(-1, 3, 3)
    with np.errstate(all="ignore"):
        off = np.abs(given @ given.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
        turned = np.linalg.det(given) > 0
    for where, pose, good in zip(poses, poses.values(), (off <= _ROUNDING) & turned, strict=True):
        if not good:
            raise RenderError(
                f"{where} must have a rotation: three rows of length 1 at right angles, with "
                f"determinant 1; got {np.round(np.reshape(pose.rotation, (3, 3)), 4).tolist()}"
            )


def check_meshes(meshes: Any) -> Mapping[str, Mesh]:
    """``meshes`` if they are models by category, as a renderer's ``meshes`` must give.

    Raises:
        RenderError: naming the model, what must hold and what was got.
    """
    if not isinstance(meshes, Mapping):
        raise RenderError(f"meshes() must return a mapping, got {type(meshes).__name__}")
    for category, mesh in meshes.items():
        if wrong := _mesh_mistake(mesh):
            raise RenderError(f"meshes()[{category!r}] {wrong}")
    return meshes


def _mesh_mistake(mesh: Any) -> str:
    """What is wrong with a model; empty where nothing is."""
    if not isinstance(mesh, Mesh):
        return f"must be a metasim Mesh, got {type(mesh).__name__}"
    for name, array, dtype in (
        ("vertices", mesh.vertices, np.float32),
        ("faces", mesh.faces, np.int32),
    ):
        rows = isinstance(array, np.ndarray) and array.ndim == 2 and len(array) > 0
        if not rows or array.dtype != dtype or array.shape[1] != 3:
            got = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
            return f"must have {name} {np.dtype(dtype)} (N, 3), at least one, got {got}"
    if not np.isfinite(mesh.vertices).all():
        return "must have finite vertices, got NaN or infinity"
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= len(mesh.vertices):
        return (
            f"must have faces of places in its {len(mesh.vertices)} vertices, got {low} to {high}"
        )
    return ""
