"""What a dataset in BOP's layout says of all its images, in files of JSON, and its models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from metasim.data.categories import category_ids
from metasim.data.diameter import diameter
from metasim.data.geometry import camera_from_json, pose_from_json
from metasim.data.manifest import to_line
from metasim.data.ply import to_ply
from metasim.data.shards import Shards
from metasim.files import replacing, write_atomic
from metasim.render.geometry import Mesh

__all__ = ["BOP", "DEEPEST", "DEPTH_SCALE", "image_id", "scene_folder", "write_bop_tables"]

BOP = "bop"
DEPTH_SCALE = 0.1
"""Millimetres that a step of a depth image stands for."""
DEEPEST = 65535
"""Steps of a depth image, 6.5535 m; what is farther away is written as 0, "not measured"."""

_SCENE = 1000  # images
_UNKNOWN = [-1, -1, -1, -1]
_TABLES = ("scene_camera", "scene_gt", "scene_gt_info")

Item = Mapping[str, Any]
Ids = Mapping[tuple[str, str], int]


def scene_folder(index: int) -> str:
    """Of the image of this index in the dataset, relative to the dataset's folder."""
    return f"{BOP}/train/{index // _SCENE:06d}"


def image_id(index: int) -> int:
    """Its number in its scene."""
    return index % _SCENE


def write_bop_tables(
    out: Path,
    shards: Shards,
    classes: Sequence[tuple[str, str]],
    meshes: Mapping[str, Mesh],
) -> tuple[str, ...]:
    """Write the tables of each scene, the models and what tells of the whole.

    Args:
        out: the dataset's folder.
        shards: hold the labels of each image, and what was noted as its files were written.
        classes: (kind, category) pairs that there may be; ids follow from them as in COCO.
        meshes: the model of each category that has one, in metres.

    Returns:
        Names of what it has written, relative to the dataset's folder.
    """
    ids = category_ids(shards.labels(), classes)
    models = {number: meshes[name] for (_, name), number in ids.items() if name in meshes}
    tables, beyond = _write_scenes(out, shards, ids)
    camera = to_line(_whole_camera(next(shards.labels()))) + "\n"
    whole = {f"{BOP}/camera.json": camera, f"{BOP}/dataset_info.md": _about(beyond)}
    for name, text in whole.items():
        write_atomic(out / name, text)
    return (*_write_models(out, models), *tables, *whole)


def _write_models(out: Path, models: Mapping[int, Mesh]) -> Iterator[str]:
    folder = f"{BOP}/models"
    (out / folder).mkdir(exist_ok=True)
    infos = {}
    for number, mesh in models.items():
        vertices = mesh.vertices.astype(np.float64) * 1000
        name = f"{folder}/obj_{number:06d}.ply"
        write_atomic(out / name, to_ply(vertices, mesh.faces))
        yield name
        low, high = vertices.min(0), vertices.max(0)
        infos[number] = {"diameter": diameter(vertices)}
        infos[number] |= {f"min_{axis}": low[place] for place, axis in enumerate("xyz")}
        infos[number] |= {f"size_{axis}": (high - low)[place] for place, axis in enumerate("xyz")}
    name = f"{folder}/models_info.json"
    with _table(out / name) as add:
        for number, info in infos.items():
            add(number, info)
    yield name


def _write_scenes(out: Path, shards: Shards, ids: Ids) -> tuple[list[str], int]:
    """Write each scene's tables; their names, and how many pixels are too far away."""
    written, beyond = [], 0
    for folder, images in groupby(shards.noted(BOP), lambda one: scene_folder(one[0]["index"])):
        names = [f"{folder}/{table}.json" for table in _TABLES]
        with ExitStack() as stack:
            cameras, poses, infos = (stack.enter_context(_table(out / name)) for name in names)
            for item, notes in images:
                number = image_id(item["index"])
                posed = [one for one in item["instances"] if "pose" in one]
                cameras(number, _camera(item))
                poses(number, [_pose(one, ids) for one in posed])
                infos(number, [_info(*both) for both in zip(posed, notes["valid"], strict=True)])
                beyond += notes["beyond"]
        written += names
    return written, beyond


@contextmanager
def _table(path: Path) -> Iterator[Callable[[int, Any], None]]:
    """Write a JSON object entry by entry, each on a line, by what is given."""
    with replacing(path) as file:
        between = "{\n"

        def add(key: int, value: Any) -> None:
            nonlocal between
            file.write(f'{between}"{key}": {to_line(value)}'.encode())
            between = ",\n"

        yield add
        file.write(b"\n}\n" if between != "{\n" else b"{}\n")


def _camera(item: Item) -> dict[str, Any]:
    camera = camera_from_json(item["camera"])
    # BOP counts from the centre of the first pixel, not from its corner.
    matrix = [camera.fx, 0.0, camera.cx - 0.5, 0.0, camera.fy, camera.cy - 0.5, 0.0, 0.0, 1.0]
    known: dict[str, Any] = {"cam_K": matrix, "depth_scale": DEPTH_SCALE}
    if camera.world is not None:
        known["cam_R_w2c"] = list(camera.world.rotation)
        known["cam_t_w2c"] = [1000 * value for value in camera.world.translation]
    return known


def _whole_camera(item: Item) -> dict[str, Any]:
    """That of the first image, for who wants to draw such images."""
    fx, _, cx, _, fy, cy, *_ = _camera(item)["cam_K"]
    known = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "depth_scale": DEPTH_SCALE}
    return known | {"width": item["width"], "height": item["height"]}


def _pose(instance: Item, ids: Ids) -> dict[str, Any]:
    pose = pose_from_json(instance["pose"])
    known = {
        "cam_R_m2c": list(pose.rotation),
        "cam_t_m2c": [1000 * value for value in pose.translation],
        "obj_id": ids[instance["kind"], instance["category"]],
    }
    return known if pose.scale == 1 else {**known, "scale": pose.scale}


def _info(instance: Item, valid: int) -> dict[str, Any]:
    area, full = instance["area"], instance.get("full_box")
    own = round(area / instance["visible"]) if instance["visible"] else -1
    return {
        "bbox_obj": _UNKNOWN if full is None else _breadth(full),
        "bbox_visib": _breadth(instance["box"]),
        "px_count_all": 0 if full is not None and full[0] == full[2] else own,
        "px_count_valid": valid,
        "px_count_visib": area,
        "visib_fract": instance["visible"],
    }


def _breadth(box: Sequence[int]) -> list[int]:
    """(x, y, width, height) of a box of corners; -1 where it is empty."""
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0] if x1 > x0 else _UNKNOWN


def _about(beyond: int) -> str:
    return f"""# Generated by metasim

In the format of the BOP benchmark, with these particulars:

- Lengths are in millimetres; `cam_K` counts pixels from the centre of the first one.
- A step of a depth image is {DEPTH_SCALE} mm. What is farther away than
  {DEEPEST * DEPTH_SCALE / 1000:.4f} m is 0 there, as if not measured: {beyond} pixels in all.
  `planes/` beside this folder has every depth.
- `obj_id` is the category's id in `coco.json` of the same scenes. What has no model has no
  pose, and is left out.
- An instance that is drawn larger or smaller than its model has a key `scale` in
  `scene_gt.json`: a point p of the model is at `cam_R_m2c (scale p) + cam_t_m2c`. Readers that
  do not know the key take it to be 1.
- `visib_fract` counts what lies beyond the image's edge as not visible, and `px_count_valid`
  visible pixels alone. A box of one pixel is 1 wide.
- -1 stands for what is not there or not known: boxes of nothing, `px_count_all` of what is wholly
  hidden, and `bbox_obj` where the renderer does not tell it.
- There are no masks of whole silhouettes (`mask/`), no `scene_gt_coco.json` (`coco.json` beside
  this folder is of the same masks), and no symmetries in `models_info.json`.
- Models are in the renderer's own frames, whose origin need not be the centre of their bounding
  box, as the benchmark's own are, and have no colours.
- The split is called `train`, in which the benchmark's tools look for PNG; in `train_pbr` for JPEG.
"""
