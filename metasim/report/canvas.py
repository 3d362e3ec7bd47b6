"""What every figure shares: a canvas without global state, colours, fonts and tidy axes.

Everything is set on the figure itself: no global setting is changed, those that a user
commonly makes for matplotlib do not show in our figures, and equal data give equal bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from PIL import Image

__all__ = [
    "BEFORE",
    "DPI",
    "FONT",
    "GRID",
    "INK",
    "LEARNED",
    "MUTED",
    "TARGET",
    "Margins",
    "circle_axis",
    "label",
    "legend",
    "number",
    "panels",
    "png",
    "ticks_at",
    "tidy",
    "title",
    "value_axis",
    "x_renders",
]

FONT = "DejaVu Sans"  # comes with matplotlib, so it is the same everywhere
INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
# Told apart by people who see red and green alike, and in print (Okabe and Ito, 2008).
BEFORE, LEARNED, TARGET = "#9ca3af", "#0072b2", "#d55e00"

DPI = 130
"""Pixels of a figure to an inch."""

Margins = tuple[float, float, float, float]
"""Left, right, top and bottom of a figure in inches."""


def panels(
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    margins: Margins = (0.75, 0.25, 0.75, 0.55),
    gaps: tuple[float, float] = (0.55, 0.75),
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of ``columns``, as tall as it needs to be.

    Args:
        count: how many panels.
        columns: how many in a row, at most.
        size: width and height of a panel in inches.
        margins: around all of them.
        gaps: between columns and between rows, in inches.
        heights: of the rows in inches; ``size``'s unless given.
    """
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    tall = list(heights or [size[1]] * rows)
    left, right, top, bottom = margins
    width = left + columns * size[0] + (columns - 1) * gaps[0] + right
    height = top + sum(tall) + (rows - 1) * gaps[1] + bottom
    figure = Figure(
        figsize=(width, height),
        dpi=DPI,
        facecolor="white",
    )
    figure.set_layout_engine("none")  # whatever the user's settings say
    made = []
    for i in range(count):
        row, column = divmod(i, columns)
        x = left + column * (size[0] + gaps[0])
        y = height - top - sum(tall[: row + 1]) - row * gaps[1]
        place = (x / width, y / height, size[0] / width, tall[row] / height)
        made.append(tidy(figure.add_axes(place, facecolor="white")))
    return figure, made


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file, equal for equal figures."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    # Not savefig, which would follow the user's settings and write a version into the file.
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(pixels).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def tidy(axes: Axes) -> Axes:
    """Take away what says nothing: the box, long ticks, dark lines."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color("#c4c9d1")
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(
        which="both",
        direction="out",
        length=3,
        pad=3.5,
        left=True,
        bottom=True,
        right=False,
        top=False,
        width=0.8,
        color="#c4c9d1",
        labelsize=9,
        labelcolor=MUTED,
        labelfontfamily=FONT,
    )
    axes.grid(True, color=GRID, alpha=1, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    return axes


def title(axes: Axes, text: str, unit: str = "", note: str = "") -> None:
    """A panel's name at its upper left, its unit beside it and a note at the right."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = axes.get_position().width * figure.get_size_inches()[0]
    room = int(inches * 72 / (0.68 * 10.5)) - len(unit) - (len(note) + 1 if note else 0)
    name = axes.annotate(
        _shortened(text, max(room, 12)),
        (0, 1),
        (0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        **_writing(10.5, INK, weight="bold"),
    )
    if unit:
        axes.annotate(
            f"({unit})",
            (1, 1),
            (4, 7),
            xycoords=(name, "axes fraction"),
            textcoords="offset points",
            **_writing(9),
        )
    if note:
        axes.annotate(
            note,
            (1, 1),
            (0, 7),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            **_writing(9),
        )


def label(axes: Axes, *, x: str = "", y: str = "") -> None:
    """Name the axes."""
    if x:
        axes.set_xlabel(x, labelpad=4, **_writing(9.5))
    if y:
        axes.set_ylabel(y, labelpad=6, **_writing(9.5))


def legend(figure: Figure, handles: Sequence[Line2D | Patch], left: float = 0.75) -> None:
    """One legend for all panels, at the top left of the figure.

    Args:
        figure: where to.
        handles: what to explain, in order.
        left: of the panels, in inches.
    """
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - 0.12 / height),
        ncols=len(handles),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.6,
        handletextpad=0.8,
        columnspacing=1.8,
        labelcolor=INK,
        prop={"family": FONT, "size": 10},
    )


def number(value: float) -> str:
    """A number on an axis, with a true minus sign and no trailing zeros."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def ticks_at(axes: Axes, places: Sequence[float], which: str = "y") -> None:
    """Ticks exactly there, no others."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def value_axis(axis: Axis) -> None:
    """A few round ticks on an axis of values."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def circle_axis(axes: Axes, low: float, high: float, which: str) -> None:
    """An axis once around a circle, with a tick at every quarter."""
    ticks_at(axes, [low + (high - low) * quarter / 4 for quarter in range(5)], which)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def x_renders(axes: Axes, last: float) -> None:
    """An axis of renders, from none to the last, in thousands where there are many."""
    axes.set_xlim(0, max(last, 1.0) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))


def _thousands(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _shortened(text: str, length: int) -> str:
    """``text`` with its middle left out where it is long; dollars are not mathematics."""
    if len(text) > length:
        text = f"{text[: length // 2]}\N{HORIZONTAL ELLIPSIS}{text[-(length // 2 - 1) :]}"
    return text.replace("$", r"\$")


def _writing(size: float, colour: str = MUTED, *, weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": size, "color": colour, "fontfamily": FONT, "fontweight": weight}
