"""What a pool asks of whatever runs its workers: start them, carry messages, tell of their end.

Which scenes go where, what is tried again and what is given up is the pool's; a transport
knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from metasim.errors import MetasimError
from metasim.render.wire import Arrays

__all__ = ["Answered", "Ended", "Event", "Placed", "Ready", "Refused", "Transport", "Worker"]


class Worker(Protocol):
    """One worker, seen from the pool."""

    @property
    def placed(self) -> bool:
        """Whether it has a process, and need not wait any more until there is room for one."""

    def post(self, message: Mapping[str, Any]) -> None:
        """Have it answer a message, after those posted before; does not wait.

        At most two may be unanswered. The message holds ``ask``, and an ``id`` unless it asks to
        ``end``.
        """

    def kill(self) -> None:
        """End it, and what it has started, at once and whatever it does; :class:`Ended` follows."""

    def ask_where(self) -> None:
        """Have a worker that hangs write where it is to its log, if that can be."""

    def resident(self) -> int | None:
        """Bytes of its resident set; None where that is not known."""

    def log(self) -> str:
        """The end of what it has written to stdout and stderr; it may take seconds to get."""


@dataclass(frozen=True)
class Placed:
    """A worker that had to wait for room has a process, and begins to build its renderer.

    Attributes:
        worker: which.
    """

    worker: Worker


@dataclass(frozen=True)
class Ready:
    """A worker has built its renderer.

    Attributes:
        worker: which.
        hello: of :meth:`metasim.render.worker.Host.hello`.
    """

    worker: Worker
    hello: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A worker could not build its renderer; its end follows.

    Attributes:
        worker: which.
        error: as it was raised there.
    """

    worker: Worker
    error: MetasimError


@dataclass(frozen=True)
class Answered:
    """A worker has answered a message.

    Attributes:
        worker: which.
        number: the message's ``id``.
        body: the answer.
        arrays: good until the next message is posted to the worker.
    """

    worker: Worker
    number: int
    body: Mapping[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class Ended:
    """A worker is no more, and all that it had to say was told before.

    Attributes:
        worker: which.
        how: in words, for example "was killed by SIGSEGV".
        error: what closing its renderer raised, where it was asked to end.
        outside: whether it ended for a reason outside of it, such as the loss of its machine.
    """

    worker: Worker
    how: str
    error: MetasimError | None = None
    outside: bool = False


Event = Placed | Ready | Refused | Answered | Ended


class Transport(Protocol):
    """Starts workers, and waits for what they have to tell.

    Attributes:
        where: the workers run, where their user should hear of it; else empty.
    """

    where: str

    def room(self) -> int:
        """How many workers there is room for."""

    def start(self) -> Worker:
        """Start a worker; :class:`Ready`, :class:`Refused` or :class:`Ended` follows.

        :class:`Placed` precedes them where the worker is not placed at once.

        Raises:
            MetasimError: when none can be started.
        """

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """What workers have to tell, as soon as there is something; nothing after ``seconds``."""

    def wake(self) -> None:
        """Have :meth:`wait` return, which another thread is in."""

    def shut(self) -> None:
        """Kill what still runs, and hold nothing any more; may be called twice."""
