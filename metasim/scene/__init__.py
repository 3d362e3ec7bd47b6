"""Scene grammars, the scenes they sample, and attribute distributions."""

from metasim.scene.attribute import Attribute
from metasim.scene.distributions import Distribution
from metasim.scene.grammar import GrammarNode, SceneGrammar
from metasim.scene.graph import Attributes, Node, Scene, Value

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
