"""One attribute of a grammar's node: its prior, its range, and whether it is learned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from metasim.scene.distributions import (
    Choice,
    Constant,
    Distribution,
    Mixture,
    Number,
    Prior,
    VonMises,
    WrappedNormal,
)
from metasim.scene.graph import Value

__all__ = ["NEEDS_RANGE", "Attribute", "GrammarPart"]

NEEDS_RANGE = (
    "a {} attribute must have a range: [low, high]; named values have none, so that they cannot "
    "be {}"
)


class GrammarPart(BaseModel):
    """Base of what a grammar's file is made of: it does not change, and knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _ascending(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if not ends[0] < ends[1]:
        raise ValueError(f"range must be [low, high] with low < high, got {list(ends)}")
    return ends


class Attribute(GrammarPart):
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
    range: Annotated[tuple[Number, Number], AfterValidator(_ascending)] | None = None
    mutable: bool = False
    periodic: bool = False

    @model_validator(mode="after")
    def _range_fits(self) -> Attribute:
        if self.range is None and (self.mutable or self.periodic):
            which = "mutable" if self.mutable else "periodic"
            raise ValueError(NEEDS_RANGE.format(which, which))
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
