"""Learned attributes with their values before, learned and of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metasim.report.statistics import correlation, summarise, wasserstein1

__all__ = ["Attribute", "Related", "correlated", "read_attributes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attribute:
    """Samples of one attribute.

    Attributes:
        name: ``<node>.<attribute>``.
        unit: for people, may be empty.
        periodic: whether ``high`` is the same place as ``low``.
        low: start of the range.
        high: end of the range, above ``low``.
        prior: (N,) values before learning; each may be empty.
        learned: (N,) values of the learned distribution.
        target: (N,) true values of the target images, where they are known.
    """

    name: str
    unit: str
    periodic: bool
    low: float
    high: float
    prior: Floats
    learned: Floats
    target: Floats

    @property
    def period(self) -> float | None:
        """Length of the circle; None on the line."""
        return self.high - self.low if self.periodic else None

    def values(self) -> Floats:
        """All of them."""
        return np.concatenate([self.prior, self.learned, self.target])

    def moments(self, which: str) -> dict[str, float] | None:
        """Mean and deviation of "prior", "learned" or "target"; None where it is empty."""
        values = getattr(self, which)
        return summarise(values, self.periodic, self.low, self.high) if values.size else None

    def distance(self, which: str) -> float | None:
        """The 1-Wasserstein distance of "prior" or "learned" to the target, where known."""
        values = getattr(self, which)
        if not (values.size and self.target.size):
            return None
        return wasserstein1(values, self.target, period=self.period)


def read_attributes(evaluation: Mapping[str, Any] | None) -> list[Attribute]:
    """The attributes of an evaluation, in its order; none where there is no evaluation.

    Args:
        evaluation: ``{"attributes": {name: {"unit", "periodic", "low", "high", "prior":
            [...], "learned": [...], "target": [...]}}}``; values that are no finite numbers
            are passed over, and whatever is absent is empty.
    """
    found = (evaluation or {}).get("attributes") or {}
    return [_attribute(name, about) for name, about in found.items()]


def _attribute(name: str, about: Mapping[str, Any]) -> Attribute:
    samples = {which: _finite(about.get(which)) for which in ("prior", "learned", "target")}
    low, high = _range(about, np.concatenate(list(samples.values())))
    return Attribute(
        name=name,
        unit=str(about.get("unit") or ""),
        periodic=bool(about.get("periodic")),
        low=low,
        high=high,
        **samples,
    )


def _finite(values: Any) -> Floats:
    array = np.array([np.nan if v is None else v for v in values or []], dtype=np.float64)
    return np.asarray(array[np.isfinite(array)])


def _range(about: Mapping[str, Any], values: Floats) -> tuple[float, float]:
    """The range as given, or one that holds the values."""
    low, high = about.get("low"), about.get("high")
    if low is not None and high is not None and low < high:
        return float(low), float(high)
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


class Related(NamedTuple):
    """Two attributes that go together.

    Attributes:
        names: of the two.
        correlations: by "prior", "learned" and "target", each in [-1, 1], where known.
    """

    names: tuple[str, str]
    correlations: dict[str, float]


def correlated(attributes: list[Attribute], *, least: float = 0.3, most: int = 12) -> list[Related]:
    """The pairs that are correlated before, learned or in the target, the strongest first.

    The i-th values of all attributes are taken for those of one scene; samples of unequal
    length are passed over.

    Args:
        attributes: any number.
        least: size of a correlation worth telling; of 500 pairs of independent values,
            |r| > 0.15 has odds of one in a thousand.
        most: how many pairs.
    """
    pairs = [Related((a.name, b.name), _correlations(a, b)) for a, b in combinations(attributes, 2)]
    told = [p for p in pairs if max(map(abs, p.correlations.values()), default=0.0) >= least]
    return sorted(told, key=lambda p: -max(map(abs, p.correlations.values())))[:most]


def _correlations(a: Attribute, b: Attribute) -> dict[str, float]:
    found = {}
    for which in ("prior", "learned", "target"):
        first, second = getattr(a, which), getattr(b, which)
        if first.size == second.size > 2:
            found[which] = correlation(first, second, a.period, b.period)
    return found
