"""Numbers from metrics, and how they are drawn against the renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from metasim.report.canvas import FONT, INK, LEARNED, MUTED, panels

__all__ = [
    "Floats",
    "Metrics",
    "attempts",
    "last_render",
    "line",
    "mark_restarts",
    "number_or_nan",
    "say",
    "series",
    "small_multiples",
]

Floats = NDArray[np.float64]
Metrics = Sequence[Mapping[str, Any]]

_WIDE = (3.6, 1.9)
_SMALL = (2.75, 1.45)


def number_or_nan(value: Any) -> float:
    """A number as it is, anything else as NaN."""
    return float(value) if isinstance(value, (int, float)) else float("nan")


def series(lines: Sequence[Mapping[str, Any]], key: str) -> Floats:
    """One number for each line, NaN where there is none."""
    return np.array([number_or_nan(entry.get(key)) for entry in lines], dtype=np.float64)


def attempts(metrics: Metrics) -> list[list[Mapping[str, Any]]]:
    """The lines of each start, in order."""
    return [list(part) for _, part in groupby(metrics, key=lambda entry: entry.get("attempt", 0))]


def last_render(metrics: Metrics) -> float:
    """The most renders of any line, 0 where there is none."""
    renders = series(metrics, "renders")
    return float(np.nanmax(renders)) if np.isfinite(renders).any() else 0.0


def line(
    axes: Axes,
    x: Floats,
    y: Floats,
    *,
    alpha: float = 1.0,
    width: float = 1.8,
    dots: bool = False,
) -> None:
    """A line, with dots where it would otherwise hardly be seen."""
    marker = "o" if len(x) <= 2 or (dots and len(x) <= 40) else ""
    axes.plot(
        x,
        y,
        color=LEARNED,
        alpha=alpha,
        linestyle="-",
        linewidth=width,
        marker=marker,
        markersize=3.5,
        zorder=3,
    )


def mark_restarts(axes: Axes, metrics: Metrics, named: bool = False) -> None:
    """A dotted line where the learning began anew."""
    for i, part in enumerate(attempts(metrics)[1:], start=1):
        at = number_or_nan(part[0].get("renders"))
        if not np.isfinite(at):
            continue
        axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        if named:
            axes.annotate(
                f"restart {i}",
                (at, 0.97),
                (4, 0),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                va="top",
                fontsize=9,
                color=INK,
                fontfamily=FONT,
            )


def small_multiples(count: int, nothing: str) -> tuple[Figure, list[Axes]]:
    """Panels for ``count`` attributes, or one that says why there is nothing."""
    columns = count if count <= 2 else 3 if count <= 9 else 4
    figure, axes = panels(max(count, 1), columns, _WIDE if columns < 3 else _SMALL)
    if not count:
        say(axes[0], nothing)
    return figure, axes


def say(axes: Axes, text: str) -> None:
    """Write a remark where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        fontsize=11,
        color=MUTED,
        fontfamily=FONT,
    )
