"""One batch of a dataset: its images, planes and labels, and what the formats add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metasim.data.format import Format
from metasim.data.integrity import write_part
from metasim.data.manifest import IMAGES, PLANES
from metasim.data.masks import Mask, instance_masks
from metasim.data.pictures import encode_png
from metasim.data.planes import offered, pack
from metasim.data.records import Instance, Record
from metasim.data.shards import Written
from metasim.errors import RenderError
from metasim.render.base import Rendered
from metasim.scene.graph import Scene

__all__ = ["write_batch"]


def write_batch(
    out: Path, batch: range, scenes: Sequence[Scene], drawn: Rendered, formats: Sequence[Format]
) -> list[Written]:
    """Write the files of a batch; what is to be known of each image, in order.

    Raises:
        RenderError: when labels contradict the instance plane, or a format finds that
            something is missing.
        OSError: when the disk refuses.
    """
    for each in formats:
        each.check(drawn)
    (out / IMAGES).mkdir(exist_ok=True)
    masks = iter(_masks(drawn))
    written = []
    for row, (index, scene) in enumerate(zip(batch, scenes, strict=True)):
        one = drawn[row : row + 1]
        instances = _instances(index, one, masks)
        image = f"{IMAGES}/{index:06d}.png"
        planes, planes_sha256 = _write_planes(out, index, one)
        record = Record(
            index=index,
            image=image,
            sha256=write_part(out / image, encode_png(one.images[0])),
            size=(one.images.shape[1], one.images.shape[2]),
            scene=scene,
            instances=instances,
            planes=planes,
            planes_sha256=planes_sha256,
            camera=None if one.cameras is None else one.cameras[0],
        )
        written.append(_with_formats(out, record, one, formats))
    return written


def _masks(drawn: Rendered) -> list[Mask]:
    """The mask of every label of a batch, in order."""
    rows = [row for row, labels in enumerate(drawn.labels) for _ in labels]
    ids = [label.instance for labels in drawn.labels for label in labels]
    return instance_masks(drawn.instances, rows, ids)


def _instances(index: int, one: Rendered, masks: Iterator[Mask]) -> tuple[Instance, ...]:
    """The labels of one image with the next of the masks, as long as they agree."""
    size = (one.images.shape[1], one.images.shape[2])
    instances = []
    for label in one.labels[0]:
        mask = next(masks)
        if mask.box != tuple(label.box):
            raise RenderError(
                f"image {index}: the box of instance {label.instance} ({label.name!r}) must be "
                f"that of its visible pixels, {mask.box}, got {tuple(label.box)}"
            )
        if (label.visible > 0) != (mask.area > 0):
            raise RenderError(
                f"image {index}: visible of instance {label.instance} ({label.name!r}) must be "
                f"above 0 where it has pixels and 0 where it has none, got {label.visible:g} with "
                f"{mask.area} pixels"
            )
        instances.append(Instance(label, mask.area, size, mask.runs))
    labelled, drawn_on = sum(i.area for i in instances), np.count_nonzero(one.instances)
    if labelled != drawn_on:
        raise RenderError(
            f"image {index}: every pixel of an instance must have a label, but "
            f"{drawn_on - labelled} of {drawn_on} have none"
        )
    return tuple(instances)


def _write_planes(out: Path, index: int, one: Rendered) -> tuple[str | None, str | None]:
    """The file of an image's planes and its SHA-256, where the renderer offers any."""
    planes = offered(one)
    if not planes:
        return None, None
    (out / PLANES).mkdir(exist_ok=True)
    name = f"{PLANES}/{index:06d}.npz"
    return name, write_part(out / name, pack(planes))


def _with_formats(out: Path, record: Record, one: Rendered, formats: Sequence[Format]) -> Written:
    files: dict[str, str] = {}
    notes = {}
    for each in formats:
        added = each.write_image(out, record, one)
        files |= added.files
        if added.notes is not None:
            notes[each.name] = added.notes
    return Written(replace(record, files=files), notes)
