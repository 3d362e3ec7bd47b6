"""A worker that is an actor of Ray, seen from the pool."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import ModuleType
from typing import Any

from metasim.errors import PluginError
from metasim.render import actor, wire
from metasim.render.machines import Machines
from metasim.render.transport import Answered, Ended, Event, Placed, Ready, Refused

__all__ = ["RemoteWorker"]

_LOOKING = 1.0  # seconds after which a worker's machine is asked for its memory


class RemoteWorker:
    """One actor; see :class:`metasim.render.transport.Worker`.

    Args:
        ray: Ray.
        handle: the actor, which need not have a process yet.
        task: of :class:`metasim.render.worker.Host`, as JSON.
        machines: of the cluster.
        notify: called, by some thread, when there is something to hear.

    Attributes:
        placed: whether the actor has a process.
        taken: whether another pool of this process has taken its room.
    """

    def __init__(
        self,
        ray: ModuleType,
        handle: Any,
        task: str,
        machines: Machines,
        notify: Callable[[], None],
    ) -> None:
        self._ray, self._actor, self._task = ray, handle, task
        self._machines, self._notify = machines, notify
        self._pending: deque[tuple[str | int, Future[Any]]] = deque()
        self._ping: Future[Any] | None = None
        self._look: Future[int | None] | None = None
        self._looked = 0.0
        self._resident: int | None = None
        self._about: dict[str, Any] = {}
        self._last: Ended | None = None
        self._ready = self._killed = self.placed = self.taken = False
        self._expect("about", handle.about.remote())

    # --- what a pool asks of it ------------------------------------------------------------

    def post(self, message: Mapping[str, Any]) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        if message["ask"] == "end":
            if self._ready:
                self._expect("end", self._actor.end.remote())
            else:
                self.kill()  # there is nothing to close
            return
        if not self._pending:
            # It goes ahead, and tells afterwards whether the worker was there at all.
            self._ping = self._actor.about.remote().future()
        self._looked = time.monotonic()
        self._expect(message["id"], self._actor.answer.remote(wire.text(message)))

    def kill(self) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        if not self._killed:
            self._killed = True
            self._ray.kill(self._actor)
            self._expect("end of it", self._actor.about.remote())

    def ask_where(self) -> None:
        """See :class:`metasim.render.transport.Worker`."""
        if self.placed:
            self._machines.run(
                self.node, actor.write_where, self._about["pid"], self._about["born"]
            )

    def resident(self) -> int | None:
        """See :class:`metasim.render.transport.Worker`.

        It tells so with every answer; while one takes long, its machine is asked.
        """
        if self._look is not None and self._look.done():
            if self._look.exception() is None:  # else the machine is lost, and its end comes
                self._resident = self._look.result()
            self._look, self._looked = None, time.monotonic()
        elif self._look is None and self.placed and time.monotonic() > self._looked + _LOOKING:
            self._look = self._machines.begin(self.node, actor.resident, self._about["pid"])
        return self._resident

    def log(self) -> str:
        """See :class:`metasim.render.transport.Worker`."""
        if not self.placed:
            return self._machines.shortage()
        if not self._about["log"]:
            return ""
        told = self._machines.run(self.node, actor.tail, self._about["log"], self._about["since"])
        return told if isinstance(told, str) else ""

    # --- what its transport asks of it -----------------------------------------------------

    @property
    def node(self) -> str:
        """The id of its machine, once it is placed."""
        return str(self._about["node"])

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it, so that it may be taken."""
        return not self.taken and not any(isinstance(kind, int) for kind, _ in self._pending)

    def take(self) -> None:
        """End it so that another pool of this process has its room."""
        self.taken = True
        self._ray.kill(self._actor)
        self.sweep()

    def hear(self) -> Iterator[Event]:
        """Tell what has arrived, up to an answer: its arrays are good until the next is asked."""
        if self.taken:
            yield Ended(self, "was ended, since another renderer needed its room", outside=True)
        elif self._pending and self._pending[0][1].done():
            kind, future = self._pending[0]
            if isinstance(error := future.exception(), Exception):
                yield from self._ended(error)
            else:
                self._pending.popleft()
                yield from self._told(kind, future.result())

    def _told(self, kind: str | int, value: Any) -> Iterator[Event]:
        match kind:
            case "about":
                self._about, self.placed = value, True
                thorough = self._machines.is_new(self.node)
                self._expect("begin", self._actor.begin.remote(self._task, thorough))
                yield Placed(self)
            case "begin":
                yield self._begun(json.loads(value))
            case "end":
                told = json.loads(value)["ended"].get("error")
                self._last = Ended(self, "ended", wire.as_error(told) if told else None)
                self.kill()
            case "end of it":  # it was asked before it was killed
                self._expect(kind, self._actor.about.remote())
            case int():
                body, arrays = json.loads(value[0]), value[1]
                self._resident, self._looked = body.get("resident"), time.monotonic()
                yield Answered(self, kind, body, arrays)

    def _begun(self, told: Mapping[str, Any]) -> Event:
        if "failed" in told:
            error = wire.as_error(told["failed"])
        elif wrong := self._machines.differences(self.node, told.get("made_of")):
            error = PluginError(wrong)
        else:
            self._ready = True
            self._resident, self._looked = told["resident"], time.monotonic()
            return Ready(self, told["ready"])
        self.kill()
        return Refused(self, error)

    def _ended(self, error: Exception) -> Iterator[Event]:
        """It is no more, or cannot be reached, which is made to be the same."""
        self._pending.clear()
        if not self._killed:
            self._ray.kill(self._actor)
        if not self.placed:
            if not self._killed and (wrong := self._machines.unstarted(error)):
                yield Refused(self, wrong)
            yield Ended(self, "ended before it had begun")
            return
        if self._last is None:
            self.sweep()
        how, outside = self._machines.reason(self.node, error)
        absent = self._ping is not None and self._ping.done() and self._ping.exception() is not None
        yield self._last or Ended(self, how, outside=outside or absent)

    def sweep(self) -> None:
        """Have all ended that is left of its process."""
        if self.placed:
            self._machines.sweep(self.node, self._about["pid"], self._about["born"])

    def _expect(self, kind: str | int, reference: Any) -> None:
        # Not Ray's own ways to wait: a signal that raises while they do comes out as another error.
        future = reference.future()
        self._pending.append((kind, future))
        future.add_done_callback(lambda _: self._notify())
