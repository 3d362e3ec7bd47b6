"""What the renderer contract asks for, one function for each promise.

A check takes a :class:`Subject` and raises :class:`~metasim.testing.broken.ContractBrokenError`,
saying what must hold and what was got. Those of labels, of attributes, of space and of gradients
have modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera
from metasim.scene.graph import Scene
from metasim.testing.attributes import attributes_act, example_covers_kinds
from metasim.testing.broken import require
from metasim.testing.geometry import (
    boxes_agree_with_poses,
    depth_agrees_with_poses,
    models_fit_poses,
    normals_agree_with_depth,
    planes_are_offered_alike,
)
from metasim.testing.labels import instances_keep_labels, labels_agree_with_masks
from metasim.testing.masks import masks_follow_pixels
from metasim.testing.occlusion import hidden_is_not_visible
from metasim.testing.subject import SCENES, Subject
from metasim.testing.tensors import tensor_agrees_with_render, tensor_has_gradients

__all__ = [
    "CHECKS",
    "batch_equals_singles",
    "clean_close",
    "drawn_stays_as_it_is",
    "empty_batch",
    "equal_scenes_equal_pixels",
    "kinds_cover_grammar",
    "no_global_state",
    "scenes_not_mutated",
    "shapes_and_dtypes",
]


def kinds_cover_grammar(subject: Subject) -> None:
    """Every kind and attribute of the grammar is one the renderer says it understands."""
    kinds = subject.renderer.kinds
    for node in subject.grammar.nodes.values():
        require(
            node.kind in kinds,
            f"kinds must name {node.kind!r} (node {node.name!r}), it has {sorted(kinds)}",
        )
        unknown = sorted(set(node.attributes) - kinds[node.kind])
        require(not unknown, f"kinds[{node.kind!r}] must name the attributes {unknown}")


def shapes_and_dtypes(subject: Subject) -> None:
    """Images, instances and labels have the shapes and dtypes of the contract."""
    size = subject.renderer.image_size
    require(
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


def drawn_stays_as_it_is(subject: Subject) -> None:
    """What a call has returned is not written to by later ones."""
    first = subject.draw(subject.scenes)
    kept = first.copy()
    for _ in range(2):  # two buffers that take turns are found as well
        subject.draw(subject.scenes[::-1])
    for plane in ("images", "instances", "depth", "normals"):
        now, then = getattr(first, plane), getattr(kept, plane)
        require(
            now is None or bool((now == then).all()),
            f"render() must return {plane} that later calls do not write to; those of one call "
            "have changed since: make new arrays in each call, or return copies",
        )
    require(_labels(first) == _labels(kept), "render() must not change labels that it has returned")
    require(_cameras(first) == _cameras(kept), "render() must not change cameras it has returned")


def _same(got: Rendered, expected: Rendered, what: str) -> None:
    for plane in ("images", "instances", "depth", "normals"):
        a, b = getattr(got, plane), getattr(expected, plane)
        if a is None and b is None:
            continue
        require(a is not None and b is not None, f"{what} must both have {plane}")
        differing = int(np.count_nonzero(a != b))
        require(
            differing == 0,
            f"{what} must have equal {plane}; {differing} of {a.size} values differ "
            "(every random choice must follow from the scene's seed and attributes)",
        )
    require(_labels(got) == _labels(expected), f"{what} must have equal labels")
    require(_cameras(got) == _cameras(expected), f"{what} must have equal cameras")


def _labels(rendered: Rendered) -> tuple[tuple[Label, ...], ...]:
    """The labels, of which lists do as well."""
    return tuple(map(tuple, rendered.labels))


def _cameras(rendered: Rendered) -> tuple[Camera, ...] | None:
    return None if rendered.cameras is None else tuple(rendered.cameras)


def scenes_not_mutated(subject: Subject) -> None:
    """Rendering leaves the scenes as they were."""
    scenes, expected = subject.sample(), subject.sample()
    subject.draw(scenes)
    require(scenes == expected, "render() must not change the scenes it is given")


def clean_close(subject: Subject) -> None:
    """Close may be called twice, and before any render; it ends threads and processes."""
    subject.close()
    unused = subject.renderer
    subject.close()
    unused.close()
    used = subject.renderer
    subject.draw(subject.scenes[:1])
    subject.close()
    used.close()
    left = subject.footprint.still_running()
    require(not left, f"close() must end what the renderer started, still running: {left}")


def no_global_state(subject: Subject) -> None:
    """Importing, making, using and closing a renderer leaves global state alone."""
    subject.close()
    subject.draw(subject.scenes)
    subject.close()
    changed = sorted(subject.footprint.changed)
    require(
        not changed,
        f"a renderer must not touch {', '.join(changed)}; use generators of your own, and put "
        "back what you must change",
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    kinds_cover_grammar,
    example_covers_kinds,
    shapes_and_dtypes,
    empty_batch,
    equal_scenes_equal_pixels,
    batch_equals_singles,
    drawn_stays_as_it_is,
    labels_agree_with_masks,
    masks_follow_pixels,
    instances_keep_labels,
    hidden_is_not_visible,
    planes_are_offered_alike,
    models_fit_poses,
    boxes_agree_with_poses,
    depth_agrees_with_poses,
    normals_agree_with_depth,
    attributes_act,
    tensor_agrees_with_render,
    tensor_has_gradients,
    scenes_not_mutated,
    clean_close,
    no_global_state,
)
"""The contract, in the order in which it is checked."""
