"""Labels of digits: boxes and visible shares, read off the drawn masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label
from metasim_mnist.batch import Batch

__all__ = ["label_digits"]


def label_digits(
    batch: Batch,
    instances: npt.NDArray[np.int32],
    own: npt.NDArray[np.int64],
    classes: Sequence[str],
) -> tuple[tuple[Label, ...], ...]:
    """A label for each of the D digits, seen or not, by image.

    Args:
        batch: the scenes that were drawn.
        instances: int32 (B, H, W), layer + 1 of the front-most digit.
        own: (D,) how many pixels each digit has, those beyond the edge and behind included.
        classes: the class names.
    """
    seen, boxes = _extents(batch, instances)
    share = seen / np.maximum(own, 1)
    labels: list[list[Label]] = [[] for _ in range(len(instances))]
    for image, layer, node, name, code, box, visible in zip(
        batch.scene.tolist(),
        batch.layer.tolist(),
        batch.node,
        batch.name,
        batch.code.tolist(),
        boxes.tolist(),
        share.tolist(),
        strict=True,
    ):
        labels[image].append(
            Label(layer + 1, node, name, "digit", classes[code], tuple(box), visible)
        )
    return tuple(map(tuple, labels))


def _extents(
    batch: Batch, instances: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(D,) seen pixels and (D, 4) boxes."""
    seen = np.zeros(len(batch.scene), np.int64)
    boxes = np.zeros((len(batch.scene), 4), np.int64)
    for layer in range(int(batch.layer.max(initial=-1)) + 1):
        digits = np.flatnonzero(batch.layer == layer)
        images = batch.scene[digits]
        planes = instances if len(images) == len(instances) else instances[images]
        mask = planes == layer + 1
        seen[digits] = np.count_nonzero(mask.reshape(len(mask), -1), axis=1)
        boxes[digits] = _boxes(mask)
    return seen, boxes


def _boxes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(n, 4) half-open x0, y0, x1, y1 of masks (n, H, W); 0 where a mask is empty."""
    columns, rows = mask.any(axis=1), mask.any(axis=2)
    height, width = mask.shape[1:]
    boxes: npt.NDArray[np.int64] = np.stack(
        [
            columns.argmax(1),
            rows.argmax(1),
            width - columns[:, ::-1].argmax(1),
            height - rows[:, ::-1].argmax(1),
        ],
        axis=1,
    )
    boxes[~rows.any(1)] = 0
    return boxes
