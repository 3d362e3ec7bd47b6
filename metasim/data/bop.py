"""Datasets in the layout of the BOP benchmark (Hodan et al., 2018), for poses of objects.

::

    bop/dataset_info.md  bop/camera.json
    bop/models/obj_000001.ply ...  bop/models/models_info.json
    bop/train/000000/       up to 1000 images
        scene_camera.json  scene_gt.json  scene_gt_info.json
        rgb/000000.png ...  depth/000000.png ...  mask_visib/000000_000000.png ...

The format: https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md.
Lengths are in millimetres, and a pixel's centre is at whole numbers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from metasim.data.bop_scenes import (
    BOP,
    DEEPEST,
    DEPTH_SCALE,
    image_id,
    scene_folder,
    write_bop_tables,
)
from metasim.data.format import Added, Format
from metasim.data.integrity import write_part
from metasim.data.records import Instance, Record
from metasim.data.shards import Shards
from metasim.errors import DataError, RenderError
from metasim.files import link_or_copy
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import draw, models_of

__all__ = ["BopFormat"]


class BopFormat(Format):
    """Images, depth, masks and poses of whatever has a model."""

    name = "bop"
    path = BOP

    def __init__(self, renderer: Renderer) -> None:
        """Refuse a renderer without depth, cameras or models; an empty batch tells."""
        self._meshes = models_of(renderer)
        empty = draw(renderer, ())
        known = {"depth": empty.depth, "cameras": empty.cameras, "models": self._meshes or None}
        if missing := [name for name, given in known.items() if given is None]:
            raise DataError(
                f"the format {self.name!r} needs {', '.join(known)}, and the renderer "
                f"{type(renderer).__name__} offers no {' and no '.join(missing)}; give another "
                "--format (coco), or draw with a renderer that offers them"
            )

    def check(self, rendered: Rendered) -> None:
        """Refuse a batch without what the empty one had, and poses of what has no model."""
        if rendered.depth is None or rendered.cameras is None:
            raise RenderError(
                "a renderer must offer depth and cameras in every batch or in none, and the empty "
                "one had them; the format 'bop' needs them"
            )
        posed = {one.category for labels in rendered.labels for one in labels if one.pose}
        if bare := sorted(posed - set(self._meshes)):
            raise RenderError(
                f"what has a pose must have a model of its category in meshes(), and "
                f"{', '.join(map(repr, bare))} has none"
            )

    def write_image(self, out: Path, record: Record, rendered: Rendered) -> Added:
        """Link the image, and write its depth and the mask of each instance that has a pose."""
        assert rendered.depth is not None  # checked with the batch
        folder, image = scene_folder(record.index), image_id(record.index)
        for part in ("rgb", "depth", "mask_visib"):
            (out / folder / part).mkdir(parents=True, exist_ok=True)
        rgb = f"{folder}/rgb/{image:06d}.png"
        link_or_copy(out / record.image, out / rgb)
        depth, beyond = _tenths_of_millimetres(rendered.depth[0])
        name = f"{folder}/depth/{image:06d}.png"
        files = {rgb: record.sha256, name: write_part(out / name, _png(depth))}
        valid = []
        for number, instance in enumerate(_posed(record)):
            mask = rendered.instances[0] == instance.label.instance
            name = f"{folder}/mask_visib/{image:06d}_{number:06d}.png"
            files[name] = write_part(out / name, _png(np.where(mask, 255, 0).astype(np.uint8)))
            valid.append(int(np.count_nonzero(depth[mask])))
        return Added(files, {"valid": valid, "beyond": beyond})

    def finish(
        self, out: Path, shards: Shards, classes: Sequence[tuple[str, str]]
    ) -> tuple[str, ...]:
        """Write the tables of each scene, the models and what tells of the whole."""
        return write_bop_tables(out, shards, classes, self._meshes)


def _posed(record: Record) -> list[Instance]:
    return [instance for instance in record.instances if instance.label.pose is not None]


def _tenths_of_millimetres(
    depth: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint16], int]:
    """Depth as BOP's files have it, and of how many pixels it is too large for them."""
    scaled = np.rint(depth.astype(np.float64) * 1000 / DEPTH_SCALE)
    beyond = scaled > DEEPEST
    scaled[beyond] = 0
    return scaled.astype(np.uint16), int(np.count_nonzero(beyond))


def _png(plane: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
