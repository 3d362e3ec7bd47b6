"""Probabilistic scene grammars: which nodes a scene has, and how their attributes vary.

A grammar is a tree of :class:`GrammarNode`. Sampling it gives a :class:`Scene`; the mutable
attributes are those whose distribution is to be learned (Kar et al., "Meta-Sim", ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from statistics import NormalDist
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    model_validator,
)

from metasim.scene.distributions import Choice, Constant, Distribution, Mixture, Prior, Uniform
from metasim.scene.graph import Attributes, Node, Scene, Value

__all__ = ["Attribute", "Correlation", "GrammarNode", "SceneGrammar"]

_STANDARD = NormalDist()
_M = TypeVar("_M", bound=BaseModel)
_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Attribute(_Model):
    """One attribute of a node.

    Attributes:
        prior: the distribution it is sampled from.
        unit: for people, for example "deg" or "px".
        range: lowest and highest value; a sample beyond is clipped, or wrapped if periodic.
            Needed where the attribute is mutable or periodic.
        mutable: whether metasim may learn it.
        periodic: whether the ends of the range are the same value, as with angles.
    """

    prior: Prior
    unit: str = ""
    range: tuple[float, float] | None = None
    mutable: bool = False
    periodic: bool = False

    @model_validator(mode="after")
    def _range_fits(self) -> Attribute:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must be [low, high] with low < high, got {list(self.range)}")
        if self.range is None and (self.mutable or self.periodic):
            which = "mutable" if self.mutable else "periodic"
            raise ValueError(f"a {which} attribute must have a range: [low, high]")
        if self.range is not None and self.categories is not None:
            raise ValueError("an attribute with named values has no range; remove it")
        if self.categories is None and _may_be_named(self.prior):
            raise ValueError("an attribute must have either numbers or named values, not both")
        return self

    @cached_property
    def categories(self) -> tuple[Value, ...] | None:
        """The values it can take, sorted, where they are named ones; else None."""
        values = _named_values(self.prior)
        return tuple(sorted(set(values), key=str)) if values is not None else None

    @property
    def learnable(self) -> bool:
        """Whether it is mutable and numeric."""
        return self.mutable and self.categories is None

    def fit(self, value: Value) -> Value:
        """``value`` brought into the range: wrapped if periodic, clipped if not.

        A value within the range is returned as it is, bit for bit.
        """
        if self.range is None or isinstance(value, str):
            return value
        low, high = self.range
        if self.periodic:
            if low <= value < high:
                return value
            wrapped = low + (value - low) % (high - low)
            return wrapped if wrapped < high else low  # rounding can land on the upper end
        return min(max(value, low), high)


def _named_values(prior: Distribution) -> tuple[Value, ...] | None:
    """The values of a prior over strings or integers that are choices, else None."""
    if isinstance(prior, Choice):
        return prior.values
    if isinstance(prior, Constant):
        return (prior.value,) if isinstance(prior.value, str) else None
    if isinstance(prior, Mixture):
        parts = [_named_values(component) for component in prior.components]
        if all(part is not None for part in parts):
            return tuple(value for part in parts for value in part or ())
    return None


def _may_be_named(prior: Distribution) -> bool:
    """Whether a prior may give a string."""
    if isinstance(prior, Choice):
        return any(isinstance(value, str) for value in prior.values)
    if isinstance(prior, Mixture):
        return any(_may_be_named(component) for component in prior.components)
    return isinstance(prior, Constant) and isinstance(prior.value, str)


class Correlation(_Model):
    """Rank correlation of two attributes of one node, by a Gaussian copula.

    Between two normal priors ``value`` is the correlation coefficient itself.
    """

    between: tuple[str, str]
    value: Annotated[float, Field(gt=-1, lt=1)]


class GrammarNode(_Model):
    """A node of a grammar: what one kind of thing in the scene looks like.

    Attributes:
        name: its name; ``<name>.<attribute>`` names an attribute everywhere.
        kind: what a renderer draws.
        count: how many of it its parent has: a number, or a distribution over numbers.
        attributes: by name.
        correlations: between pairs of its attributes.
        children: its child nodes.
    """

    name: str = Field(pattern=_NAME)
    kind: str = Field(pattern=_NAME)
    count: NonNegativeInt | Prior = 1
    attributes: dict[Annotated[str, Field(pattern=_NAME)], Attribute] = {}
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
        if self.correlations and np.linalg.eigvalsh(self._correlation_matrix).min() < 1e-9:
            raise ValueError("the correlations contradict one another (not positive definite)")
        return self

    @cached_property
    def correlated(self) -> tuple[str, ...]:
        """Names of the attributes that some correlation names, in order."""
        named = {name for c in self.correlations for name in c.between}
        return tuple(name for name in self.attributes if name in named)

    @property
    def _correlation_matrix(self) -> npt.NDArray[np.float64]:
        index = {name: i for i, name in enumerate(self.correlated)}
        matrix = np.eye(len(index))
        for c in self.correlations:
            i, j = (index[name] for name in c.between)
            matrix[i, j] = matrix[j, i] = c.value
        return matrix

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

    def walk(self) -> Iterator[GrammarNode]:
        """This node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


class SceneGrammar(_Model):
    """A probabilistic scene grammar.

    Attributes:
        root: its root node; there is one of it in every scene.
        max_nodes: a scene with more nodes is refused (a guard against runaway counts).
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
            if attribute.learnable
        }

    def sample(self, rng: np.random.Generator) -> Scene:
        """One scene; its seed is drawn from ``rng`` as well.

        Raises:
            ValueError: when a count is not a whole number, or the scene grows too large.
        """
        seed = int(rng.integers(2**63))
        nodes: list[Node] = []
        self._grow(self.root, -1, rng, nodes)
        return Scene(tuple(nodes), seed)

    def _grow(
        self, node: GrammarNode, parent: int, rng: np.random.Generator, into: list[Node]
    ) -> None:
        index = len(into)
        if index >= self.max_nodes:
            raise ValueError(f"the scene has more than max_nodes = {self.max_nodes} nodes")
        into.append(Node(node.name, node.kind, node.sample_attributes(rng), parent))
        for child in node.children:
            for _ in range(_count(child, rng)):
                self._grow(child, index, rng, into)

    def widened(self) -> SceneGrammar:
        """The same grammar with every learnable attribute uniform over its range."""

        def widen(node: GrammarNode) -> GrammarNode:
            attributes = {
                name: _replace(a, prior=Uniform(low=a.range[0], high=a.range[1]))
                if a.learnable and a.range
                else a
                for name, a in node.attributes.items()
            }
            children = tuple(widen(child) for child in node.children)
            return _replace(node, attributes=attributes, correlations=(), children=children)

        return SceneGrammar(root=widen(self.root), max_nodes=self.max_nodes)


def _replace(model: _M, **changes: Any) -> _M:
    """A validated copy with changed fields; unlike model_copy it drops cached properties."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model)(**{**fields, **changes})


def _count(node: GrammarNode, rng: np.random.Generator) -> int:
    if isinstance(node.count, int):
        return node.count
    count = node.count.sample(rng)
    if isinstance(count, str) or count != int(count) or count < 0:
        raise ValueError(f"the count of {node.name!r} must be a whole number >= 0, got {count!r}")
    return int(count)
