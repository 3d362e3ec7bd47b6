"""Learned attributes with their values before, learned and of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metasim.report.statistics import (
    circular_difference,
    correlation,
    middle_spread,
    summarise,
    wasserstein1,
)

__all__ = [
    "RELATED",
    "SAMPLES",
    "Attribute",
    "Floats",
    "Related",
    "apart",
    "correlated",
    "read_attributes",
]

Floats = NDArray[np.float64]

SAMPLES = ("prior", "learned", "target", "learned_read", "target_read")
"""What values there can be of an attribute; :class:`Attribute` says which are which."""

RELATED = 0.3
"""Size of a correlation, or of a difference of two, worth telling.

Of 500 pairs of independent values, 0.15 has odds of one in a thousand.
"""

_PAIRS = 12
_LITTLE = 0.03  # of the range: the mistakes of reading one and the same value vary by less
_ERRORS = 4.0


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
        learned_read: (N,) what the features read from images of the learned distribution.
        target_read: (N,) what they read from target images, with the same mistakes.
    """

    name: str
    unit: str
    periodic: bool
    low: float
    high: float
    prior: Floats
    learned: Floats
    target: Floats
    learned_read: Floats
    target_read: Floats

    @property
    def period(self) -> float | None:
        """Length of the circle; None on the line."""
        return self.high - self.low if self.periodic else None

    def values(self) -> Floats:
        """All of them."""
        return np.concatenate([getattr(self, which) for which in SAMPLES])

    def moments(self, which: str) -> dict[str, float] | None:
        """Mean and deviation of one of :data:`SAMPLES`; None where it is empty.

        Of what was read also "middle": see :func:`middle_spread`, which a few images that are
        read all wrong do not widen.
        """
        values = getattr(self, which)
        if not values.size:
            return None
        found = summarise(values, self.periodic, self.low, self.high)
        if which.endswith("_read"):
            found["middle"] = middle_spread(values, self.period)
        return found

    def apart(self, a: float, b: float) -> float:
        """How far two values are from each other, on the circle the short way round."""
        if self.period is None:
            return abs(a - b)
        return abs(float(circular_difference(a, b, self.period)))

    def distance(self, which: str) -> float | None:
        """The 1-Wasserstein distance of a sample to the target's, where both are known.

        Args:
            which: "prior" or "learned", or "learned_read", which is compared with what was
                read from the target.
        """
        values = getattr(self, which)
        target = self.target_read if which == "learned_read" else self.target
        if not (values.size and target.size):
            return None
        return wasserstein1(values, target, period=self.period)


def read_attributes(evaluation: Mapping[str, Any] | None) -> list[Attribute]:
    """The attributes of an evaluation, in its order; none where there is no evaluation.

    Args:
        evaluation: ``{"attributes": {name: {"unit", "periodic", "low", "high", "prior":
            [...], ...}}}`` with any of :data:`SAMPLES`; values that are no finite numbers
            are passed over, and whatever is absent is empty.
    """
    found = (evaluation or {}).get("attributes") or {}
    return [_attribute(name, about) for name, about in found.items()]


def _attribute(name: str, about: Mapping[str, Any]) -> Attribute:
    samples = {which: _finite(about.get(which)) for which in SAMPLES}
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
        correlations: by :data:`SAMPLES`, each in [-1, 1], where known; of what was read it is
            that of the ranks.
    """

    names: tuple[str, str]
    correlations: dict[str, float]


def correlated(attributes: list[Attribute]) -> list[Related]:
    """The pairs that are correlated in any of the samples, the strongest first.

    The i-th values of all attributes are taken for those of one scene; samples of unequal
    length are passed over.

    Args:
        attributes: any number; at most a dozen pairs are told, correlated by :data:`RELATED`
            or more.
    """
    pairs = [Related((a.name, b.name), _correlations(a, b)) for a, b in combinations(attributes, 2)]
    told = [p for p in pairs if max(map(abs, p.correlations.values()), default=0.0) >= RELATED]
    return sorted(told, key=lambda p: -max(map(abs, p.correlations.values())))[:_PAIRS]


def apart(attributes: list[Attribute]) -> list[Related]:
    """The pairs that go together otherwise in generated images than in the target's, as read.

    The test of whole images can pass them over. Told are differences of at least 0.3 and of
    four standard errors (of Fisher's z), of attributes that the target's images show to vary:
    of one that is the same everywhere only the mistakes of the reading are correlated. Both
    are measured so that a few images that are read all wrong do not matter.

    Args:
        attributes: any number.
    """
    varied = [a for a in attributes if a.target_read.size > 3 and _varies(a)]
    pairs = [Related((a.name, b.name), _correlations(a, b)) for a, b in combinations(varied, 2)]
    sizes = {a.name: (a.learned_read.size, a.target_read.size) for a in varied}
    return [pair for pair in pairs if _differ(pair.correlations, *sizes[pair.names[0]])]


def _varies(one: Attribute) -> bool:
    return middle_spread(one.target_read, one.period) > _LITTLE * (one.high - one.low)


def _differ(found: Mapping[str, float], learned: int, target: int) -> bool:
    if "learned_read" not in found or "target_read" not in found:
        return False
    now, wanted = found["learned_read"], found["target_read"]
    z = np.arctanh(np.clip([now, wanted], -0.999, 0.999))
    error = np.sqrt(1 / (learned - 3) + 1 / (target - 3))
    return abs(now - wanted) >= RELATED and abs(z[0] - z[1]) > _ERRORS * error


def _correlations(a: Attribute, b: Attribute) -> dict[str, float]:
    found = {}
    for which in SAMPLES:
        first, second = getattr(a, which), getattr(b, which)
        if first.size == second.size > 3:
            ranks = which.endswith("_read")
            found[which] = correlation(first, second, a.period, b.period, of_ranks=ranks)
    return found
