"""The promise that the instance plane shows what the image shows, where it shows it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered
from metasim.testing.broken import require
from metasim.testing.motion import FEWEST, WITHIN, motions
from metasim.testing.subject import Subject

__all__ = ["masks_follow_pixels"]

# As shares of a location's range; far beyond it, what moves is gone.
_BEYOND = np.concatenate([[-8.0], WITHIN, [9.0]])
_NEAR = 2  # pixels by which soft edges may go beyond a mask
# Shadows and reflections change pixels far from a mask, and what looks like the ground changes
# none within: a mask is wrong only where both shares are below this.
_MOST = 0.5
_CLEAR = 0.125  # of the largest change; soft edges and reflections change less

Images = npt.NDArray[np.uint8]


def masks_follow_pixels(subject: Subject) -> None:
    """Pixels change where an instance that is moved was and is, by its masks.

    Where nothing has a label, nothing may move over the image either.
    """
    labelled = any(subject.rendered.labels)
    bare = ""
    for where, swept in groupby(motions(subject, _BEYOND), key=attrgetter("where")):
        sums = np.zeros(4)
        for _, index, _, rendered in swept:
            sums += _sums(rendered, index)
            labelled = labelled or any(rendered.labels)
            bare = bare or (where if _moves(rendered.images) else "")
        _check_agree(sums, where)
    require(
        labelled or not bare,
        f"{bare}: what moves over the image must have a label and pixels in the instance plane, "
        "and no scene has any label",
    )


def _check_agree(sums: npt.NDArray[np.float64], where: str) -> None:
    own, changed, all_change, near = sums.tolist()
    require(
        own < FEWEST or changed >= _MOST * own or near >= _MOST * all_change,
        f"{where}: pixels of the image must change where the instance plane says that it was or "
        f"is; {changed / max(own, 1):.0%} of those did, and {near / max(all_change, 1):.0%} of "
        "the change is near them (is one of the two mirrored or shifted?)",
    )


def _sums(rendered: Rendered, index: int) -> npt.NDArray[np.float64]:
    """Over images, each beside the one in which the instance has the fewest pixels.

    Returns:
        Pixels that it has in one of the two; how many of those change clearly; all change; how
        much of that is near the instance.
    """
    masks = [
        _mask(plane, labels, index)
        for plane, labels in zip(rendered.instances, rendered.labels, strict=True)
    ]
    least = int(np.argmin([np.count_nonzero(mask) for mask in masks]))
    sums = np.zeros(4)
    for image, mask in zip(rendered.images, masks, strict=True):
        own = mask ^ masks[least]
        if own.any():
            change = _change(image, rendered.images[least])
            near = _grown(mask | masks[least])
            clear = change[own] > change.max() * _CLEAR
            sums += own.sum(), clear.sum(), change.sum(), change[near].sum()
    return sums


def _mask(
    plane: npt.NDArray[np.int32], labels: Sequence[Label], index: int
) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) of a node."""
    return np.isin(plane, [label.instance for label in labels if label.node == index])


def _change(one: Images, other: Images) -> npt.NDArray[np.int16]:
    """(H, W): by how much the colour that differs most does."""
    change: npt.NDArray[np.int16] = np.abs(one.astype(np.int16) - other).max(-1)
    return change


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    side = 2 * _NEAR + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mask, _NEAR), (side, side))
    grown: npt.NDArray[np.bool_] = around.any((2, 3))
    return grown


def _moves(images: Images) -> bool:
    """Whether part of the image changes, and in another step another. A light changes all."""
    steps = [_change(one, other) for one, other in pairwise(images)]
    most = max(int(step.max()) for step in steps)
    parts = [step > most / 4 for step in steps]
    if not most or any(part.mean() > _MOST for part in parts):
        return False
    parts = [part for part in parts if part.any()]
    return any(not (one & other).any() for one in parts for other in parts)
