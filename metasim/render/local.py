"""Workers that are processes on this machine."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from metasim.errors import PluginError
from metasim.render.cores import THREADS, cores
from metasim.render.process import WorkerProcess
from metasim.render.transport import Ended, Event

__all__ = ["LocalTransport"]

_SILENCE = 1.0  # seconds that a process may take to end once it has closed its socket
_SOON = 0.02  # seconds between two looks at whether one has ended, where nothing tells of it
_ENDING = 10.0  # seconds that those which were killed may take; the system has them after that
# What there may be too little of for another process, whatever its interpreter.
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}
# What leads an interpreter to modules that were installed for another.
_PATHS = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")


class LocalTransport:
    """Workers on this machine; see :class:`metasim.render.transport.Transport`.

    Args:
        task: of :class:`metasim.render.worker.Host`.
        modules: where the modules are that a worker must find (see
            :class:`metasim.render.bootstrap.Finder`).
        path: folders it looks for modules in after Python's own.
        python: its interpreter; this process's unless given.

    Raises:
        PluginError: when there is no interpreter.
    """

    where = ""

    def __init__(
        self,
        task: Mapping[str, Any],
        modules: Mapping[str, Any],
        path: Sequence[str] = (),
        python: Path | None = None,
    ) -> None:
        own = python is None or os.path.abspath(python) == sys.executable
        if own and not sys.executable:
            raise PluginError("workers must have an interpreter; name it with workers.python")
        self._command = [sys.executable if python is None else os.path.abspath(python)]
        self._environment = {name: "1" for name in THREADS} | {
            name: value for name, value in os.environ.items() if own or name not in _PATHS
        }
        here = [os.path.abspath(folder) for folder in sys.path] if own else []
        self._found = {"modules": dict(modules), "path": [*here, *path]}
        self._task = dict(task)
        self._workers: list[WorkerProcess] = []
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        _alive.add(self)

    def room(self) -> int:
        """See :class:`metasim.render.transport.Transport`."""
        return cores()

    def start(self) -> WorkerProcess:
        """See :class:`metasim.render.transport.Transport`."""
        try:
            worker = WorkerProcess(self._command, self._environment, self._found, self._task)
        except OSError as error:
            if error.errno in _SHORT:
                raise PluginError(
                    f"another worker must be started, but {error.strerror or error}; have fewer "
                    f"(workers.count), there are {len(self._workers)}"
                ) from None
            raise PluginError(
                f"workers.python must be an interpreter that can be started, got "
                f"{self._command[0]}: {error.strerror or error}"
            ) from None
        self._workers.append(worker)
        return worker

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """See :class:`metasim.render.transport.Transport`."""
        watched = select.poll()
        watched.register(self._woken, select.POLLIN)
        by_handle, unseen = {}, []
        for worker in self._workers:
            if worker.silent_since is None:
                handle = worker.stream.fileno()
                watched.register(handle, select.POLLIN | (select.POLLOUT if worker.sending else 0))
                by_handle[handle] = worker
            elif time.monotonic() > worker.silent_since + _SILENCE:
                worker.end_silent()
            if worker.exit >= 0:
                watched.register(worker.exit, select.POLLIN)
                by_handle[worker.exit] = worker
            if worker.exit < 0 or worker.silent_since is not None:
                unseen.append(worker)
        if unseen:
            seconds = _SOON if seconds is None else min(_SOON, seconds)
        heard = watched.poll(None if seconds is None else max(0, seconds) * 1000)
        with suppress(BlockingIOError):
            self._woken.recv(1 << 10)
        stirred = {by_handle[handle]: None for handle, _ in heard if handle in by_handle}
        stirred |= dict.fromkeys(unseen)
        return [event for worker in stirred for event in self._hear(worker)]

    def _hear(self, worker: WorkerProcess) -> Iterator[Event]:
        for event in worker.hear():
            if isinstance(event, Ended):
                self._workers.remove(worker)
            yield event

    def wake(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        with suppress(BlockingIOError, OSError):
            self._waker.send(b"!")

    def shut(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        for worker in self._workers:
            worker.kill()  # all of them first: then they end together
        deadline = time.monotonic() + _ENDING
        while self._workers:
            self._workers[-1].close(deadline)
            self._workers.pop()
        self._woken.close()
        self._waker.close()

    def disown(self) -> None:
        """In a process that was forked: hold nothing that would keep the workers alive."""
        while self._workers:
            self._workers.pop().disown()


_alive: weakref.WeakSet[LocalTransport] = weakref.WeakSet()


def _disown_all() -> None:
    for transport in list(_alive):
        transport.disown()


os.register_at_fork(after_in_child=_disown_all)
