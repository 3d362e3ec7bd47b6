"""What a simulator knows of each pixel, as channels for a network to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError, did_you_mean
from metasim.refine.fidelity import borders
from metasim.refine.options import Condition
from metasim.render.base import Label, Rendered

__all__ = ["channels", "conditions"]

_BACKGROUND = 0
"""What ``Rendered.instances`` is where there is no instance."""


def channels(kinds: Sequence[Condition], classes: Sequence[str]) -> int:
    """How many channels :func:`conditions` gives for these kinds."""
    widths = {"classes": len(classes) + 1, "edges": 1, "depth": 1, "normals": 3}
    return sum(widths[kind] for kind in kinds)


def conditions(
    rendered: Rendered, kinds: Sequence[Condition], classes: Sequence[str]
) -> npt.NDArray[np.float32]:
    """What is known of each pixel, in the order of ``kinds``.

    Each image's channels follow from that image alone:

    - "classes": 1 in the channel of the pixel's class, else 0; the last channel is the background;
    - "edges": 1 where one of the four neighbours belongs to another instance or to the background,
      else 0, as the instance map of pix2pixHD (Wang et al., 2018);
    - "depth": 1 / (1 + depth in metres), so that what is near is near 1, and what is far near 0; 0
      where there is no surface;
    - "normals": x, y and z from -1 to 1 in the camera's frame; 0 where there is no surface.

    Args:
        rendered: B images of H x W pixels.
        kinds: what is asked for.
        classes: all that ``Label.category`` may be, in the order of their channels.

    Returns:
        float32 (B, C, H, W).

    Raises:
        DataError: where the renderer does not offer what is asked for, or an instance has a class
            that is not among ``classes``, or has no label.
    """
    batch, height, width = rendered.instances.shape
    planes: list[npt.NDArray[np.float32]] = [np.empty((batch, 0, height, width), np.float32)]
    for kind in kinds:
        if kind == "classes":
            planes.append(_one_hot(rendered, classes))
        elif kind == "edges":
            planes.append(borders(rendered.instances)[:, None].astype(np.float32))
        elif kind == "depth":
            planes.append(_nearness(_offered(rendered.depth, kind))[:, None])
        else:
            planes.append(np.moveaxis(_offered(rendered.normals, kind), 3, 1))
    return np.ascontiguousarray(np.concatenate(planes, axis=1))


def _offered(plane: npt.NDArray[np.float32] | None, kind: Condition) -> npt.NDArray[np.float32]:
    """The plane, which must be there."""
    if plane is None:
        raise DataError(
            f"the condition {kind!r} needs a renderer that offers {kind}, which this one does not; "
            "leave it out, or use another renderer"
        )
    return plane


def _one_hot(rendered: Rendered, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """(B, K + 1, H, W) of K classes and the background."""
    numbers = {name: number for number, name in enumerate(classes)}
    places = np.empty(rendered.instances.shape, np.intp)
    for plane, labels, place in zip(rendered.instances, rendered.labels, places, strict=True):
        number_of = {_BACKGROUND: len(classes)} | _numbers_of(labels, numbers)
        ids, found = np.unique(plane, return_inverse=True)
        if unlabelled := set(ids.tolist()) - number_of.keys():
            raise DataError(
                f"each instance must have a label, got none of {min(unlabelled)}; "
                "metasim renderers check looks at this"
            )
        place[:] = np.array([number_of[i] for i in ids.tolist()])[found.reshape(plane.shape)]
    every = np.arange(len(classes) + 1)[:, None, None]
    hot: npt.NDArray[np.bool_] = places[:, None] == every
    return hot.astype(np.float32)


def _numbers_of(labels: Sequence[Label], numbers: dict[str, int]) -> dict[int, int]:
    """The number of each instance's class."""
    for label in labels:
        if label.category not in numbers:
            raise DataError(
                f"the class {label.category!r} of {label.name!r} has no channel in the condition "
                f"'classes'; {did_you_mean(label.category, [*numbers])}"
            )
    return {label.instance: numbers[label.category] for label in labels}


def _nearness(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(B, H, W), from 0 to 1."""
    return np.where(depth > 0, 1 / (1 + depth), np.float32(0))
