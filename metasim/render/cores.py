"""How many things a machine does at once, and a library in one of its processes."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

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

_CGROUP = Path("/sys/fs/cgroup")
# Quota and period, in version 2 of control groups and in version 1.
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


def cores() -> int:
    """The cores that this process may use; of a container's quota, as many as it could fill."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    """Whole cores that a container's share of time comes to; None where it has no bound."""
    for files in _QUOTAS:
        # What cannot be read, or is "max" or -1, is no bound.
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = " ".join((_CGROUP / file).read_text() for file in files).split()
            if int(quota) > 0:
                return math.ceil(int(quota) / int(period))
    return None
