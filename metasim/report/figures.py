"""The figures that a run has, as PNG, drawn from what it wrote: equal data give equal bytes."""

from __future__ import annotations

from metasim.report.curve import mmd_curve
from metasim.report.findings import Findings
from metasim.report.shares import attribute_distributions
from metasim.report.tracks import attribute_tracks

__all__ = ["draw_figures", "write_figures"]


def draw_figures(found: Findings) -> dict[str, bytes]:
    """The figures "mmd", "tracks" and "attributes" as PNG; only those with something to show."""
    figures = {}
    if found.metrics:
        figures["mmd"] = mmd_curve(found.metrics, found.summary, p_threshold=found.p_threshold)
        if any(line.get("attributes") for line in found.metrics):
            figures["tracks"] = attribute_tracks(found.metrics, found.evaluation)
    if any(one.values().size for one in found.attributes):
        figures["attributes"] = attribute_distributions(found.evaluation)
    return figures


def write_figures(found: Findings) -> dict[str, bytes]:
    """Draw the figures anew into the run's folder ``progress``; returns them by name.

    Raises:
        RunError: when a figure cannot be written.
    """
    figures = draw_figures(found)
    for name, png in figures.items():
        found.run.write_figure(name, png)
    return figures
