"""The figures that a run has, drawn from what it wrote."""

from __future__ import annotations

from pathlib import Path

from metasim.report.findings import Findings, read_findings
from metasim.report.plots import attribute_distributions, attribute_tracks, mmd_curve
from metasim.runs import RunDir

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


def write_figures(run: RunDir) -> list[Path]:
    """Draw the figures anew into the run's folder ``progress``.

    Raises:
        RunError: when a file of the run is damaged or a figure cannot be written.
    """
    figures = draw_figures(read_findings(run))
    return [run.write_figure(name, png) for name, png in figures.items()]
