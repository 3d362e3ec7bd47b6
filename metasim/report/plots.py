"""The figures of a run, as the bytes of PNG files.

``metrics`` are the lines of ``metrics.jsonl``, ``evaluation`` is ``evaluation.json``; both
may be of a run that is still going on. Equal data give equal bytes.
"""

from __future__ import annotations

from metasim.report.curve import mmd_curve
from metasim.report.grids import comparison, image_grid, save_grid
from metasim.report.shares import attribute_distributions
from metasim.report.tracks import attribute_tracks

__all__ = [
    "attribute_distributions",
    "attribute_tracks",
    "comparison",
    "image_grid",
    "mmd_curve",
    "save_grid",
]
