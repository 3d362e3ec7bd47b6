"""The program that a worker process starts with; until it has found metasim it needs Python alone.

The interpreter may be another than the one that started it, with other packages: it is told
where to find a few modules by name, and nothing else of the other's path becomes its own.
"""

from __future__ import annotations

import os  # with sys all that Python has already imported
import sys

if __name__ == "__main__" and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[
        0
    ]  # the folder of this file, whose modules nobody is to import by their bare names

import fcntl
import importlib
import importlib.util
import json
import select
import signal
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["Finder", "die_with", "main"]

_LEAST = (3, 11)


class Finder:
    """Finds modules whose places are known, and no others.

    Args:
        places: top-level name -> its file (None for a package without one) and, for a package,
            the folders that it is made of.
    """

    def __init__(self, places: Mapping[str, tuple[str | None, Sequence[str] | None]]) -> None:
        self.places = places

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python's import asks."""
        if name not in self.places:
            return None
        file, folders = self.places[name]
        inside = None if folders is None else list(folders)
        if file is not None:
            return importlib.util.spec_from_file_location(
                name, file, submodule_search_locations=inside
            )
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = inside
        return spec


def die_with(lifeline: int) -> None:
    """Have this process end, and all it has started, once a pipe is closed.

    The other end of the pipe is held by the process that started this one, and by nobody
    else, so that it closes with it, however that ends. On Linux the system itself sends the
    signal: it reaches a process that hangs in native code, too. Elsewhere a thread does, which
    comes to it only when native code lets go of the interpreter's lock.

    Args:
        lifeline: descriptor of the pipe's reading end.
    """
    group = os.getpgrp()
    whom = -group if group == os.getpid() else os.getpid()
    if not hasattr(fcntl, "F_SETSIG"):  # SIGIO, the usual one, may be caught, or do nothing
        threading.Thread(target=_end_once_closed, args=(lifeline, whom), daemon=True).start()
        return
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, whom)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    watched = select.poll()
    watched.register(lifeline)
    if watched.poll(0):  # it was closed before this was heard
        os.kill(os.getpid(), signal.SIGKILL)


def _end_once_closed(lifeline: int, whom: int) -> None:
    os.read(lifeline, 1)  # nobody writes: it returns as the pipe is closed
    os.kill(whom, signal.SIGKILL)


def main(told: Mapping[str, Any]) -> None:
    """Become a worker.

    Args:
        told: ``lifeline``, ``channel`` and ``shelves`` (descriptors), ``modules`` (see
            :class:`Finder`) and ``path``, folders to look into after Python's own.
    """
    for handle in (told["lifeline"], told["channel"], *told["shelves"]):
        os.set_inheritable(handle, False)  # what the renderer starts must not keep them open
    die_with(told["lifeline"])
    sys.meta_path.insert(0, Finder(told["modules"]))
    sys.path += [folder for folder in told["path"] if folder not in sys.path]
    worker = importlib.import_module("metasim.render.worker")
    worker.serve(told["channel"], told["shelves"])


if __name__ == "__main__":
    if sys.version_info < _LEAST:
        sys.exit(
            f"{sys.executable} must be Python {'.'.join(map(str, _LEAST))} or later, got "
            f"{sys.version.split()[0]}"
        )
    main(json.loads(sys.argv[1]))
