"""What is wrong across the parts of a grammar, found in plain data.

A model's own rules are judged once all that is inside it is right; here one mistake does not
hide another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from metasim.errors import Mistake, did_you_mean
from metasim.scene.attribute import NEEDS_RANGE
from metasim.scene.distributions import Distribution, Prior
from metasim.scene.grammar import (
    Count,
    SceneGrammar,
    contradiction,
    correlation_matrix,
    most_of,
    rise_mistake,
    root_mistake,
    too_large,
)
from metasim.yamlfile import Document, Place

__all__ = ["crossing_mistakes", "grammar_nodes"]

_COUNT: TypeAdapter[int | Distribution] = TypeAdapter(Count)
_PRIOR: TypeAdapter[Distribution] = TypeAdapter(Prior)

_T = TypeVar("_T")

Found = Iterator[tuple[Place, str]]
"""Messages, each with the place it is about."""


def crossing_mistakes(document: Document, place: Place) -> dict[Place, Mistake]:
    """What breaks the rules of a grammar, of its nodes and their attributes, by place.

    Args:
        document: completed.
        place: of the grammar.
    """
    grammar = document.get(place)
    nodes = list(grammar_nodes(place, grammar))
    found: dict[Place, Mistake] = {}
    for at, message in (
        *_name_mistakes(nodes),
        *(one for here, node in nodes for one in _range_mistakes(document, here, node)),
        *(one for here, node in nodes for one in _correlation_mistakes(here, node)),
        *_size_mistakes(place, grammar, nodes),
    ):
        found.setdefault(at, document.mistake(at, message))
    return found


def grammar_nodes(place: Place, grammar: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every node in a grammar's plain data, right or wrong, with its place."""
    waiting = [((*place, "root"), grammar.get("root") if isinstance(grammar, dict) else None)]
    while waiting:
        here, node = waiting.pop(0)
        if isinstance(node, dict):
            yield here, node
            children = node.get("children")
            if isinstance(children, list):
                waiting += [((*here, "children", i), child) for i, child in enumerate(children)]


def _name_mistakes(nodes: list[tuple[Place, dict[str, Any]]]) -> Found:
    seen: set[str] = set()
    for here, node in nodes:
        name = node.get("name")
        if isinstance(name, str) and name in seen:
            message = f"two nodes are called {name!r}; names must differ in a grammar"
            yield (*here, "name"), message
        elif isinstance(name, str):
            seen.add(name)


def _range_mistakes(document: Document, here: Place, node: dict[str, Any]) -> Found:
    """Attributes that need a range and have none."""
    for name, attribute in _mapping(node.get("attributes")).items():
        at = (*here, "attributes", name)
        if not isinstance(attribute, dict) or (*at, "range") in document.broken:
            continue
        which = next((key for key in ("mutable", "periodic") if attribute.get(key) is True), None)
        if which and attribute.get("range") is None:
            yield (*at, which), NEEDS_RANGE.format(which, which)


def _correlation_mistakes(here: Place, node: dict[str, Any]) -> Found:
    """Correlations that name what is not there, or do not go together."""
    attributes = node.get("attributes", {})
    written = node.get("correlations")
    if not (isinstance(attributes, dict) and isinstance(written, list)):
        return
    seen: dict[frozenset[str], Any] = {}
    for index, one in enumerate(written):
        at = (*here, "correlations", index, "between")
        between = _mapping(one).get("between")
        for end, name in enumerate(between if isinstance(between, list) else ()):
            if isinstance(name, str) and name not in attributes:
                near = did_you_mean(name, list(attributes))
                yield (*at, end), f"must be an attribute of the node, got {name!r}; {near}"
        pair = _pair(between)
        if pair is None:
            continue
        if len(pair) == 1:
            yield at, f"a correlation must be between two different attributes, got {between}"
        elif pair in seen:
            yield at, f"two attributes must have one correlation; {between} have one above"
        elif pair <= attributes.keys():
            seen[pair] = one.get("value")
    named = [name for name in attributes if any(name in pair for pair in seen)]
    for name in named:
        prior = _read(_PRIOR, _mapping(attributes[name]).get("prior"))
        if prior is not None and (message := rise_mistake(name, prior)):
            yield (*here, "attributes", name, "prior"), message
    if seen and all(_is_coefficient(value) for value in seen.values()):
        matrix = correlation_matrix(named, [(tuple(pair), value) for pair, value in seen.items()])
        if message := contradiction(matrix):
            yield (*here, "correlations"), message


def _size_mistakes(place: Place, grammar: Any, nodes: list[tuple[Place, dict[str, Any]]]) -> Found:
    """A root that is counted, and scenes that may have too many nodes."""
    if not nodes:
        return
    # What cannot be read counts as none: then there are at least as many as are found.
    counts = {here: _read(_COUNT, node.get("count", 1)) for here, node in nodes}
    times = {here: 0 if count is None else most_of(count) for here, count in counts.items()}
    below = dict.fromkeys(counts, 1)
    for here in reversed(counts):  # children stand after their parents
        if here[:-2] in below:
            below[here[:-2]] += times[here] * below[here]
    (root, count), *others = counts.items()
    if count is not None and (message := root_mistake(count)):
        yield (*root, "count"), message
    limit = grammar.get("max_nodes", SceneGrammar.model_fields["max_nodes"].default)
    if isinstance(limit, int) and not isinstance(limit, bool) and below[root] > limit:
        most = max((here for here, _ in others), key=lambda here: times[here], default=root)
        at = (*place, "max_nodes") if "max_nodes" in grammar else (*most, "count")
        yield at, too_large(below[root], limit)


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _read(kind: TypeAdapter[_T], data: Any) -> _T | None:
    """What plain data describe, None where they are wrong."""
    try:
        return kind.validate_json(json.dumps(data), strict=True)
    except ValidationError:
        return None


def _pair(between: Any) -> frozenset[str] | None:
    """The two names that a correlation is between, None where they are not two."""
    listed = between if isinstance(between, list) else []
    names = [name for name in listed if isinstance(name, str)]
    return frozenset(names) if len(names) == len(listed) == 2 else None


def _is_coefficient(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1 < value < 1
