"""The classes that a grammar may show, and those that a renderer can draw."""

from __future__ import annotations

from collections.abc import Iterator

from metasim.errors import ConfigError, Mistake
from metasim.render.base import Renderer
from metasim.scene.grammar import SceneGrammar, class_name
from metasim.scene.graph import Value

__all__ = ["refuse_unknown_classes", "shown_classes"]


def shown_classes(grammar: SceneGrammar, renderer: Renderer) -> list[tuple[str, str]]:
    """(kind, class) of what there may be to see; where the grammar is silent the renderer tells."""
    silent = {
        node.kind
        for node in grammar.nodes.values()
        if "class" not in node.attributes or node.attributes["class"].prior.support is None
    }
    known = ((k, c) for k in sorted(silent) for c in renderer.known_categories.get(k, ()))
    return list(dict.fromkeys((*grammar.classes, *known)))


def refuse_unknown_classes(
    grammar: SceneGrammar, renderer: Renderer, use: str, *, file: str = "", key: str = ""
) -> None:
    """Refuse a grammar that may give a class which the renderer cannot draw, however seldom.

    Else that is found once the first such scene is drawn, with all before it drawn in vain.

    Args:
        grammar: of the scenes.
        renderer: is to draw them; a kind that its ``known_categories`` leaves out may have any.
        use: the renderer's name, for messages.
        file: that holds the grammar, for messages.
        key: of the grammar there, for messages.

    Raises:
        ConfigError: with every such class.
    """
    mistakes = []
    for name, kind, value in _given(grammar):
        known = renderer.known_categories.get(kind)
        if known is not None and class_name(value) not in known:
            message = (
                f"the renderer {use!r} draws no {kind!r} of class {value!r}, which node {name!r} "
                f"may be; it draws {', '.join(known)}"
            )
            mistakes.append(Mistake(message, file, key=key))
    if mistakes:
        raise ConfigError(mistakes)


def _given(grammar: SceneGrammar) -> Iterator[tuple[str, str, Value]]:
    """Name, kind and class of each node, for every class that it may have, where those are told."""
    for node in grammar.nodes.values():
        if told := node.attributes.get("class"):
            for value in dict.fromkeys(map(told.fit, told.prior.support or ())):
                yield node.name, node.kind, value
