"""Probabilistic scene grammars: which nodes a scene has, and how their attributes vary.

A grammar is a tree of :class:`GrammarNode`. Sampling it gives a :class:`Scene`; the mutable
attributes are those whose distribution is to be learned (Kar et al., "Meta-Sim", ICCV 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from statistics import NormalDist
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    model_validator,
)

from metasim.scene.distributions import (
    Choice,
    Constant,
    Distribution,
    Mixture,
    Prior,
    Uniform,
    VonMises,
    WrappedNormal,
)
from metasim.scene.graph import Attributes, Node, Scene, Value

__all__ = ["Attribute", "Correlation", "GrammarNode", "SceneGrammar"]

_STANDARD = NormalDist()
_M = TypeVar("_M", bound=BaseModel)
_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"range must be [low, high] with low < high, got {list(ends)}")
    return ends


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
    range: Annotated[tuple[float, float], AfterValidator(_ascending)] | None = None
    mutable: bool = False
    periodic: bool = False

    @model_validator(mode="after")
    def _range_fits(self) -> Attribute:
        if self.range is None and (self.mutable or self.periodic):
            which = "mutable" if self.mutable else "periodic"
            raise ValueError(
                f"a {which} attribute must have a range: [low, high]; named values have none, so "
                f"that they cannot be {which}"
            )
        if self.range is not None and _may_be_text(self.prior):
            raise ValueError("an attribute with text for values has no range; remove it")
        if self.categories is None and _may_be_text(self.prior):
            raise ValueError("an attribute must have either numbers or named values, not both")
        return self

    @model_validator(mode="after")
    def _circle_fits(self) -> Attribute:
        for part in _parts(self.prior):
            if isinstance(part, (VonMises, WrappedNormal)) and not self.periodic:
                raise ValueError(
                    "a distribution on the circle needs range: [low, high] and periodic: true"
                )
            if isinstance(part, VonMises) and self.range is not None:
                around = self.range[1] - self.range[0]
                if not math.isclose(part.period, around, rel_tol=1e-4):
                    raise ValueError(
                        f"von_mises must have the range's width as its period: add period: "
                        f"{around:g} (got {part.period:g})"
                    )
        return self

    @cached_property
    def categories(self) -> tuple[Value, ...] | None:
        """The values it can take, sorted, where they are named ones; else None.

        Text is named, and so are the values of a choice, unless a range says that they are
        numbers.
        """
        named = self.range is None and all(_is_named(part) for part in _parts(self.prior))
        values = self.prior.support if named else None
        return tuple(sorted(set(values), key=str)) if values is not None else None

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


def _parts(prior: Distribution) -> Iterator[Distribution]:
    """A distribution, or the components of a mixture, however deep."""
    if isinstance(prior, Mixture):
        for component in prior.components:
            yield from _parts(component)
    else:
        yield prior


def _is_named(prior: Distribution) -> bool:
    return isinstance(prior, Choice) or (
        isinstance(prior, Constant) and isinstance(prior.value, str)
    )


def _may_be_text(prior: Distribution) -> bool:
    return any(isinstance(v, str) for part in _parts(prior) for v in part.support or ())


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
        count: how many of it its parent has: a whole number, or a distribution over such.
        attributes: by name.
        correlations: between pairs of its attributes.
        children: its child nodes.
    """

    name: str = Field(pattern=_NAME)
    kind: str = Field(pattern=_NAME)
    count: Annotated[NonNegativeInt | Prior, AfterValidator(_whole)] = 1
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

    def sample_count(self, rng: np.random.Generator) -> int:
        """How many of it one parent has."""
        return self.count if isinstance(self.count, int) else int(self.count.sample(rng))

    @property
    def most_nodes(self) -> int:
        """How many nodes there are at most in one of it: itself and all below."""
        return 1 + sum(child._most * child.most_nodes for child in self.children)

    @property
    def _most(self) -> int:
        if isinstance(self.count, int):
            return self.count
        return max(int(value) for value in self.count.support or ())

    def walk(self) -> Iterator[GrammarNode]:
        """This node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


class SceneGrammar(_Model):
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
            raise ValueError(
                f"a scene may have {largest} nodes, more than max_nodes = {self.max_nodes}; lower "
                "the counts or raise max_nodes"
            )
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
    def classes(self) -> tuple[tuple[str, str], ...]:
        """(kind, class) of what its scenes may show, by the attributes called ``class``."""
        found = {
            (node.kind, str(value))
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
        """The same grammar with every learnable attribute uniform over its range."""

        def widen(node: GrammarNode) -> GrammarNode:
            attributes = {
                name: _replace(a, prior=Uniform(low=a.range[0], high=a.range[1]))
                if a.mutable and a.range
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
