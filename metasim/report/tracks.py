"""How each attribute moved while it was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metasim.report.attributes import Attribute, read_attributes
from metasim.report.canvas import (
    LEARNED,
    TARGET,
    circle_axis,
    label,
    legend,
    png,
    title,
    value_axis,
    x_renders,
)
from metasim.report.series import (
    Floats,
    Metrics,
    attempts,
    last_render,
    line,
    mark_restarts,
    series,
    small_multiples,
)

__all__ = ["attribute_tracks"]


def attribute_tracks(metrics: Metrics, evaluation: Mapping[str, Any] | None = None) -> bytes:
    """The learned mean and deviation of each attribute against the renders.

    On the circle the track is unrolled and drawn once for each turn, so that it leaves at
    the top and comes in at the bottom instead of jumping.

    Args:
        metrics: one line for each epoch, with ``attributes``.
        evaluation: for ranges, units and the target's values, where known.
    """
    known = {one.name: one for one in read_attributes(evaluation)}
    names = list(dict.fromkeys(n for entry in metrics for n in entry.get("attributes") or {}))
    figure, axes = small_multiples(len(names), "no epoch has ended yet")
    last = last_render(metrics)
    for name, panel in zip(names, axes, strict=False):
        one = known.get(name)
        title(panel, name, one.unit if one else "")
        x_renders(panel, last)
        _panel(panel, metrics, name, one)
        mark_restarts(panel, metrics)
        label(panel, x="renders")
    if names:
        legend(figure, _handles(any(known[n].target.size for n in names if n in known)))
    return png(figure)


def _handles(with_target: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=LEARNED, linewidth=2, linestyle="-", label="learned mean"),
        Patch(facecolor=LEARNED, alpha=0.2, label="\N{PLUS-MINUS SIGN} deviation"),
    ]
    if with_target:
        handles.append(Line2D([], [], color=TARGET, linewidth=2, linestyle="-", label="target"))
    return handles


def _panel(axes: Axes, metrics: Metrics, name: str, one: Attribute | None) -> None:
    reach: list[Floats] = []
    for part in attempts(metrics):
        moments = [(entry.get("attributes") or {}).get(name) or {} for entry in part]
        mean, std = series(moments, "mean"), series(moments, "std")
        seen = np.isfinite(mean)
        if seen.any():
            reach += _track(
                axes, series(part, "renders")[seen], mean[seen], np.nan_to_num(std[seen]), one
            )
    target = one.moments("target") if one else None
    if target:
        reach += _target(axes, target["mean"], target["std"], one)
    if one and one.periodic:
        circle_axis(axes, one.low, one.high, "y")
    elif reach:
        _fit_y(axes, np.concatenate(reach), one)


def _track(
    axes: Axes, renders: Floats, mean: Floats, std: Floats, one: Attribute | None
) -> list[Floats]:
    """Draw one start's track; returns what the axis must reach."""
    if one and one.period is not None:
        mean, std = np.unwrap(mean, period=one.period), np.minimum(std, one.period / 2)
    for turn in _turns(mean - std, mean + std, one):
        low, high = mean + turn - std, mean + turn + std
        axes.fill_between(renders, low, high, color=LEARNED, alpha=0.2, linewidth=0)
        line(axes, renders, mean + turn)
    return [mean - std, mean + std]


def _target(axes: Axes, mean: float, std: float, one: Attribute | None) -> list[Floats]:
    if one and one.period is not None:
        std = min(std, one.period / 2)
    low, high = np.array([mean - std]), np.array([mean + std])
    for turn in _turns(low, high, one):
        axes.axhspan(low[0] + turn, high[0] + turn, color=TARGET, alpha=0.12, linewidth=0)
        axes.axhline(mean + turn, color=TARGET, linewidth=1.8, linestyle="-")
    return [low, high]


def _turns(low: Floats, high: Floats, one: Attribute | None) -> Iterator[float]:
    """The shifts by whole turns at which something from low to high is in the range."""
    if one is None or one.period is None:
        yield 0.0
        return
    first = np.ceil((one.low - high.max()) / one.period)
    last = np.floor((one.high - low.min()) / one.period)
    yield from (float(turn * one.period) for turn in np.arange(first, last + 1))


def _fit_y(axes: Axes, values: Floats, one: Attribute | None) -> None:
    low, high = float(values.min()), float(values.max())
    whole = one.high - one.low if one else abs(low) + abs(high)
    pad = max(0.08 * (high - low), 0.01 * whole, 1e-9)
    axes.set_ylim(low - pad, high + pad)
    value_axis(axes.yaxis)
