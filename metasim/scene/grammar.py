"""Probabilistic scene grammars: which nodes a scene has, and how their attributes vary.

A grammar is a tree of :class:`GrammarNode`. Sampling it gives a :class:`Scene`; the mutable
attributes are those whose distribution is to be learned (Kar et al., "Meta-Sim", ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, model_validator

from metasim.scene.attribute import Attribute, GrammarPart
from metasim.scene.distributions import Distribution, Prior, Uniform
from metasim.scene.graph import Attributes, Node, Scene, Value

__all__ = [
    "Correlation",
    "Count",
    "GrammarNode",
    "SceneGrammar",
    "class_name",
    "contradiction",
    "correlation_matrix",
    "most_of",
    "rise_mistake",
    "root_mistake",
    "too_large",
]


_STANDARD = NormalDist()
_M = TypeVar("_M", bound=BaseModel)
_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"


def _whole(count: int | Distribution) -> int | Distribution:
    """A count of which every possible value is a whole number, so that sampling cannot fail."""
    values = count.support if isinstance(count, Distribution) else (count,)
    if values is None:
        raise ValueError(
            "must be a whole number >= 0 or a choice of such, got a distribution over all numbers"
        )
    for value in values:
        if isinstance(value, str) or value < 0 or value != int(value):
            raise ValueError(f"must be a whole number >= 0, got {value!r}")
    return count


Count = Annotated[NonNegativeInt | Prior, AfterValidator(_whole)]
"""How many there are of a node: a whole number, or a distribution over such."""


def class_name(value: Value) -> str:
    """What an attribute ``class`` calls a class: 7.0 is as good as 7."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def most_of(count: int | Distribution) -> int:
    """The greatest that a count may be."""
    return max(_possible(count))


def _possible(count: int | Distribution) -> list[int]:
    return [count] if isinstance(count, int) else [int(value) for value in count.support or ()]


def root_mistake(count: int | Distribution) -> str | None:
    """What is wrong with the root's count; None where nothing is."""
    if set(_possible(count)) == {1}:
        return None
    return "there is one root in every scene: leave its count out, and give its children theirs"


def too_large(largest: int, limit: int) -> str:
    """What is wrong where a scene may have ``largest`` nodes."""
    return (
        f"a scene may have {largest} nodes, more than max_nodes = {limit}; lower the counts or "
        "raise max_nodes"
    )


def rise_mistake(name: str, prior: Distribution) -> str | None:
    """What is wrong with the prior of a correlated attribute; None where nothing is.

    Greater shares of its mass must give greater numbers; text is in the order given.
    """
    values = [prior.quantile(share) for share in np.linspace(0, 1, 1002)[1:-1].tolist()]
    numbers = [value for value in values if not isinstance(value, str)]
    if all(a <= b for a, b in pairwise(numbers)):
        return None
    return (
        f"{name!r} is correlated, so the values of its choice, or the components of its mixture, "
        "must be in rising order and must not overlap"
    )


def correlation_matrix(
    names: Sequence[str], correlations: Iterable[tuple[tuple[str, ...], float]]
) -> npt.NDArray[np.float64]:
    """(A, A) coefficients of A attributes, from pairs of their names."""
    index = {name: i for i, name in enumerate(names)}
    matrix = np.eye(len(index))
    for between, value in correlations:
        i, j = (index[name] for name in between)
        matrix[i, j] = matrix[j, i] = value
    return matrix


def contradiction(matrix: npt.NDArray[np.float64]) -> str | None:
    """What is wrong with the coefficients of :func:`correlation_matrix`; None where nothing is."""
    if np.linalg.eigvalsh(matrix).min() >= 1e-9:
        return None
    return "the correlations contradict one another (not positive definite)"


class Correlation(GrammarPart):
    """Rank correlation of two attributes of one node, by a Gaussian copula.

    Between two normal priors ``value`` is the correlation coefficient itself.
    """

    between: tuple[str, str]
    value: Annotated[float, Field(gt=-1, lt=1)]


class GrammarNode(GrammarPart):
    """A node of a grammar: what one kind of thing in the scene looks like.

    Attributes:
        name: its name; ``<name>.<attribute>`` names an attribute everywhere.
        kind: what a renderer draws.
        count: how many of it its parent has: a whole number, or a distribution over such.
        attributes: by name.
        correlations: between pairs of its attributes.
        children: its child nodes.
    """

    name: str = Field(pattern=_NAME)
    kind: str = Field(pattern=_NAME)
    count: Count = 1
    attributes: dict[Annotated[str, Field(pattern=_NAME)], Attribute] = Field(default={})
    correlations: tuple[Correlation, ...] = ()
    children: tuple[GrammarNode, ...] = ()

    @model_validator(mode="after")
    def _correlations_fit(self) -> GrammarNode:
        for correlation in self.correlations:
            for name in correlation.between:
                if name not in self.attributes:
                    raise ValueError(
                        f"correlation names {name!r}, which {self.name!r} does not have"
                    )
            if correlation.between[0] == correlation.between[1]:
                raise ValueError("a correlation must be between two different attributes")
        pairs = [frozenset(c.between) for c in self.correlations]
        if len(set(pairs)) < len(pairs):
            raise ValueError(
                "two attributes must have one correlation, and two are given for one pair"
            )
        for name in self.correlated:
            if message := rise_mistake(name, self.attributes[name].prior):
                raise ValueError(message)
        if self.correlations and (message := contradiction(self._correlation_matrix)):
            raise ValueError(message)
        return self

    @cached_property
    def correlated(self) -> tuple[str, ...]:
        """Names of the attributes that some correlation names, in order."""
        named = {name for c in self.correlations for name in c.between}
        return tuple(name for name in self.attributes if name in named)

    @property
    def _correlation_matrix(self) -> npt.NDArray[np.float64]:
        return correlation_matrix(
            self.correlated, ((c.between, c.value) for c in self.correlations)
        )

    @cached_property
    def _cholesky(self) -> tuple[tuple[float, ...], ...]:
        # Not an array: one among a model's values would break its ``==``.
        return tuple(map(tuple, np.linalg.cholesky(self._correlation_matrix).tolist()))

    def sample_attributes(self, rng: np.random.Generator) -> Attributes:
        """One value for each attribute, in order, each within its range."""
        if not self.correlations:
            return Attributes({n: a.fit(a.prior.sample(rng)) for n, a in self.attributes.items()})
        normal = np.array(self._cholesky) @ rng.standard_normal(len(self.correlated))
        share = dict(zip(self.correlated, map(_STANDARD.cdf, normal.tolist()), strict=True))
        return Attributes(
            {
                n: a.fit(a.prior.quantile(share[n]) if n in share else a.prior.sample(rng))
                for n, a in self.attributes.items()
            }
        )

    def sample_count(self, rng: np.random.Generator) -> int:
        """How many of it one parent has."""
        return self.count if isinstance(self.count, int) else int(self.count.sample(rng))

    @property
    def most_nodes(self) -> int:
        """How many nodes there are at most in one of it: itself and all below."""
        return 1 + sum(most_of(child.count) * child.most_nodes for child in self.children)

    def walk(self) -> Iterator[GrammarNode]:
        """This node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


class SceneGrammar(GrammarPart):
    """A probabilistic scene grammar.

    Attributes:
        root: its root node; there is one of it in every scene.
        max_nodes: a grammar of which a scene may have more nodes is refused (a guard against
            runaway counts).
    """

    root: GrammarNode
    max_nodes: int = 1000

    @model_validator(mode="after")
    def _names_differ(self) -> SceneGrammar:
        seen: set[str] = set()
        for node in self.root.walk():
            if node.name in seen:
                raise ValueError(f"two nodes are called {node.name!r}; names must differ")
            seen.add(node.name)
        return self

    @model_validator(mode="after")
    def _not_too_large(self) -> SceneGrammar:
        if (largest := self.root.most_nodes) > self.max_nodes:
            raise ValueError(too_large(largest, self.max_nodes))
        return self

    @model_validator(mode="after")
    def _one_root(self) -> SceneGrammar:
        if message := root_mistake(self.root.count):
            raise ValueError(message)
        return self

    @cached_property
    def nodes(self) -> dict[str, GrammarNode]:
        """The grammar's nodes by name, depth first."""
        return {node.name: node for node in self.root.walk()}

    @cached_property
    def learnable(self) -> dict[str, Attribute]:
        """The attributes metasim learns, by ``<node>.<attribute>``."""
        return {
            f"{node.name}.{name}": attribute
            for node in self.nodes.values()
            for name, attribute in node.attributes.items()
            if attribute.mutable
        }

    @property
    def absent(self) -> tuple[GrammarNode, ...]:
        """The nodes whose count is always 0: no scene has them, or what is below them."""
        return tuple(node for node in self.nodes.values() if most_of(node.count) == 0)

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        """(kind, class) of what its scenes may show, by the attributes called ``class``."""
        found = {
            (node.kind, class_name(value))
            for node in self.nodes.values()
            if "class" in node.attributes
            for value in node.attributes["class"].prior.support or ()
        }
        return tuple(sorted(found))

    def sample(self, rng: np.random.Generator) -> Scene:
        """One scene; its seed is drawn from ``rng`` as well."""
        seed = int(rng.integers(2**63))
        nodes: list[Node] = []
        self._grow(self.root, -1, rng, nodes)
        return Scene(tuple(nodes), seed)

    def _grow(
        self, node: GrammarNode, parent: int, rng: np.random.Generator, into: list[Node]
    ) -> None:
        index = len(into)
        into.append(Node(node.name, node.kind, node.sample_attributes(rng), parent))
        for child in node.children:
            for _ in range(child.sample_count(rng)):
                self._grow(child, index, rng, into)

    def widened(self) -> SceneGrammar:
        """The same grammar with every learnable attribute uniform over its range, by itself."""

        def widen(node: GrammarNode) -> GrammarNode:
            attributes = {
                name: _replace(a, prior=Uniform(low=a.range[0], high=a.range[1]))
                if a.mutable and a.range
                else a
                for name, a in node.attributes.items()
            }
            children = tuple(widen(child) for child in node.children)
            learned = {name for name, a in node.attributes.items() if a.mutable}
            kept = tuple(c for c in node.correlations if learned.isdisjoint(c.between))
            return _replace(node, attributes=attributes, correlations=kept, children=children)

        return SceneGrammar(root=widen(self.root), max_nodes=self.max_nodes)


def _replace(model: _M, **changes: Any) -> _M:
    """A validated copy with changed fields; unlike model_copy it drops cached properties."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model)(**{**fields, **changes})
