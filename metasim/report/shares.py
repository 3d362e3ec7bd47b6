"""The distribution of each attribute: before, learned and of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from metasim.report.attributes import Attribute, Floats, read_attributes
from metasim.report.canvas import (
    BEFORE,
    LEARNED,
    TARGET,
    circle_axis,
    legend,
    png,
    ticks_at,
    title,
    value_axis,
)
from metasim.report.series import small_multiples
from metasim.report.statistics import histogram

__all__ = ["attribute_distributions"]


# Colour, how much it is filled, and the style of its outline.
_SERIES = {
    "prior": (BEFORE, 0.45, "-"),
    "learned": (LEARNED, 0.55, "-"),
    "target": (TARGET, 0.0, "-"),
    "learned_read": (LEARNED, 0.0, "--"),
    "target_read": (TARGET, 0.0, "--"),
}
_BINS = 36
_TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def attribute_distributions(evaluation: Mapping[str, Any] | None) -> bytes:
    """Each attribute before, learned and of the target, as histograms over the same bins.

    Where the truth is not known, what the features read from images stands for it.

    The heights are shares of the scenes on a square-root scale, so that a wide prior can
    be seen beside a target that is a single point.

    Args:
        evaluation: with any number of attributes; rows are added as needed.
    """
    attributes = [a for a in read_attributes(evaluation) if _shown(a)]
    figure, axes = small_multiples(len(attributes), "no attribute has been evaluated yet")
    for one, panel in zip(attributes, axes, strict=False):
        distance = one.distance("learned")
        title(panel, one.name, one.unit, "" if distance is None else f"W1 {distance:.3g}")
        _distribution(panel, one)
    handles: list[Line2D | Patch] = [
        Patch(facecolor=BEFORE, alpha=0.45, label="before"),
        Patch(facecolor=LEARNED, alpha=0.55, label="learned"),
    ]
    if any(a.target.size for a in attributes):
        handles.append(Line2D([], [], color=TARGET, linewidth=2, linestyle="-", label="target"))
    if any("target_read" in _shown(a) for a in attributes):
        for which in ("learned", "target"):
            colour = _SERIES[which][0]
            line = Line2D([], [], color=colour, linewidth=1.5, linestyle="--")
            line.set_label(f"{which}, as read")
            handles.append(line)
    if attributes:
        legend(figure, handles)
    return png(figure)


def _distribution(axes: Axes, one: Attribute) -> None:
    low, high = (one.low, one.high) if one.periodic else _sensible(one)
    top = 0.0
    for which, values in _shown(one).items():
        colour, fill, style = _SERIES[which]
        bars = histogram(values, low, high, bins=_BINS, periodic=one.periodic)
        # Empty bins have no outline: it would hide the axis.
        heights = np.where(bars.shares > 0, np.sqrt(bars.shares), np.nan)
        if fill:
            axes.stairs(heights, bars.edges, fill=True, color=colour, alpha=fill, linewidth=0)
        axes.stairs(
            heights, bars.edges, color=colour, linewidth=1.0 if fill else 1.8, linestyle=style
        )
        top = max(top, float(np.nanmax(heights)))
    _share_axis(axes, top)
    if one.periodic:
        circle_axis(axes, low, high, "x")
    else:
        axes.set_xlim(low, high)
        value_axis(axes.xaxis)


def _shown(one: Attribute) -> dict[str, Floats]:
    """The samples that there are, by name; readings only where the truth is not known."""
    samples = {which: getattr(one, which) for which in _SERIES}
    hidden = one.target.size > 0
    return {w: s for w, s in samples.items() if s.size and not (hidden and w.endswith("_read"))}


def _share_axis(axes: Axes, top: float) -> None:
    """Shares in per cent, where their square roots are drawn."""
    limit = 1.12 * top
    axes.set_ylim(0, limit)
    # Ticks too near the bottom or above the bars would only be in the way.
    shown = [s for s in _TICKS if s == 0 or 0.17 * limit < s**0.5 <= limit]
    ticks_at(axes, [s**0.5 for s in shown])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value**2:.0f} %"))
    axes.grid(False, axis="x")


def _sensible(one: Attribute) -> tuple[float, float]:
    """The part of the range where there is something to see: 96 % of each sample."""
    samples = _shown(one).values()
    everything = np.concatenate(list(samples))
    low, high = np.quantile(everything, [0.003, 0.997])
    for sample in samples:
        inner = np.quantile(sample, [0.02, 0.98])
        low, high = min(low, inner[0]), max(high, inner[1])
    pad = max(0.06 * (high - low), 0.02 * (one.high - one.low))
    low, high = low - pad, high + pad
    if everything.min() >= one.low and everything.max() <= one.high:
        low, high = max(low, one.low), min(high, one.high)
    return float(low), float(high)
