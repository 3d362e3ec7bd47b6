"""The promises about labels: they agree with the masks, and stay when nothing is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered
from metasim.scene.graph import Scene
from metasim.testing.broken import require
from metasim.testing.motion import FEWEST, motions
from metasim.testing.subject import Subject

__all__ = ["instances_keep_labels", "labels_agree_with_masks"]

# As shares of a location's range. What moves is to be cut by the image's edge, and to be gone.
_BEYOND = np.concatenate([[-8.0], np.linspace(-1, 2, 49), [9.0]])
# The image's edge has cut what touches it with at most this share of the pixels it has inside.
_CUT = 0.6
# What moves without growing has at least this share of its largest size in half of the images.
_STEADY = 0.8


def labels_agree_with_masks(subject: Subject) -> None:
    """Boxes are the extents of the masks, ids are labelled, categories are known ones."""
    _check_labels(subject.rendered, "as drawn")
    known = subject.renderer.known_categories
    for row, (scene, labels) in enumerate(
        zip(subject.scenes, subject.rendered.labels, strict=True)
    ):
        for label in labels:
            node = scene.nodes[label.node]
            names = known.get(node.kind)
            require(
                names is None or "class" in node.attributes or label.category in names,
                f"image {row}: known_categories[{node.kind!r}] must name {label.category!r}, the "
                f"category of {node.name!r}, which has no attribute 'class'",
            )


def instances_keep_labels(subject: Subject) -> None:
    """An instance out of sight keeps its label; ``visible`` falls as the image's edge cuts it.

    What is labelled in one scene is labelled in all. Instances with an attribute ``x``,
    ``y`` or ``z`` are moved over its range and beyond.
    """
    labelled: set[str] = set()
    bare: dict[str, str] = {}
    for scenes, rendered, where in _series(subject):
        for row, (scene, labels) in enumerate(zip(scenes, rendered.labels, strict=True)):
            of = {label.node for label in labels}
            labelled |= {scene.nodes[node].name for node in of}
            for node in set(range(len(scene.nodes))) - of:
                bare.setdefault(scene.nodes[node].name, f"image {row}, {where}")
    for name, where in bare.items():
        require(
            name not in labelled,
            f"{where}: every {name!r} must have a label, seen or not, as it has in other "
            "scenes; where nothing is seen its box is (0, 0, 0, 0) and visible is 0",
        )


def _series(subject: Subject) -> Iterator[tuple[Sequence[Scene], Rendered, str]]:
    """Scenes, what is drawn of them, and in words how they were made; labels are checked."""
    _check_labels(subject.rendered, "as drawn")
    yield subject.scenes, subject.rendered, "as drawn"
    for where, index, scenes, rendered in motions(subject, _BEYOND):
        _check_labels(rendered, where)
        _check_falls(rendered, index, where)
        yield scenes, rendered, where


def _check_falls(rendered: Rendered, index: int, where: str) -> None:
    """Where the edge has cut most of an instance, less of it is visible than of a whole one."""
    height, width = rendered.instances.shape[1:]
    whole: list[tuple[int, float]] = []
    cut: list[tuple[int, float]] = []
    for plane, labels in zip(rendered.instances, rendered.labels, strict=True):
        for label in labels:
            if label.node == index:
                x0, y0, x1, y1 = label.box
                inside = x0 > 0 and y0 > 0 and x1 < width and y1 < height
                area = int(np.count_nonzero(plane == label.instance))
                (whole if inside else cut).append((area, float(label.visible)))
    area, visible = max(whole, default=(0, 0.0))
    own = sorted(left / share for left, share in whole if share > 0)
    # In perspective it grows as it comes near: few pixels at the edge are then no sign of a cut.
    grows = bool(own) and own[len(own) // 2] < _STEADY * own[-1]
    if area < FEWEST or grows:
        return
    for left, share in cut:
        require(
            not 0 < left <= _CUT * area or share < visible,
            f"{where}: visible must count the pixels beyond the edge as unseen; with {left} "
            f"pixels left of {area} it went from {visible:g} to {share:g}",
        )


def _check_labels(rendered: Rendered, how: str) -> None:
    """What a batch's own check leaves out: whether labels and pixels agree."""
    for row, labels in enumerate(rendered.labels):
        plane, where = rendered.instances[row], f"image {row}, {how}"
        unlabelled = sorted(set(np.unique(plane).tolist()) - {0, *(n.instance for n in labels)})
        require(not unlabelled, f"{where}: every id in the plane must be labelled: {unlabelled}")
        for label in labels:
            _check_label(label, plane == label.instance, f"{where}, id {label.instance}")


def _check_label(label: Label, mask: npt.NDArray[np.bool_], where: str) -> None:
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    require(
        tuple(label.box) == box,
        f"{where}: box must be its mask's extent (x0, y0, x1, y1), half-open, {box}; "
        f"got {label.box}",
    )
    require(
        (label.visible > 0) == (rows.size > 0),
        f"{where}: visible must be above 0 exactly where it has pixels; got {label.visible!r} "
        f"with {rows.size} pixels",
    )
