"""What the renderer contract asks for, one function for each promise.

A check takes a :class:`Subject` and raises :class:`ContractBrokenError`, saying what must
hold and what was got.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered
from metasim.scene.graph import Scene
from metasim.testing.subject import SCENES, Subject

__all__ = ["CHECKS", "ContractBrokenError"]

_SWEEP = 5


class ContractBrokenError(AssertionError):
    """A renderer does not do what the contract asks for."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ContractBrokenError(message)


def kinds_cover_grammar(subject: Subject) -> None:
    """Every kind and attribute of the grammar is one the renderer says it understands."""
    kinds = subject.renderer.kinds
    for node in subject.grammar.nodes.values():
        _require(
            node.kind in kinds,
            f"kinds must name {node.kind!r} (node {node.name!r}), it has {sorted(kinds)}",
        )
        unknown = sorted(set(node.attributes) - kinds[node.kind])
        _require(not unknown, f"kinds[{node.kind!r}] must name the attributes {unknown}")


def shapes_and_dtypes(subject: Subject) -> None:
    """Images, instances and labels have the shapes and dtypes of the contract."""
    size = subject.renderer.image_size
    _require(
        isinstance(size, tuple)
        and len(size) == 2
        and all(isinstance(s, int) and s > 0 for s in size),
        f"image_size must be a tuple (H, W) of whole numbers above 0, got {size!r}",
    )
    subject.draw(subject.scenes)


def empty_batch(subject: Subject) -> None:
    """No scenes give a Rendered of no images, with the right shapes."""
    subject.draw(())


def equal_scenes_equal_pixels(subject: Subject) -> None:
    """A scene looks the same within a call, in a later call, and from another instance."""
    first = subject.scenes[0]
    twice = subject.draw((first, *subject.scenes, Scene.from_json(first.to_json())))
    _same(twice[:1], subject.rendered[:1], "a scene drawn in two calls")
    _same(twice[-1:], twice[:1], "two equal scenes in one batch")
    subject.close()
    _same(subject.draw(subject.scenes), subject.rendered, "scenes drawn by two instances")


def batch_equals_singles(subject: Subject) -> None:
    """A scene's image does not depend on its neighbours in the batch, nor on their order."""
    for row, scene in reversed(list(enumerate(subject.scenes))):
        _same(
            subject.draw((scene,)),
            subject.rendered[row : row + 1],
            f"scene {row} drawn alone and in a batch",
        )
    backwards = subject.draw(subject.scenes[::-1])
    for row in range(SCENES):
        place = SCENES - 1 - row
        _same(
            backwards[place : place + 1],
            subject.rendered[row : row + 1],
            f"scene {row} in a batch and in the reversed batch",
        )


def _same(got: Rendered, expected: Rendered, what: str) -> None:
    for plane in ("images", "instances", "depth", "normals"):
        a, b = getattr(got, plane), getattr(expected, plane)
        if a is None and b is None:
            continue
        _require(a is not None and b is not None, f"{what} must both have {plane}")
        differing = int(np.count_nonzero(a != b))
        _require(
            differing == 0,
            f"{what} must have equal {plane}; {differing} of {a.size} values differ "
            "(every random choice must follow from the scene's seed and attributes)",
        )
    _require(got.labels == expected.labels, f"{what} must have equal labels")


def labels_agree_with_masks(subject: Subject) -> None:
    """Boxes are the extents of the masks, ids are labelled, names are those of the nodes."""
    rendered = subject.rendered
    for row, (scene, labels) in enumerate(zip(subject.scenes, rendered.labels, strict=True)):
        plane, where = rendered.instances[row], f"image {row}"
        ids = [label.instance for label in labels]
        _require(
            len(set(ids)) == len(ids) and min(ids, default=1) >= 1,
            f"{where}: label ids must be different and at least 1, got {ids}",
        )
        unlabelled = sorted(set(np.unique(plane).tolist()) - {0, *ids})
        _require(not unlabelled, f"{where}: every id in the plane must be labelled: {unlabelled}")
        for label in labels:
            _check_label(label, scene, plane == label.instance, f"{where}, id {label.instance}")


def _check_label(label: Label, scene: Scene, mask: npt.NDArray[np.bool_], where: str) -> None:
    _require(
        0 <= label.node < len(scene.nodes),
        f"{where}: node must be an index into the scene's {len(scene.nodes)} nodes, "
        f"got {label.node}",
    )
    node = scene.nodes[label.node]
    _require(
        (label.name, label.kind) == (node.name, node.kind),
        f"{where}: name and kind must be {(node.name, node.kind)}, got {(label.name, label.kind)}",
    )
    _require(
        isinstance(label.category, str) and label.category != "",
        f"{where}: category must be a string that is not empty, got {label.category!r}",
    )
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    _require(
        tuple(label.box) == box,
        f"{where}: box must be its mask's extent (x0, y0, x1, y1), half-open, {box}; "
        f"got {label.box}",
    )
    _require(
        0 <= label.visible <= 1 and (label.visible > 0) == (rows.size > 0),
        f"{where}: visible must be a share from 0 to 1, above 0 where it has pixels; "
        f"got {label.visible!r} with {rows.size} pixels",
    )


def attributes_act(subject: Subject) -> None:
    """Each learnable attribute, moved over its range, changes pixels in some scene."""
    for name, attribute in subject.grammar.learnable.items():
        node_name, _, key = name.rpartition(".")
        low, high = attribute.range or (0.0, 1.0)
        scenes = [s for s in subject.scenes if any(n.name == node_name for n in s.nodes)]
        if not scenes:
            continue
        # The end itself is left out: on a periodic attribute it is the start again.
        moved = [
            scene.with_attributes(
                {key: low + (high - low) * step / _SWEEP} if n.name == node_name else None
                for n in scene.nodes
            )
            for scene in scenes
            for step in range(_SWEEP)
        ]
        images = subject.draw(moved).images.reshape(len(scenes), _SWEEP, -1)
        _require(
            bool((images != images[:, :1]).any()),
            f"{name} must act on the image; moved over {low:g} to {high:g} in {len(scenes)} "
            "scenes it changed no pixel (draw it, or take it out of kinds)",
        )


def scenes_not_mutated(subject: Subject) -> None:
    """Rendering leaves the scenes as they were."""
    scenes, expected = subject.sample(), subject.sample()
    subject.draw(scenes)
    _require(scenes == expected, "render() must not change the scenes it is given")


def clean_close(subject: Subject) -> None:
    """Close may be called twice, and before any render; it ends threads and processes."""
    subject.close()
    before = _running()
    unused = subject.renderer
    subject.close()
    unused.close()
    used = subject.renderer
    subject.draw(subject.scenes[:1])
    subject.close()
    used.close()
    left = [what for key, what in _running().items() if key not in before]
    _require(not left, f"close() must end what the renderer started, still running: {left}")


def _running() -> dict[int | None, str]:
    threads = {t.ident: f"thread {t.name}" for t in threading.enumerate() if not t.daemon}
    return threads | {p.pid: f"process {p.name}" for p in multiprocessing.active_children()}


def no_global_state(subject: Subject) -> None:
    """Making, using and closing a renderer leaves the process's global state alone."""
    subject.close()
    subject.draw(subject.scenes)
    subject.close()
    _require(
        not subject.leaks,
        f"a renderer must not touch {', '.join(sorted(subject.leaks))}; use generators of your "
        "own, and put back what you must change",
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    kinds_cover_grammar,
    shapes_and_dtypes,
    empty_batch,
    equal_scenes_equal_pixels,
    batch_equals_singles,
    labels_agree_with_masks,
    attributes_act,
    scenes_not_mutated,
    clean_close,
    no_global_state,
)
"""The contract, in the order in which it is checked."""
