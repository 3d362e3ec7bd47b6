"""What is wrong across the parts of a grammar, found in plain data.

A model's own rules are judged once all that is inside it is right; here one mistake does not
hide another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metasim.errors import Mistake, did_you_mean
from metasim.yamlfile import Document, Place

__all__ = ["crossing_mistakes", "grammar_nodes"]


def crossing_mistakes(document: Document, place: Place) -> dict[Place, Mistake]:
    """Names given twice and correlations of attributes that are not there, by their place.

    Args:
        document: completed.
        place: of the grammar.
    """
    found: dict[Place, Mistake] = {}
    seen: set[str] = set()
    for here, node in grammar_nodes(place, document.get(place)):
        name = node.get("name")
        if isinstance(name, str) and name in seen:
            at = (*here, "name")
            found[at] = document.mistake(
                at, f"two nodes are called {name!r}; names must differ in a grammar"
            )
        elif isinstance(name, str):
            seen.add(name)
        attributes = node.get("attributes", {})
        if not isinstance(attributes, dict):
            continue
        for at, wanted in _correlated(here, node.get("correlations")):
            if wanted not in attributes:
                near = did_you_mean(wanted, list(attributes))
                found[at] = document.mistake(
                    at, f"must be an attribute of the node, got {wanted!r}; {near}"
                )
    return found


def _correlated(here: Place, correlations: Any) -> Iterator[tuple[Place, str]]:
    """Every attribute that a correlation names, with the place of its name."""
    for index, written in enumerate(correlations if isinstance(correlations, list) else ()):
        between = written.get("between") if isinstance(written, dict) else None
        for end, name in enumerate(between if isinstance(between, list) else ()):
            if isinstance(name, str):
                yield (*here, "correlations", index, "between", end), name


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
