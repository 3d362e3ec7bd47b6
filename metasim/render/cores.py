"""How many things a machine does at once, and a library in one of its processes."""

from __future__ import annotations

import os

__all__ = ["THREADS", "cores"]

# A worker each core: threads of their own would only be in one another's way, and their number
# must not decide how sums are rounded.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
"""What tells libraries in a worker how many threads they may have: one, unless a user says."""


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
