"""Statistics of learned attributes, on the line and on the circle.

Periodic attributes (angles) live on a circle whose length is the attribute's range; every
function takes that length as ``period``, and the line where it is None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

__all__ = [
    "Histogram",
    "circular_difference",
    "correlation",
    "histogram",
    "mass_within",
    "middle_spread",
    "summarise",
    "wasserstein1",
]

Floats = NDArray[np.float64]


class Histogram(NamedTuple):
    """Shares of the values in bins.

    Attributes:
        edges: (bins + 1,), in the attribute's unit.
        shares: (bins,), sum 1.
    """

    edges: Floats
    shares: Floats


def _values(values: ArrayLike, name: str = "values") -> Floats:
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be at least one finite number, got {array.size} numbers of which "
            f"{int(np.isfinite(array).sum())} are finite"
        )
    return array


def _positive(period: float) -> float:
    if not (np.isfinite(period) and period > 0):
        raise ValueError(f"a period must be a positive number, got {period}")
    return float(period)


def _wrapped(values: Floats, low: float, period: float) -> Floats:
    """Values moved into [low, low + period)."""
    moved = np.mod(values - low, period)
    # A tiny negative number modulo the period rounds to the period itself.
    return low + np.where(moved >= period, 0.0, moved)


def _resultant(values: Floats, period: float) -> complex:
    """The mean of the values as points on the unit circle."""
    return complex(np.exp(2j * np.pi / period * values).mean())


def summarise(values: ArrayLike, periodic: bool, low: float, high: float) -> dict[str, float]:
    """Mean and standard deviation, circular ones for a periodic attribute.

    Args:
        values: in the attribute's unit.
        periodic: whether ``high`` is the same place as ``low``.
        low: start of the range; the circular mean lies in [low, high).
        high: end of the range.

    Returns:
        ``{"mean", "std"}`` in the attribute's unit. The circular deviation is
        sqrt(-2 ln R), R being the length of the mean point on the unit circle (Mardia and
        Jupp, "Directional Statistics", 2000); for small spreads it is the usual one.
    """
    array = _values(values)
    if not periodic:
        return {"mean": float(array.mean()), "std": float(array.std())}
    period = _positive(high - low)
    point = _resultant(array, period)
    unit = period / (2 * np.pi)
    mean = _wrapped(np.array([np.angle(point) * unit]), low, period)[0]
    # R is never quite 0, so that the deviation can be written as JSON.
    length = float(np.clip(abs(point), np.finfo(np.float64).tiny, 1.0))
    return {"mean": float(mean), "std": float(np.sqrt(2 * abs(np.log(length))) * unit)}


def circular_difference(a: ArrayLike, b: ArrayLike, period: float) -> Floats:
    """``a - b`` the short way round, in [-period / 2, period / 2)."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    half = _positive(period) / 2
    return np.asarray(_wrapped(difference, -half, period))


def wasserstein1(a: ArrayLike, b: ArrayLike, *, period: float | None = None) -> float:
    """The 1-Wasserstein (earth mover's) distance of two samples, exact.

    On the line it is the area between the two cumulative distributions. On the circle mass
    may go either way round, which shifts one of them by a constant; the best one is the
    weighted median of their difference (Rabin, Delon and Gousseau, "Transportation
    Distances on the Circle", 2011).

    Args:
        a: values in the attribute's unit.
        b: as ``a``; the number of values need not be equal.
        period: length of the circle; None on the line.

    Returns:
        The mean distance that mass has to go, in the attribute's unit; on the circle at
        most ``period / 2``.
    """
    first, second = _values(a, "a"), _values(b, "b")
    if period is not None:
        first, second = (_wrapped(v, 0.0, _positive(period)) for v in (first, second))
    places = np.sort(np.concatenate([first, second]))
    lengths = np.diff(places)
    first, second = np.sort(first), np.sort(second)
    shares_first = np.searchsorted(first, places[:-1], side="right") / first.size
    shares_second = np.searchsorted(second, places[:-1], side="right") / second.size
    gaps = shares_first - shares_second
    if period is not None:
        # Over the arc that closes the circle both are complete: a difference of 0.
        gaps = np.append(gaps, 0.0)
        lengths = np.append(lengths, period - (places[-1] - places[0]))
        gaps = gaps - _weighted_median(gaps, lengths)
    return float(np.abs(gaps) @ lengths)


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    totals = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(totals, totals[-1] / 2)])


def _centred(values: Floats, period: float | None) -> Floats:
    """Deviations from the mean, on the circle the short way from the circular mean.

    Rounding of a constant is taken for the zero it should be.
    """
    size = np.abs(values).max()
    if period is not None:
        unit = _positive(period) / (2 * np.pi)
        values = circular_difference(values, np.angle(_resultant(values, period)) * unit, period)
    centred = values - values.mean()
    return np.where(np.abs(centred) <= 1e-12 * size, 0.0, centred)


def correlation(
    a: ArrayLike,
    b: ArrayLike,
    period_a: float | None = None,
    period_b: float | None = None,
    *,
    of_ranks: bool = False,
) -> float:
    """Pearson's correlation, angles being unrolled around their circular mean first.

    That is right for angles that keep to one side of the circle; where they go all the way
    round, no unrolling is, and the result tends to 0.

    Args:
        a: one value for each scene.
        b: one value for each scene, in the same order.
        period_a: length of the circle of ``a``; None on the line.
        period_b: of ``b``.
        of_ranks: Spearman's instead, which a few values far off hardly change.

    Returns:
        In [-1, 1]; 0 where one of the two is constant.
    """
    first, second = _values(a, "a"), _values(b, "b")
    if first.size != second.size:
        raise ValueError(
            f"a correlation needs pairs of values, got {first.size} and {second.size} values"
        )
    first, second = _centred(first, period_a), _centred(second, period_b)
    if of_ranks:
        first, second = (_centred(rankdata(v), None) for v in (first, second))
    spreads = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(first @ second / spreads, -1, 1)) if spreads > 0 else 0.0


def middle_spread(values: ArrayLike, period: float | None = None) -> float:
    """Half the width of the middle 68 % of the values: of normal ones their deviation.

    Args:
        values: in the attribute's unit.
        period: length of the circle; None on the line.
    """
    low, high = np.quantile(_centred(_values(values), period), [0.16, 0.84])
    return float(high - low) / 2


def histogram(
    values: ArrayLike, low: float, high: float, *, bins: int = 36, periodic: bool = False
) -> Histogram:
    """Shares of the values in ``bins`` equal bins from ``low`` to ``high``, for figures.

    Values outside the range are wrapped where it is periodic, else counted in the bin next
    to them, so that the shares always sum to 1.
    """
    array = _values(values)
    if bins < 1 or not low < high:
        raise ValueError(f"low must be below high and bins at least 1, got {low}, {high}, {bins}")
    inside = _wrapped(array, low, high - low) if periodic else np.clip(array, low, high)
    counts, edges = np.histogram(inside, bins=bins, range=(low, high))
    return Histogram(edges, counts / array.size)


def mass_within(
    values: ArrayLike, centre: float, radius: float, period: float | None = None
) -> float:
    """Share of the values at most ``radius`` from ``centre``, in [0, 1]."""
    array = _values(values)
    away = array - centre if period is None else circular_difference(array, centre, period)
    return float((np.abs(away) <= radius).mean())
