"""Instance masks as run lengths, in the form COCO uses.

A mask is read column by column; the lengths of its runs of 0, 1, 0, 1, ... (the first may
be 0) are written as text: from the fourth on as the difference to the last but one, each
in groups of 5 bits, lowest first, as the characters from "0" on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["Mask", "decode_mask", "encode_masks", "instance_masks"]

_BLOCK = 1 << 23


@dataclass(frozen=True, slots=True)
class Mask:
    """The visible pixels of one instance.

    Attributes:
        runs: their run lengths as COCO's compressed text.
        area: how many there are.
        box: (x0, y0, x1, y1) around them, half-open; all 0 where there are none.
    """

    runs: str
    area: int
    box: tuple[int, int, int, int]


def instance_masks(
    instances: npt.NDArray[np.int32], images: Sequence[int], ids: Sequence[int]
) -> list[Mask]:
    """The masks of M instances of a batch.

    Args:
        instances: int32 (B, H, W), the id at each pixel.
        images: which image each instance is in, M indices below B.
        ids: the id of each instance, M numbers.
    """
    found: list[Mask] = []
    height, width = instances.shape[1:]
    step = max(1, _BLOCK // (height * width))  # bounds the memory, whatever the batch
    for start in range(0, len(ids), step):
        where = np.asarray(images[start : start + step], dtype=np.intp)
        which = np.asarray(ids[start : start + step], dtype=np.int32)
        masks = instances[where] == which[:, None, None]
        areas = np.count_nonzero(masks, axis=(1, 2)).tolist()
        parts = zip(encode_masks(masks), areas, _boxes(masks), strict=True)
        found += [Mask(runs, area, box) for runs, area, box in parts]
    return found


def _boxes(masks: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    columns, rows = masks.any(axis=1), masks.any(axis=2)
    (height, width), some = masks.shape[1:], rows.any(axis=1)
    edges = [
        columns.argmax(axis=1),
        rows.argmax(axis=1),
        (width - columns[:, ::-1].argmax(axis=1)) * some,
        (height - rows[:, ::-1].argmax(axis=1)) * some,
    ]
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.stack(edges, axis=1).tolist()]


def encode_masks(masks: npt.NDArray[np.bool_]) -> list[str]:
    """Run lengths of M masks as COCO's compressed text.

    Args:
        masks: bool (M, H, W).
    """
    count = len(masks)
    if not count:
        return []
    pixels = np.ascontiguousarray(masks.transpose(0, 2, 1)).reshape(count, -1)
    total = pixels.shape[1]
    changed = np.empty_like(pixels)
    changed[:, 0] = pixels[:, 0]  # the first run is one of zeros, if need be of length 0
    np.not_equal(pixels[:, 1:], pixels[:, :-1], out=changed[:, 1:])
    row, start = np.nonzero(changed)
    runs = np.bincount(row, minlength=count) + 1
    last = np.cumsum(runs) - 1
    ends = np.full(int(last[-1]) + 1, total, dtype=np.int64)
    ends[np.arange(len(row)) + row] = start
    lengths = np.diff(ends, prepend=0)
    first = last - runs + 1
    lengths[first] = ends[first]
    return _to_text(lengths, first, runs)


def _to_text(
    lengths: npt.NDArray[np.int64], first: npt.NDArray[np.int64], runs: npt.NDArray[np.int64]
) -> list[str]:
    """The run lengths of all masks, one after the other, as one text for each mask."""
    place = np.arange(len(lengths)) - np.repeat(first, runs)
    values = lengths.copy()
    values[2:] -= np.where(place[2:] > 2, lengths[:-2], 0)
    # Groups needed by a signed number: the sign bit must fit as well.
    magnitude = np.where(values < 0, ~values, values)
    groups = np.ones(len(values), dtype=np.int64)
    while (magnitude >> (5 * groups - 1)).any():
        groups += (magnitude >> (5 * groups - 1)) > 0
    shift = 5 * np.arange(int(groups.max()))
    digits = (values[:, None] >> shift) & 31
    more = np.arange(len(shift)) < (groups - 1)[:, None]
    text = (digits + 32 * more + 48).astype(np.uint8)
    used = np.arange(len(shift)) < groups[:, None]
    whole = text[used].tobytes().decode("ascii")
    ends = np.cumsum(np.add.reduceat(groups, first)).tolist()
    return [whole[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def decode_mask(text: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask, bool (H, W), whose compressed run lengths are ``text``.

    Raises:
        DataError: when the text is not one of run lengths for ``size`` (H, W).
    """
    height, width = size
    lengths = _from_text(text)
    if lengths is None or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise DataError(
            f"not the run lengths of a mask of {height} x {width} pixels: {text[:40]!r}"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def _from_text(text: str) -> npt.NDArray[np.int64] | None:
    codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        return None
    end = np.flatnonzero(codes < 32)
    first = np.concatenate([[0], end[:-1] + 1])
    groups = end - first + 1
    if groups.max() > 8:  # 40 bits: more than any image has pixels
        return None
    place = np.arange(len(codes)) - np.repeat(first, groups)
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    values -= np.where(codes[end] & 16, 1 << (5 * groups), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
