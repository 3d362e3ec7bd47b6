"""Probability distributions of attributes, as written in a grammar's YAML.

Each one is sampled through its quantile function, so that one uniform number makes one
value and correlated attributes need nothing but correlated uniform numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from metasim.scene.graph import Value

__all__ = [
    "LARGEST",
    "Choice",
    "Constant",
    "Distribution",
    "Mixture",
    "Normal",
    "Number",
    "Prior",
    "TruncatedNormal",
    "Uniform",
    "VonMises",
    "WrappedNormal",
]

_STANDARD = NormalDist()
_TINY = 1e-12
_T = TypeVar("_T")

LARGEST = 1e100
"""Numbers of a grammar are smaller in size: sums and differences of some are finite then."""

Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
_Positive = Annotated[float, Field(gt=0, lt=LARGEST)]
_Weights = Annotated[tuple[Annotated[float, Field(ge=0, lt=LARGEST)], ...], Field(strict=False)]


def _bounded(value: _T) -> _T:
    """A value that is text, not too large, or no bound at all (infinite)."""
    if isinstance(value, (int, float)) and LARGEST <= abs(value) < math.inf:
        raise ValueError(f"must be less than {LARGEST:g} in size, got {value:g}")
    return value


_Value = Annotated[Value, AfterValidator(_bounded)]
_Bound = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_bounded)]


class Distribution(BaseModel, ABC):
    """A distribution over an attribute's values, in the attribute's unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @abstractmethod
    def quantile(self, u: float) -> Value:
        """The value below which a share ``u`` (0 < u < 1) of the mass lies."""

    def sample(self, rng: np.random.Generator) -> Value:
        """One value drawn with ``rng``."""
        return self.quantile(rng.random())

    @property
    def support(self) -> tuple[Value, ...] | None:
        """Every value it may give; None where they are a continuum."""
        return None


class Constant(Distribution):
    """Always the same value."""

    value: _Value

    def quantile(self, u: float) -> Value:
        """The value itself."""
        return self.value

    @property
    def support(self) -> tuple[Value, ...]:
        """The value itself."""
        return (self.value,)


class Uniform(Distribution):
    """Equal density between ``low`` and ``high``."""

    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        return self

    def quantile(self, u: float) -> float:
        """Linear between the ends."""
        return self.low + u * (self.high - self.low)


class Normal(Distribution):
    """A normal distribution; on a periodic attribute its values wrap around."""

    mean: Number
    std: _Positive

    def quantile(self, u: float) -> float:
        """The normal quantile."""
        return self.mean + self.std * _STANDARD.inv_cdf(min(max(u, _TINY), 1 - _TINY))


class WrappedNormal(Normal):
    """A normal distribution on the circle: a normal one whose values wrap around."""


class TruncatedNormal(Distribution):
    """A normal distribution cut off below ``low`` and above ``high``."""

    mean: Number
    std: _Positive
    low: _Bound = -math.inf
    high: _Bound = math.inf

    @model_validator(mode="after")
    def _some_mass(self) -> TruncatedNormal:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        below, above = self._ends
        if above - below < 1e-9:
            raise ValueError(
                f"no mass is left between {self.low:g} and {self.high:g} "
                f"with mean {self.mean:g} and std {self.std:g}"
            )
        return self

    @cached_property
    def _ends(self) -> tuple[float, float]:
        whole = NormalDist(self.mean, self.std)
        return whole.cdf(self.low), whole.cdf(self.high)

    def quantile(self, u: float) -> float:
        """The normal quantile within the part of the mass that is kept."""
        below, above = self._ends
        share = min(max(below + u * (above - below), _TINY), 1 - _TINY)
        value = self.mean + self.std * _STANDARD.inv_cdf(share)
        return min(max(value, self.low), self.high)


class VonMises(Distribution):
    """The von Mises distribution on a circle of circumference ``period``.

    Args:
        mean: circular mean, in the attribute's unit.
        kappa: concentration; about ``(period / (2 pi std))**2`` where it is large.
        period: circumference in the attribute's unit, 360 for degrees.
    """

    mean: Number
    kappa: _Positive
    period: _Positive = 360.0

    def quantile(self, u: float) -> float:
        """The quantile, counted from the point opposite the mean; tabulated finely."""
        mass, angle = _von_mises_table(self.kappa)
        u = min(max(u, _TINY), 1 - _TINY)  # the far tail's masses are too small to divide by
        return self.mean + float(np.interp(u, mass, angle)) * self.period / math.tau


# Not a cached property: arrays among a model's values would break its ``==``.
@lru_cache(maxsize=64)
def _von_mises_table(kappa: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mass below each of many angles in radians, and the angles."""
    # Beyond 40 deviations there is no mass to a double's precision.
    reach = min(math.pi, 40.0 / math.sqrt(kappa))
    angle = np.linspace(-reach, reach, 8193)
    density = np.exp(kappa * (np.cos(angle) - 1.0))
    steps = 0.5 * (density[1:] + density[:-1])
    mass = np.concatenate([[0.0], np.cumsum(steps)])
    return mass / mass[-1], angle


def _parse(written: Any) -> Distribution:
    """A distribution from its YAML form; a bare number or string is a constant."""
    if isinstance(written, Distribution):
        return written
    if isinstance(written, (int, float, str)) and not isinstance(written, bool):
        return Constant(value=written)
    tagged = _Tagged.model_validate(written)
    (name,) = tagged.model_fields_set
    found: Distribution = getattr(tagged, name)
    return found


def _write(distribution: Distribution) -> dict[str, Any]:
    """The YAML form of a distribution: its name and its parameters."""
    fields = _Tagged.model_fields.items()
    name = next(n for n, field in fields if type(distribution) in get_args(field.annotation))
    return {name: distribution.model_dump(mode="json", exclude_defaults=True)}


Prior = Annotated[
    Distribution,
    PlainValidator(_parse, json_schema_input_type=float | int | str | dict[str, Any]),
    PlainSerializer(_write),
]
"""A distribution as a field of a configuration: ``{normal: {mean: 0, std: 10}}``, or a value."""


class Choice(Distribution):
    """One of several values, equally likely or with the given weights."""

    values: tuple[_Value, ...] = Field(min_length=1, strict=False)
    weights: _Weights | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> Choice:
        if self.weights is not None:
            _check_weights(self.weights, len(self.values))
        return self

    @cached_property
    def _ends(self) -> list[float]:
        return _cumulative(self.weights or (1.0,) * len(self.values))

    def quantile(self, u: float) -> Value:
        """The value whose share of the unit interval holds ``u``."""
        return self.values[bisect_right(self._ends, u)]

    @property
    def support(self) -> tuple[Value, ...]:
        """The values that have a weight."""
        return _weighted(self.values, self.weights)


class Mixture(Distribution):
    """One of several distributions, equally likely or with the given weights."""

    components: tuple[Prior, ...] = Field(min_length=1, strict=False)
    weights: _Weights | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> Mixture:
        if self.weights is not None:
            _check_weights(self.weights, len(self.components))
        return self

    @cached_property
    def _ends(self) -> list[float]:
        return _cumulative(self.weights or (1.0,) * len(self.components))

    def quantile(self, u: float) -> Value:
        """A quantile within the component whose share of the unit interval holds ``u``.

        The components stand side by side on the unit interval, in order: every value has
        the right probability, and ``u`` orders values within a component, not across them.
        """
        index = bisect_right(self._ends, u)
        start = self._ends[index - 1] if index else 0.0
        stop = self._ends[index] if index < len(self._ends) else 1.0
        return self.components[index].quantile((u - start) / (stop - start))

    @property
    def support(self) -> tuple[Value, ...] | None:
        """What the components that have a weight may give."""
        found: list[Value] = []
        for component in _weighted(self.components, self.weights):
            if component.support is None:
                return None
            found += component.support
        return tuple(found)


def _check_weights(weights: tuple[float, ...], count: int) -> None:
    if len(weights) != count:
        raise ValueError(f"there must be {count} weights, one for each value, got {len(weights)}")
    if sum(weights) <= 0:
        raise ValueError("at least one weight must be above 0")


def _weighted(items: tuple[_T, ...], weights: tuple[float, ...] | None) -> tuple[_T, ...]:
    pairs = zip(items, weights or (1.0,) * len(items), strict=True)
    return tuple(item for item, weight in pairs if weight > 0)


def _cumulative(weights: tuple[float, ...]) -> list[float]:
    """Ends of the shares of the unit interval, without the last (which is 1)."""
    total = sum(weights)
    return [end / total for end in accumulate(weights)][:-1]


class _Tagged(BaseModel):
    """The YAML form ``{normal: {mean: 0, std: 10}}``: exactly one of these keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: Constant | None = None
    uniform: Uniform | None = None
    normal: Normal | None = None
    truncated_normal: TruncatedNormal | None = None
    wrapped_normal: WrappedNormal | None = None
    von_mises: VonMises | None = None
    choice: Choice | None = None
    mixture: Mixture | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Tagged:
        if len(self.model_fields_set) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"a distribution must have exactly one key, one of: {known}")
        (name,) = self.model_fields_set
        if getattr(self, name) is None:
            raise ValueError(f"{name} must be given its parameters, got nothing")
        return self
