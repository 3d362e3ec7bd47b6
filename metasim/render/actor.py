"""What runs on the machines of a Ray cluster: a renderer's process, and looks at it from beside it.

Ray makes an actor of :class:`Actor`, and tasks of the functions. Those run on the same machine
in another process, so that they also tell of one that hangs, or is dead. They see what is in
``/proc``; where there is none they see nothing.
"""

from __future__ import annotations

import faulthandler
import importlib
import io
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import metasim
from metasim.errors import MetasimError, RenderError
from metasim.provenance import class_digest, code_digest, package_versions
from metasim.render import wire
from metasim.render.drawing import files_read
from metasim.render.shipping import Shipped, Sources
from metasim.render.wire import Arrays
from metasim.render.worker import Host

__all__ = ["Actor", "made_of", "resident", "sweep", "tail", "write_where"]

_PROC = Path("/proc")
_DYING = 1.0  # seconds that a process which was killed may take
_WRITING = 0.1  # seconds in which a process may write where it is
_TAIL = 4096  # bytes of a log that are shown


class Actor:
    """One process with a renderer; what :func:`metasim.render.worker.serve` is to a local one.

    Args:
        sources: modules that this machine need not have.
    """

    def __init__(self, sources: Sources) -> None:
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)  # what it starts is found by its group
        os.dup2(2, 1)  # one log, in the order in which it was written
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1)
        Shipped(sources).serve()

    def about(self) -> dict[str, Any]:
        """What this process is: its machine, number, birth and log."""
        import ray

        log = ""
        with suppress(OSError):
            log = os.readlink(_PROC / "self/fd/2")
        return {
            "node": ray.get_runtime_context().get_node_id(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "log": log if os.path.isfile(log) else "",
            "since": os.path.getsize(log) if os.path.isfile(log) else 0,
        }

    def begin(self, task: str, thorough: bool) -> str:
        """Build the renderer of a task (see :class:`Host`).

        Returns:
            JSON: ``ready`` and ``resident``, with :func:`made_of` where it is to be
            ``thorough``; or ``failed``.
        """
        asked = json.loads(task)
        try:
            self._host = Host(asked)
            told = {"ready": self._host.hello(), "resident": resident(os.getpid())}
            return wire.text(told | ({"made_of": made_of(asked)} if thorough else {}))
        except MetasimError as error:
            traceback.print_exc()
            return wire.text({"failed": wire.from_error(error)})

    def answer(self, message: str) -> tuple[str, Arrays]:
        """The answer to a message, with the ``resident`` set that this process has by then."""
        body, arrays = self._host.answer(json.loads(message))
        try:
            return wire.text(body | {"resident": resident(os.getpid())}), arrays
        except TypeError as error:
            wrong = RenderError(f"what labels hold must fit into JSON, but did not: {error}")
            return wire.text({"error": wire.from_error(wrong)}), {}

    def end(self) -> str:
        """Close the renderer, and end what it has left running; the last answer."""
        told = self._host.close()
        sys.stdout.flush()
        _kill_others(os.getpid())
        return wire.text({"ended": told})


def made_of(task: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """What decides, beside the task's options, what its renderer draws in this process.

    Returns:
        ``versions``, and digests of ``content``, by what they are of, for people; None is
        content that was sent here.
    """
    found = getattr(importlib.import_module(task["module"]), task["attribute"])
    loader = getattr(sys.modules[found.__module__].__spec__, "loader", None)
    content = {
        "the source of metasim": code_digest([Path(folder) for folder in metasim.__path__]),
        f"the source of the renderer {task['name']!r}": (
            None if isinstance(loader, Shipped) else class_digest(found)
        ),
        **{f"what {key} names": told for key, told in files_read(found, task["options"]).items()},
    }
    versions = {"Python": platform.python_version(), **package_versions()}
    return {"versions": dict(versions), "content": content}


# --- looks from beside it ------------------------------------------------------------------


def resident(pid: int) -> int | None:
    """Bytes of a process's resident set; None where that is not known."""
    try:
        pages = (_PROC / f"{pid}/statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def tail(log: str, since: int) -> str:
    """The end of what was written to a file after its first bytes."""
    size = os.path.getsize(log)
    start = max(since, size - _TAIL)
    with open(log, "rb") as file:
        file.seek(start)
        return file.read(_TAIL).decode(errors="replace").strip()


def write_where(pid: int, born: str) -> None:
    """Have a process write where it is to its log."""
    if _born(pid) == born:
        os.kill(pid, signal.SIGUSR1)
        time.sleep(_WRITING)


def sweep(pid: int, born: str) -> None:
    """End what a process that was killed has started, and itself if it is still there."""
    deadline = time.monotonic() + _DYING
    while _born(pid) == born and time.monotonic() < deadline:
        time.sleep(0.01)
    if _born(pid) == born:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    elif _born(pid):
        return  # another process has its number: then nobody is left of its group
    _kill_others(pid)


def _kill_others(group: int) -> None:
    """Kill all processes of a group but its first."""
    for pid, its_group in _groups():
        if its_group == group and pid != group:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _groups() -> Iterator[tuple[int, int]]:
    """Every process, and its group."""
    for folder in _PROC.glob("[0-9]*"):
        if fields := _fields(int(folder.name)):
            yield int(folder.name), int(fields[2])


def _born(pid: int) -> str:
    """When a process began, by its machine's clock; empty where it is not, or only dead."""
    fields = _fields(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def _fields(pid: int) -> list[str]:
    """What the system tells of a process after its name; nothing where there is none."""
    try:
        # "pid (name) state parent group ..."; the name may hold anything.
        text = (_PROC / f"{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
