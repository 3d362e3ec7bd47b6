"""The promise that ``visible`` counts what others hide as unseen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from metasim.render.base import Label, Rendered
from metasim.scene.graph import Scene
from metasim.testing.broken import require
from metasim.testing.motion import FEWEST, WITHIN, locations, with_node
from metasim.testing.subject import Subject

__all__ = ["hidden_is_not_visible"]

_SCENES = 2
# Of its pixels something has lost at least this share, all to what was moved before it.
_HIDDEN = 0.4


def hidden_is_not_visible(subject: Subject) -> None:
    """``visible`` falls where an instance is hidden by another that moves before it.

    Of scenes with two labelled instances that have an attribute ``x``, ``y`` or ``z``, one is
    put where the other is, and moved from there over its range.
    """
    scenes = subject.scenes_where(lambda scene: len(_movable(subject, scene)) > 1)
    for scene in scenes[:_SCENES]:
        for moving, still in _pairs(subject, scene):
            for moved, where in _passing(subject, scene, moving, still):
                # Two things at one place a renderer may refuse.
                if (rendered := subject.try_to_draw(moved)) is not None:
                    _check_falls(rendered, moving, still, where)


def _pairs(subject: Subject, scene: Scene) -> Iterator[tuple[int, int]]:
    """Places of a node that is to move and of another that is to stay as it is."""
    shown = _by_node(subject.draw([scene]).labels[0])
    places = [place for place in _movable(subject, scene) if place in shown]
    if len(places) > 1:
        for moving, still in permutations((places[0], places[-1])):
            above = scene.nodes[still].parent
            while above not in (moving, -1):
                above = scene.nodes[above].parent
            if above != moving:  # else it would be taken along
                yield moving, still


def _movable(subject: Subject, scene: Scene) -> list[int]:
    """Places of the nodes that have a location."""
    known = subject.grammar.nodes
    return [place for place, node in enumerate(scene.nodes) if locations(known[node.name])]


def _passing(
    subject: Subject, scene: Scene, moving: int, still: int
) -> Iterator[tuple[Sequence[Scene], str]]:
    """Scenes in which one node passes by another, and in words how they were made."""
    mine, others = scene.nodes[moving], scene.nodes[still].attributes
    known = subject.grammar.nodes[mine.name]
    ranges = {key: ends for key, ends in locations(known).items() if key in others}
    there = {key: known.attributes[key].fit(others[key]) for key in ranges}
    for key, (low, high) in ranges.items():
        yield (
            [
                with_node(scene, moving, {**there, key: low + (high - low) * share})
                for share in WITHIN.tolist()
            ],
            f"moving {mine.name}.{key} past {scene.nodes[still].name!r}",
        )


def _check_falls(rendered: Rendered, moving: int, still: int, where: str) -> None:
    """Where what moves hides what does not, less of that is visible than of all of it."""
    seen = [
        (plane, of[moving].instance, of[still])
        for plane, of in zip(rendered.instances, map(_by_node, rendered.labels), strict=True)
        if moving in of and still in of
    ]
    masks = [plane == label.instance for plane, _, label in seen]
    areas = [int(mask.sum()) for mask in masks]
    area = max(areas, default=0)
    if area < FEWEST:
        return
    whole, before = masks[areas.index(area)], seen[areas.index(area)][2].visible
    for (plane, mover, label), mask, left in zip(seen, masks, areas, strict=True):
        lost = whole & ~mask
        # Only then it has neither moved nor changed, and all that is missing is behind the other.
        hidden = not (mask & ~whole).any() and bool((plane[lost] == mover).all())
        require(
            not (hidden and 0 < left <= (1 - _HIDDEN) * area) or label.visible < before,
            f"{where}: visible must count the pixels behind another instance as unseen; with "
            f"{left} pixels left of {area}, the others behind it, it went from {before:g} to "
            f"{label.visible:g}",
        )


def _by_node(labels: Sequence[Label]) -> dict[int, Label]:
    return {label.node: label for label in labels}
