"""Scene grammars, the scenes they sample, and attribute distributions.

Scenes need nothing but Python, grammars need pydantic. So that renderers can do without it, what
belongs to grammars is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from metasim.scene.graph import Attributes, Node, Scene, Value

if TYPE_CHECKING:
    from metasim.scene.attribute import Attribute
    from metasim.scene.distributions import Distribution
    from metasim.scene.grammar import GrammarNode, SceneGrammar

__all__ = [
    "Attribute",
    "Attributes",
    "Distribution",
    "GrammarNode",
    "Node",
    "Scene",
    "SceneGrammar",
    "Value",
]

_LATER = {
    "Attribute": "attribute",
    "Distribution": "distributions",
    "GrammarNode": "grammar",
    "SceneGrammar": "grammar",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
