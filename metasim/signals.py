"""Being asked to stop: SIGINT (Ctrl-C) and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metasim.errors import Interrupted

__all__ = ["interruptible", "on_signal"]


@contextmanager
def on_signal(handle: Callable[[], None]) -> Iterator[None]:
    """Call ``handle`` whenever the process is asked to stop while the block runs.

    Only the main thread is told of signals; in another one the block just runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        which: signal.signal(which, lambda number, frame: handle())
        for which in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@contextmanager
def interruptible(told: Callable[[], str]) -> Iterator[None]:
    """End the block at once when the process is asked to stop.

    Args:
        told: says then what is kept and how to go on.

    Raises:
        Interrupted: with those words.
    """

    def stop() -> None:
        raise Interrupted(told())

    with on_signal(stop):
        yield
