"""One worker process on this machine: started, spoken with over a socket, ended."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from metasim.errors import MetasimError
from metasim.render import bootstrap, wire
from metasim.render.shelf import Shelf, nameless_file
from metasim.render.transport import Answered, Ended, Event, Ready, Refused

__all__ = ["WorkerProcess"]

_READ = 1 << 18  # bytes at a time
_TAIL = 4096  # bytes of a log that are shown
_LONGEST_LOG = 1 << 20  # bytes of a log that are kept


class WorkerProcess:
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

    placed = True

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
        with suppress(AttributeError, OSError):  # not every system, nor every container, has them
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
            self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ask_where(self) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        # Not Popen's own way, which waits for one that has ended, and kill() would come too late.
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGUSR1)

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
        self._end_for("let go of its connection")

    def _end_for(self, why: str) -> None:
        self._how = f"{why} and was killed"
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
                yield from self._read(data)
            self.silent_since = self.silent_since or time.monotonic()
        if gone:
            yield self._ended()

    def _read(self, data: bytes) -> Iterator[Event]:
        try:
            for message in self._frames.feed(data):
                yield from self._told(message)
        except (KeyError, TypeError, ValueError):
            self._end_for("sent what is no answer")

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
        if self.exit < 0:
            if self.process.returncode is None and self.process.poll() is not None:
                self._kill_group()  # its number is nobody else's while there is somebody in it
            return self.process.returncode is not None
        watched = select.poll()  # select() cannot tell of a handle above 1023
        watched.register(self.exit, select.POLLIN)
        return bool(watched.poll(0))

    def _ended(self) -> Ended:
        self.kill()  # what it has started may be there still
        code = self.process.wait()
        self._let_go_of_all()
        return Ended(self, self._how or _how(code), self._last)

    def _shorten_log(self) -> None:
        if os.fstat(self._log).st_size > _LONGEST_LOG:
            kept = self.log()
            os.ftruncate(self._log, 0)
            os.write(self._log, kept.encode() + b"\n")

    def close(self, deadline: float) -> None:
        """Kill it unless it has ended, and let go of all but the end of its log.

        Args:
            deadline: by the monotonic clock. One that has not ended then waits for the system,
                which may be for ever, and is not waited for.
        """
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self._let_go_of_all()

    def _let_go_of_all(self) -> None:
        self._last_words = self.log()
        self._let_go()
        self.exit = -1

    def disown(self) -> None:
        """In a process that was forked: it is the other's, and must not be kept alive from here."""
        self._let_go()
        self.process.returncode = 0  # which keeps this one from waiting for it


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
