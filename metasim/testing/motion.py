"""Things that are moved over the image: what promises about labels and masks are checked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metasim.render.base import Rendered
from metasim.scene.grammar import GrammarNode
from metasim.scene.graph import Scene, Value
from metasim.testing.subject import Subject

__all__ = ["FEWEST", "WITHIN", "Motion", "locations", "motions", "with_node"]

FEWEST = 16
"""Pixels; of smaller masks a step, or a part of a pixel, may change as much."""

WITHIN = np.linspace(0, 1, 17)
"""Where something is put, as shares of a location's range."""

_LOCATIONS = ("x", "y", "z")  # attributes that say where something is
_SWEPT = 2


class Motion(NamedTuple):
    """A node that is moved by one attribute.

    Attributes:
        where: in words how the scenes were made; equal for all of one node's name and attribute.
        place: of the node in each scene.
        scenes: with the node at one place after another.
        rendered: what is drawn of them.
    """

    where: str
    place: int
    scenes: Sequence[Scene]
    rendered: Rendered


def motions(subject: Subject, beyond: npt.NDArray[np.float64]) -> Iterator[Motion]:
    """Each node that has a location, moved by it in a few scenes.

    Args:
        subject: draws them.
        beyond: shares of the location's range, some below 0 or above 1; :data:`WITHIN` where
            the renderer refuses those.
    """
    for node in subject.grammar.nodes.values():
        for key, (low, high) in locations(node).items():
            for scene in subject.scenes_with(node.name)[:_SWEPT]:
                index = max(i for i, n in enumerate(scene.nodes) if n.name == node.name)
                far, near = (
                    [with_node(scene, index, {key: low + (high - low) * share}) for share in shares]
                    for shares in (beyond.tolist(), WITHIN.tolist())
                )
                where = f"moving {node.name}.{key}"
                if (drawn := subject.try_to_draw(far)) is not None:
                    yield Motion(where, index, far, drawn)
                else:  # values beyond its range a renderer may refuse
                    yield Motion(where, index, near, subject.draw(near))


def locations(node: GrammarNode) -> dict[str, tuple[float, float]]:
    """The attributes that say where a node is, with their ranges."""
    found = {}
    for key in _LOCATIONS:
        attribute = node.attributes.get(key)
        if attribute is not None and attribute.range is not None:
            found[key] = attribute.range
    return found


def with_node(scene: Scene, index: int, attributes: Mapping[str, Value]) -> Scene:
    """The scene with some attributes of one node replaced."""
    return scene.with_attributes(
        attributes if i == index else None for i in range(len(scene.nodes))
    )
