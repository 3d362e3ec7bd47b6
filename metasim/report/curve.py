"""How the discrepancy fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from metasim.report.canvas import (
    BEFORE,
    FONT,
    MUTED,
    TARGET,
    label,
    number,
    panels,
    png,
    ticks_at,
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
    number_or_nan,
    say,
    series,
)

__all__ = ["mmd_curve"]


def mmd_curve(
    metrics: Metrics, summary: Mapping[str, Any] | None = None, *, p_threshold: float = 0.05
) -> bytes:
    """The discrepancy against the renders, the p-value below it, and the task's accuracy.

    Args:
        metrics: one line for each epoch; panels whose numbers are absent are left out.
        summary: of a run that ended: the level before learning is then drawn too.
        p_threshold: at least this counts as matching.
    """
    told = summary or {}
    lower = [k for k in ("p_value", "task_accuracy") if np.isfinite(series(metrics, k)).any()]
    figure, axes = panels(
        1 + len(lower),
        1,
        (7.0, 3.0),
        margins=(0.95, 0.3, 0.4, 0.55),
        gaps=(0.0, 0.65),
        heights=[3.0] + [1.25] * len(lower),
    )
    if not metrics:
        say(axes[0], "no epoch has ended yet")
        return png(figure)
    _discrepancy(axes[0], metrics, told.get("discrepancy_prior"))
    for below, key in zip(axes[1:], lower, strict=True):
        if key == "p_value":
            _p_value(below, metrics, told.get("p_value_prior"), p_threshold)
        else:
            _accuracy(below, metrics)
    for each in axes:
        x_renders(each, last_render(metrics))
        mark_restarts(each, metrics, named=each is axes[0])
    label(axes[-1], x="renders")
    return png(figure)


def _discrepancy(axes: Axes, metrics: Metrics, prior: float | None) -> None:
    title(axes, "Discrepancy to the target images")
    everything = np.concatenate([series(metrics, "discrepancy"), [number_or_nan(prior)]])
    _symlog(axes, everything[np.isfinite(everything)])
    axes.axhline(0, color=MUTED, linewidth=1, linestyle="-")
    _level(axes, prior, "before learning")
    for part in attempts(metrics):
        x, y = series(part, "renders"), series(part, "discrepancy")
        many = len(x) >= 25
        line(axes, x, y, alpha=0.35 if many else 1.0, width=1.0 if many else 1.8)
        if many:
            line(axes, x, _running_median(y, max(5, len(y) // 20)), width=2.0)


def _symlog(axes: Axes, values: Floats) -> None:
    """A scale that is linear around 0, where unbiased estimates go below it.

    Linear throughout where the values do not span a decade.
    """
    low, top = float(values.min(initial=0.0)), float(np.abs(values).max(initial=0.0))
    small = float(np.quantile(np.abs(values), 0.2)) if values.size else 0.0
    if top < 10 * small or top == 0:
        axes.set_ylim(1.15 * low, 1.15 * top or 1.0)
        value_axis(axes.yaxis)
        return
    # The linear part ends at the power of ten next to what is small here.
    knee = 10.0 ** np.round(np.log10(max(small, 1e-4 * top)))
    axes.set_yscale("symlog", linthresh=knee, linscale=0.6)
    decades = knee * 10.0 ** np.arange(max(1, np.ceil(np.log10(top / knee)) + 1))
    axes.set_ylim(min(low * 1.3, -0.4 * knee), max(top, knee) * 1.6)
    ticks_at(axes, [*(-decades[-decades >= low * 1.3]), 0.0, *decades])


def _p_value(axes: Axes, metrics: Metrics, prior: float | None, threshold: float) -> None:
    title(axes, "p-value", note="shaded: still told apart from the target")
    values = series(metrics, "p_value")
    known = np.concatenate([values, [number_or_nan(prior)]])
    known = known[np.isfinite(known)]
    floor = 10.0 ** np.floor(np.log10(max(min(known.min(), threshold / 5), 1e-4)))
    axes.set_yscale("log")
    axes.set_ylim(floor * 0.8, 1.3)
    ticks_at(axes, sorted({floor, threshold, 1.0}))
    axes.axhspan(floor * 0.8, threshold, color=TARGET, alpha=0.08, linewidth=0)
    axes.axhline(threshold, color=TARGET, linewidth=1, linestyle="-")
    _level(axes, prior, "")
    for part in attempts(metrics):
        y = series(part, "p_value")
        seen = np.isfinite(y)  # it need not be measured in every epoch
        x = series(part, "renders")
        line(axes, x[seen], np.maximum(y[seen], floor), dots=True)


def _accuracy(axes: Axes, metrics: Metrics) -> None:
    title(axes, "Accuracy of the task network on the labelled images")
    axes.set_ylim(0, 1.02)
    ticks_at(axes, [0, 0.5, 1])
    for part in attempts(metrics):
        y = series(part, "task_accuracy")
        seen = np.isfinite(y)
        line(axes, series(part, "renders")[seen], y[seen], dots=True)


def _level(axes: Axes, value: float | None, text: str) -> None:
    """A dashed line across, named at its right end."""
    if not np.isfinite(number_or_nan(value)):
        return
    assert value is not None
    axes.axhline(value, color=BEFORE, linewidth=1.4, linestyle=(0, (4, 3)))
    if text:
        axes.annotate(
            f"{text}: {number(value)}",
            (1, value),
            (-2, 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=MUTED,
            fontfamily=FONT,
        )


def _running_median(values: Floats, width: int) -> Floats:
    """The median of each value and its neighbours, fewer of them at the ends."""
    half = width // 2
    parts = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return np.array([np.nanmedian(p) if np.isfinite(p).any() else np.nan for p in parts])
