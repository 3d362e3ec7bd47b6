"""Scenes: immutable, renderer-neutral trees of nodes with attributes.

A scene holds everything a renderer may depend on, its random seed included: equal scenes
are drawn as equal pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from metasim.errors import DataError

__all__ = ["Attributes", "Node", "Scene", "Value"]

Value = float | int | str
"""An attribute's value, in the attribute's own unit; a string only for named choices."""


class Attributes(dict[str, Value]):
    """An attribute mapping that refuses to change and can be hashed and pickled."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a scene does not change; use Scene.with_attributes to make a new one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        """Hash of the items, whatever their order."""
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Attributes], tuple[dict[str, Value]]]:
        """Pickle as the class and a plain dictionary."""
        return Attributes, (dict(self),)


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a scene graph.

    Attributes:
        name: the grammar node it was made from, for example "digit"; instances share it.
        kind: what a renderer draws, for example "digit" or "scene".
        attributes: values by attribute name, each in the attribute's unit.
        parent: index of the parent in ``Scene.nodes``; -1 for the root.
    """

    name: str
    kind: str
    attributes: Attributes
    parent: int = -1


@dataclass(frozen=True, slots=True)
class Scene:
    """A tree of nodes in depth-first order, the root first, and a seed.

    Attributes:
        nodes: the nodes; every parent stands before its children.
        seed: non-negative; whatever a renderer draws at random follows from it.
    """

    nodes: tuple[Node, ...]
    seed: int = 0

    def with_attributes(self, changes: Iterable[Mapping[str, Value] | None]) -> Scene:
        """The same scene with new attribute values.

        Args:
            changes: one mapping (or None for "as it is") for each node, in order. A node
                without changes is the same object in both scenes.

        Raises:
            ValueError: when there are not as many changes as nodes.
        """
        nodes = tuple(
            Node(node.name, node.kind, Attributes({**node.attributes, **change}), node.parent)
            if change
            else node
            for node, change in zip(self.nodes, changes, strict=True)
        )
        return Scene(nodes, self.seed)

    def with_seed(self, seed: int) -> Scene:
        """The same scene under another seed."""
        return replace(self, seed=seed)

    def edges(self) -> list[tuple[int, int]]:
        """(parent, child) index pairs, in the order of the children."""
        return [(n.parent, i) for i, n in enumerate(self.nodes) if n.parent >= 0]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that :func:`json.dumps` takes and :meth:`from_json` reads back."""
        return {
            "seed": self.seed,
            "nodes": [
                {
                    "name": n.name,
                    "kind": n.kind,
                    "parent": n.parent,
                    "attributes": dict(n.attributes),
                }
                for n in self.nodes
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scene:
        """The scene that :meth:`to_json` described.

        Raises:
            DataError: when the description is not that of a scene.
        """
        try:
            nodes = tuple(_node(item) for item in data["nodes"])
            scene = cls(nodes, _whole("seed", data["seed"], 0))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not the description of a scene: {error!r}") from None
        _check_tree(nodes)
        return scene


def _node(item: Mapping[str, Any]) -> Node:
    for name, value in item["attributes"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise DataError(f"attribute {name!r} must be a number or a string, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"attribute {name!r} must be finite, got {value!r}")
    parent = _whole("parent", item["parent"], -1)
    return Node(str(item["name"]), str(item["kind"]), Attributes(item["attributes"]), parent)


def _whole(what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(f"a {what} must be a whole number of at least {least}, got {value!r}")
    return value


def _check_tree(nodes: Sequence[Node]) -> None:
    if not nodes or nodes[0].parent != -1:
        raise DataError("a scene's first node must be its root, with parent -1")
    for index, node in enumerate(nodes[1:], start=1):
        if not 0 <= node.parent < index:
            raise DataError(
                f"node {index} ({node.name!r}) must come after its parent, got parent {node.parent}"
            )
