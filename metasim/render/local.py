"""Worker processes on this machine: started, spoken with over sockets, ended."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from metasim.errors import MetasimError, PluginError
from metasim.render import bootstrap, wire
from metasim.render.shelf import Shelf, nameless_file
from metasim.render.transport import Answered, Ended, Event, Ready, Refused

__all__ = ["LocalTransport", "LocalWorker"]

_READ = 1 << 18  # bytes at a time
_SILENCE = 1.0  # seconds that a process may take to end once it has closed its socket
_TAIL = 4096  # bytes of a log that are shown
_LONGEST_LOG = 1 << 20  # bytes of a log that are kept
# A worker each core: threads of their own would only be in one another's way, and their number
# must not decide how sums are rounded.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
# What leads an interpreter to modules that were installed for another.
_PATHS = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")


class LocalWorker:
    """One process; see :class:`metasim.render.transport.Worker`.

    Args:
        command: the interpreter and its options.
        environment: of the process.
        found: ``modules`` and ``path`` of :func:`metasim.render.bootstrap.main`.
        task: of :class:`metasim.render.worker.Host`.

    Attributes:
        process: the process.
        stream: the socket to it; nothing waits for it.
        exit: a descriptor that tells of the process's end; -1 where the system has none.
        silent_since: when it closed the socket, by the monotonic clock; None while it has not.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        found: Mapping[str, Any],
        task: Mapping[str, Any],
    ) -> None:
        held = ExitStack()
        # However this object is lost: what it holds goes, and the lifeline ends the process.
        self._let_go = weakref.finalize(self, held.close)
        self._shelves = [held.enter_context(closing(Shelf(nameless_file()))) for _ in range(2)]
        self._log, self._last_words = nameless_file(), ""
        held.callback(os.close, self._log)
        _append_only(self._log)
        self.stream, theirs = map(held.enter_context, socket.socketpair())
        lifeline, end = os.pipe()
        held.callback(os.close, end)
        handles = (lifeline, theirs.fileno(), *(shelf.handle for shelf in self._shelves))
        told = {"lifeline": lifeline, "channel": theirs.fileno(), "shelves": handles[2:], **found}
        try:
            self.process = subprocess.Popen(
                [*command, "-u", bootstrap.__file__, json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=dict(environment),
                pass_fds=handles,
                start_new_session=True,  # a terminal's Ctrl-C is for the one who started it
            )
        finally:
            os.close(lifeline)
            theirs.close()
        self.stream.setblocking(False)
        self.exit = -1
        if hasattr(os, "pidfd_open"):
            self.exit = os.pidfd_open(self.process.pid)
            held.callback(os.close, self.exit)
        self.silent_since: float | None = None
        self._outgoing = bytearray(wire.frame(task))
        self._frames = wire.Frames()
        self._last: MetasimError | None = None
        self._how = ""
        self._send()

    # --- what a pool asks of it ------------------------------------------------------------

    def post(self, message: Mapping[str, Any]) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        self._outgoing += wire.frame(message)
        self._send()

    def kill(self) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        # While it has not been waited for, nobody else can have its number.
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def ask_where(self) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGUSR1)

    def resident(self) -> int | None:
        """See :class:`metasim.render.transport.Worker`."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> str:
        """See :class:`metasim.render.transport.Worker`."""
        if not self._let_go.alive:
            return self._last_words
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, _TAIL, max(0, size - _TAIL))
        return text.decode(errors="replace").strip()

    # --- what its transport asks of it -----------------------------------------------------

    def end_silent(self) -> None:
        """Kill it since nothing can be said to it any more."""
        self._how = "let go of its connection and was killed"
        self.kill()

    @property
    def sending(self) -> bool:
        """Whether there is something that the socket had no room for."""
        return bool(self._outgoing)

    def _send(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._outgoing:
                sent = self.stream.send(self._outgoing)
                del self._outgoing[:sent]

    def hear(self) -> Iterator[Event]:
        """Send what is waiting, and tell what has arrived."""
        self._send()
        self._shorten_log()
        gone = self._is_gone()  # asked before the last is read, so that nothing is lost
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self.stream.recv(_READ):
                for message in self._frames.feed(data):
                    yield from self._told(message)
            self.silent_since = self.silent_since or time.monotonic()
        if gone:
            yield self._ended()

    def _told(self, message: Mapping[str, Any]) -> Iterator[Event]:
        if "ready" in message:
            yield Ready(self, message["ready"])
        elif "failed" in message:
            yield Refused(self, wire.as_error(message["failed"]))
        elif "ended" in message:
            error = message["ended"].get("error")
            self._last = wire.as_error(error) if error else None
        else:
            self._shelves.append(self._shelves.pop(0))
            arrays = self._shelves[-1].take(message["arrays"])
            yield Answered(self, message["id"], message, arrays)

    def _is_gone(self) -> bool:
        if self.exit >= 0:
            return bool(select.select([self.exit], [], [], 0)[0])
        return self.process.poll() is not None

    def _ended(self) -> Ended:
        self.kill()  # what it has started may be there still
        code = self.process.wait()
        self.close()
        return Ended(self, self._how or _how(code), self._last)

    def _shorten_log(self) -> None:
        if os.fstat(self._log).st_size > _LONGEST_LOG:
            kept = self.log()
            os.ftruncate(self._log, 0)
            os.write(self._log, kept.encode() + b"\n")

    def close(self) -> None:
        """Kill it unless it has ended, and let go of all but the end of its log."""
        self.kill()
        self.process.wait()
        self._last_words = self.log()
        self._let_go()
        self.exit = -1

    def disown(self) -> None:
        """In a process that was forked: it is the other's, and must not be kept alive from here."""
        self._let_go()
        self.process.returncode = 0  # which keeps this one from waiting for it


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
        self._environment = {name: "1" for name in _THREADS} | {
            name: value for name, value in os.environ.items() if own or name not in _PATHS
        }
        here = [os.path.abspath(folder) for folder in sys.path] if own else []
        self._found = {"modules": dict(modules), "path": [*here, *path]}
        self._task = dict(task)
        self._workers: list[LocalWorker] = []
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        _alive.add(self)

    def start(self) -> LocalWorker:
        """See :class:`metasim.render.transport.Transport`."""
        try:
            worker = LocalWorker(self._command, self._environment, self._found, self._task)
        except OSError as error:
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
        by_handle = {}
        for worker in self._workers:
            if worker.silent_since is None:
                handle = worker.stream.fileno()
                watched.register(handle, select.POLLIN | (select.POLLOUT if worker.sending else 0))
                by_handle[handle] = worker
            else:  # it is about to end
                seconds = min(_SILENCE, _SILENCE if seconds is None else seconds)
                if time.monotonic() > worker.silent_since + _SILENCE:
                    worker.end_silent()
            if worker.exit >= 0:
                watched.register(worker.exit, select.POLLIN)
                by_handle[worker.exit] = worker
        heard = watched.poll(None if seconds is None else max(0, seconds) * 1000)
        with suppress(BlockingIOError):
            self._woken.recv(_READ)
        stirred = {by_handle[handle]: None for handle, _ in heard if handle in by_handle}
        stirred |= {worker: None for worker in self._workers if worker.silent_since is not None}
        return [event for worker in stirred for event in self._hear(worker)]

    def _hear(self, worker: LocalWorker) -> Iterator[Event]:
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
        while self._workers:
            self._workers[-1].close()
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


def _append_only(handle: int) -> None:
    """Have all writers write at the end, also after it was cut short."""
    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) | os.O_APPEND)


def _how(code: int) -> str:
    """How a process has ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
