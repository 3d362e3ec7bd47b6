"""What code leaves in the process it ran in: changed global state, threads, child processes."""

from __future__ import annotations

import decimal
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rich.style  # noqa: F401 - draws from Python's generator when imported; not while watched

__all__ = ["Footprint"]

_PATIENCE = 1.0  # seconds in which what was told to end may do so
# Python's own helpers, of which a process has one until it ends.
_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
# OpenMP's and torch's are set by libraries as they are imported, pytest's by pytest.
_LIBRARIES = ("KMP_", "PYTEST_", "TORCHINDUCTOR_")


class Footprint:
    """What the code that ran under :meth:`watched` has left behind.

    Attributes:
        changed: what of the process's global state is no longer as it was, in words.
    """

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._started: dict[object, str] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what the block leaves behind, also where it raises."""
        state, running = _global_state(), _running()
        try:
            yield
        finally:
            after = _global_state()
            self.changed |= {name for name, was in state.items() if after[name] != was}
            self._started |= {k: what for k, what in _running().items() if k not in running}

    def still_running(self) -> list[str]:
        """The threads and child processes that were started and do not end, in words."""
        deadline = time.monotonic() + _PATIENCE
        while left := self._started.keys() & _running().keys():
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return sorted(self._started[key] for key in left)


def _running() -> dict[object, str]:
    """Threads by themselves and child processes by their ids, in words."""
    threads: dict[object, str] = {
        thread: f"thread {thread.name}"
        for thread in threading.enumerate()
        # Those of native libraries that call Python; they are never seen to end.
        if not isinstance(thread, threading._DummyThread)
    }
    own = {child.pid: f"process {child.name}" for child in multiprocessing.active_children()}
    return threads | _children() | own


def _children() -> dict[object, str]:
    """The child processes that have not ended, however started; none where there is no /proc."""
    found: dict[object, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state parent ..."; the name may hold anything.
            head, _, tail = (process / "stat").read_text(errors="replace").rpartition(")")
            state, parent = tail.split()[:2]
            if int(parent) != os.getpid() or state == "Z":
                continue
            command = (process / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if not any(helper in command for helper in _HELPERS):
            found[int(process.name)] = f"process {head.partition('(')[2]}"
    return found


def _global_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    here, decimals = os.getcwd(), decimal.getcontext()
    state: dict[str, Any] = {
        "the random module's state": random.getstate(),
        "numpy's global random state": (name, np.asarray(keys).tobytes(), *rest),
        "numpy's error handling": np.geterr(),
        "the environment variables": {
            key: value for key, value in os.environ.items() if not key.startswith(_LIBRARIES)
        },
        "the working directory": here,
        # metasim itself adds the folder of a ``module:Class`` named on the command line.
        "sys.path": [folder for folder in sys.path if folder != here],
        "the warning filters": _blanket_filters(),
        "the signal handlers": {s: signal.getsignal(s) for s in signal.valid_signals()},
        "the recursion limit": sys.getrecursionlimit(),
        "the interval at which threads take turns": sys.getswitchinterval(),
        "what logging.disable has set": logging.root.manager.disable,
        "numpy's print options": np.get_printoptions(),
        # Not its flags, which any computation sets.
        "the decimal context": (decimals.prec, decimals.rounding, dict(decimals.traps)),
    }
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):  # not while it is half imported
        state["torch's default dtype"] = torch.get_default_dtype()
        state["torch's global random state"] = torch.get_rng_state().numpy().tobytes()
        state["torch's gradient mode"] = torch.is_grad_enabled()
        state["torch's number of threads"] = torch.get_num_threads()
    return state


def _blanket_filters() -> list[tuple[Any, ...]]:
    """The filters that touch other people's warnings.

    Libraries add filters as they are imported, for a class, message or module of their own.
    """
    return [
        (action, category, line)
        for action, message, category, module, line in warnings.filters
        if message is None and module is None and category.__module__ == "builtins"
    ]
