"""The figure of W1 against renders, one panel for each attribute of each experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D

from metasim.report.canvas import (
    BEFORE,
    LEARNED,
    TARGET,
    label,
    legend,
    panels,
    png,
    ticks_at,
    x_renders,
)
from metasim.report.canvas import title as name_panel

# Name in the figure, colour, line.
STYLES: dict[str, tuple[str, str, str]] = {
    "metasim": ("metasim", LEARNED, "-"),
    "metasim cold": ("metasim, begun at the prior", LEARNED, "--"),
    "tpe": ("Optuna TPE", TARGET, "-"),
    "cmaes": ("CMA-ES", "#009e73", "-"),
    "paper": ("published method", BEFORE, "-"),
    "paper our features": ("the same, our features", BEFORE, "--"),
}
_TICKS = (0.1, 0.3, 1, 3, 10, 30, 100)


def draw(
    items: Sequence[dict[str, Any]],
    path: Path,
    medians_of: Callable[[Sequence[dict[str, Any]], str, str], dict[int, float]],
) -> None:
    """Draw the medians over seeds, each seed's own curve faintly behind them."""
    wanted = []
    for name, glyphs in sorted({(item["name"], item["glyphs"]) for item in items}):
        mine = [i for i in items if (i["name"], i["glyphs"]) == (name, glyphs)]
        several = len({item["glyphs"] for item in items}) > 1
        note = Path(glyphs).name if several else ""
        wanted += [(name, note, attribute, mine) for attribute in mine[0]["curve"][0]["w1"]]
    figure, axes = panels(len(wanted), 2, (4.6, 2.7), margins=(0.75, 0.3, 0.95, 0.6))
    present = {item["method"] for item in items}
    for i, (name, note, attribute, mine) in enumerate(wanted):
        unit = "deg" if attribute.endswith("yaw") else "px"
        panel = axes[i]
        name_panel(panel, f"{name}: {attribute.rpartition('.')[2]}", unit, note)
        panel.set_yscale("log")
        last = 1.0
        for method, (_, colour, line) in STYLES.items():
            for item in mine:
                if item["method"] == method:
                    at = item["curve"]
                    xs, ys = [p["budget"] for p in at], [max(p["w1"][attribute], 1e-3) for p in at]
                    panel.plot(xs, ys, color=colour, linestyle=line, linewidth=0.7, alpha=0.25)
            medians = sorted(medians_of(mine, method, attribute).items())
            if medians:
                last = max(last, medians[-1][0])
                panel.plot(
                    [x for x, _ in medians], [max(y, 1e-3) for _, y in medians], color=colour,
                    linestyle=line, linewidth=2, marker="o", markersize=3,
                )  # fmt: skip
        low, high = panel.get_ylim()
        ticks_at(panel, [tick for tick in _TICKS if low <= tick <= high])
        x_renders(panel, last)
        label(panel, x="renders", y="W1 to the truth" if i % 2 == 0 else "")
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=2, label=name)
        for method, (name, colour, line) in STYLES.items()
        if method in present
    ]
    _legends(figure, handles)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))


def _legends(figure: Any, handles: Sequence[Line2D]) -> None:
    """As many columns as fit the figure's width."""
    legend(figure, handles)
    figure.legends[0].set_ncols(3)
