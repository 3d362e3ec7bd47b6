"""Workers on the machines of a Ray cluster: actors, started, spoken with, ended.

Messages go out as JSON, arrays come back through Ray's object store. Ray itself tries nothing
again: what is lost is told, and the pool sees to it, as it does with processes of its own.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from metasim.errors import PluginError
from metasim.render import actor, cluster, wire
from metasim.render.cores import THREADS, cores
from metasim.render.shipping import Sources
from metasim.render.transport import Answered, Ended, Event, Placed, Ready, Refused

__all__ = ["RayTransport", "RayWorker"]

_TICK = 0.1  # seconds after which it is seen whether another thread has woken this one
_LOOKING = 1.0  # seconds after which a worker's machine is asked for its memory
_HELPING = 10.0  # seconds in which a task on a worker's machine must be done


class RayWorker:
    """One actor; see :class:`metasim.render.transport.Worker`.

    Args:
        transport: that starts it.

    Attributes:
        placed: whether the actor has a process.
        node: its machine's id; empty before it is placed.
        taken: whether another pool of this process has taken its room.
    """

    def __init__(self, transport: RayTransport) -> None:
        self._transport, self._ray = transport, transport.ray
        self._actor = transport.new_actor()
        self._pending: deque[tuple[str | int, Any]] = deque()
        self._ping: Any = None
        self._look: Any = None
        self._looked = 0.0
        self._resident: int | None = None
        self._about: dict[str, Any] = {}
        self._last: Ended | None = None
        self._ready = self._killed = self.placed = self.taken = False
        self._expect("about", self._actor.about.remote())

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
            self._ping = self._actor.about.remote()
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
            self._help(actor.write_where, self._about["pid"], self._about["born"])

    def resident(self) -> int | None:
        """See :class:`metasim.render.transport.Worker`.

        It tells so with every answer; while one takes long, its machine is asked.
        """
        if self._look is not None:
            self._take_look()
        elif self.placed and time.monotonic() > self._looked + _LOOKING:
            self._look = self._transport.help(self.node, actor.resident, self._about["pid"])
        return self._resident

    def log(self) -> str:
        """See :class:`metasim.render.transport.Worker`."""
        if not self.placed:
            return self._transport.shortage()
        if not self._about["log"]:
            return ""
        told = self._help(actor.tail, self._about["log"], self._about["since"])
        return told if isinstance(told, str) else ""

    # --- what its transport asks of it -----------------------------------------------------

    @property
    def node(self) -> str:
        """The id of its machine; empty before it is placed."""
        return str(self._about.get("node", ""))

    @property
    def process(self) -> tuple[str, int, str]:
        """Where its process is, and which; once it is placed."""
        return self.node, self._about["pid"], self._about["born"]

    @property
    def head(self) -> Any:
        """What it will tell next; None where it has been asked nothing."""
        return self._pending[0][1] if self._pending else None

    def hear(self) -> Iterator[Event]:
        """Tell what the head has become, which is there."""
        kind, reference = self._pending[0]
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            yield from self._ended(error)
            return
        self._pending.popleft()
        if kind == "about":
            self._about, self.placed = value, True
            thorough = self._transport.is_new(self.node)
            self._expect("begin", self._actor.begin.remote(self._transport.task, thorough))
            yield Placed(self)
        elif kind == "begin":
            yield self._begun(json.loads(value))
        elif kind == "end":
            told = json.loads(value)["ended"].get("error")
            self._last = Ended(self, "ended", wire.as_error(told) if told else None)
            self.kill()
        elif kind == "end of it":  # it was asked before it was killed
            self._expect(kind, self._actor.about.remote())
        else:
            body, arrays = value
            body = json.loads(body)
            self._resident, self._looked = body.get("resident"), time.monotonic()
            yield Answered(self, int(kind), body, arrays)

    def _begun(self, told: Mapping[str, Any]) -> Event:
        if "failed" in told:
            error = wire.as_error(told["failed"])
        elif wrong := self._transport.differences(self.node, told.get("made_of")):
            error = PluginError(wrong)
        else:
            self._ready = True
            self._resident, self._looked = told["resident"], time.monotonic()
            return Ready(self, told["ready"])
        self.kill()
        return Refused(self, error)

    def _ended(self, error: Exception) -> Iterator[Event]:
        """It is no more, or cannot be reached, which is made to be the same."""
        unseen = self._ping is not None and self._was_dead(self._ping)
        self._pending.clear()
        self._transport.forget(self)
        if not self._killed:
            self._ray.kill(self._actor)
        if not self.placed:
            if not self._killed and (wrong := self._transport.unstarted(error)):
                yield Refused(self, wrong)
        elif self._last is None:
            self._transport.sweep(*self.process)
        how, outside = self._transport.reason(self.node, error)
        yield self._last or Ended(self, how, outside=outside or unseen)

    def take(self) -> None:
        """End it so that another pool of this process has its room."""
        self.taken = True
        self._ray.kill(self._actor)

    def idle(self) -> bool:
        """Whether it has been asked nothing that a pool waits for."""
        return not self.taken and not any(isinstance(kind, int) for kind, _ in self._pending)

    def _expect(self, kind: str | int, reference: Any) -> None:
        self._pending.append((kind, reference))

    def _was_dead(self, ping: Any) -> bool:
        try:
            self._ray.get(ping, timeout=0)
        except self._ray.exceptions.GetTimeoutError:
            return False
        except self._ray.exceptions.RayError:
            return True
        return False

    def _take_look(self) -> None:
        try:
            self._resident = self._ray.get(self._look, timeout=0)
        except self._ray.exceptions.GetTimeoutError:
            return
        except self._ray.exceptions.RayError:
            pass  # the machine is lost, and its end will be told
        self._look, self._looked = None, time.monotonic()

    def _help(self, function: Any, *arguments: Any) -> Any:
        """What a function returns on the worker's machine; None where it does not."""
        reference = self._transport.help(self.node, function, *arguments)
        try:
            return self._ray.get(reference, timeout=_HELPING)
        except self._ray.exceptions.RayError:
            return None


class RayTransport:
    """Workers of a Ray cluster; see :class:`metasim.render.transport.Transport`.

    Args:
        task: of :class:`metasim.render.worker.Host`.
        sources: modules that are sent to the workers (see :mod:`metasim.render.shipping`).
        address: of the cluster, as of :func:`metasim.render.cluster.join`.
        count: how many workers there will be; None is as many as there is room for.

    Raises:
        MissingExtraError: when Ray is not installed.
        PluginError: when the cluster cannot be joined or started.

    Attributes:
        ray: Ray.
        task: as JSON.
    """

    def __init__(
        self, task: Mapping[str, Any], sources: Sources, address: str, count: int | None
    ) -> None:
        self.ray: ModuleType = cluster.import_ray()
        self.task = wire.text(task)
        self._made_of = actor.made_of(task)
        self.where = cluster.join(address, count or cores())
        self._actors = self.ray.remote(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {name: os.environ.get(name, "1") for name in THREADS}},
        )(actor.Actor)
        self._sources = self.ray.put(dict(sources))
        self._workers: list[RayWorker] = []
        self._compared: set[str] = set()
        self._sweeps: list[Any] = []
        self._awake = threading.Event()
        self._open = True
        _transports.add(self)

    def room(self) -> int:
        """See :class:`metasim.render.transport.Transport`."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 0)))

    def start(self) -> RayWorker:
        """See :class:`metasim.render.transport.Transport`."""
        self._make_room()
        worker = RayWorker(self)
        self._workers.append(worker)
        return worker

    def _make_room(self) -> None:
        """Where this process's pools take all CPUs, have one that does nothing give up one of its.

        A pool that is not drawing would keep them while another, which is, waits for them.
        """
        others = [t for t in list(_transports) if t is not self]
        held = len(self._workers) + sum(len(t._workers) for t in others)
        if held >= self.room():
            idle = (worker for t in others for worker in list(t._workers) if worker.idle())
            if worker := next(idle, None):
                worker.take()

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """See :class:`metasim.render.transport.Transport`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if events := [*self._taken(), *self._heard(0)]:
                return events
            left = _TICK if deadline is None else min(_TICK, deadline - time.monotonic())
            if left <= 0:
                return []
            if self._awake.is_set():
                self._awake.clear()
                return []
            if not any(worker.head is not None for worker in self._workers):
                self._awake.wait(left)
            elif events := list(self._heard(left)):
                return events

    def _heard(self, seconds: float) -> Iterator[Event]:
        """What those workers have to tell whose head is there, or will be within ``seconds``."""
        heads = {w.head: w for w in self._workers if w.head is not None}
        if not heads:
            return
        wanted = 1 if seconds else len(heads)
        ready, _ = self.ray.wait(list(heads), num_returns=wanted, timeout=seconds)
        for reference in ready:
            yield from heads[reference].hear()

    def _taken(self) -> Iterator[Event]:
        for worker in [worker for worker in self._workers if worker.taken]:
            self.forget(worker)
            yield Ended(worker, "was ended, since another renderer needed its room", outside=True)

    def wake(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        self._awake.set()

    def shut(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        if not self._open:
            return
        self._open = False
        _transports.discard(self)
        if self.ray.is_initialized():
            for worker in self._workers:
                worker.kill()
                if worker.placed:
                    self.sweep(*worker.process)
            if self._sweeps:
                self.ray.wait(self._sweeps, num_returns=len(self._sweeps), timeout=_HELPING)
        self._workers.clear()
        cluster.leave()

    # --- what its workers ask of it --------------------------------------------------------

    def new_actor(self) -> Any:
        """A new actor, which waits until a machine has room for it."""
        return self._actors.remote(self._sources)

    def forget(self, worker: RayWorker) -> None:
        """A worker has ended."""
        if worker in self._workers:
            self._workers.remove(worker)

    def help(self, node: str, function: Any, *arguments: Any) -> Any:
        """Have a function run on a machine, whatever else it does; gives Ray's reference."""
        there = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        task = self.ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function)
        return task.remote(*arguments)

    def sweep(self, node: str, pid: int, born: str) -> None:
        """End what is left of a worker's process on a machine."""
        self._sweeps = [s for s in self._sweeps if not self._is_done(s)]
        self._sweeps.append(self.help(node, actor.sweep, pid, born))

    def is_new(self, node: str) -> bool:
        """Whether it is not known yet what a worker on a machine is made of."""
        return node not in self._compared

    def differences(self, node: str, theirs: Mapping[str, Any] | None) -> str:
        """In what a machine differs from this one, where that decides what is drawn; or nothing."""
        if theirs is None:
            return ""
        ours = self._made_of
        wrong = [
            f"{name} {theirs['versions'][name]} instead of {version}"
            for name, version in ours["versions"].items()
            if theirs["versions"].get(name, version) != version
        ]
        for what, digest in ours["content"].items():
            told = theirs["content"].get(what, "")
            if told not in (None, digest):
                wrong.append(f"{what} differs" if told else f"{what} is missing")
        if not wrong:
            self._compared.add(node)
            return ""
        return (
            "all machines must have the same as this one, or images would depend on where they are "
            f"drawn, but of {self._address(node)} {'; '.join(wrong)}; install the same there"
        )

    def unstarted(self, error: Exception) -> PluginError | None:
        """What to say where an actor could not even be made; None where its machine was lost."""
        failed = isinstance(error, self.ray.exceptions.RuntimeEnvSetupError)
        if not failed and not getattr(error, "_actor_init_failed", False):
            return None
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        return PluginError(
            "metasim must be installed on all machines of the Ray cluster, in this version, but a "
            f"worker could not begin: {lines[-1].strip() if lines else type(error).__name__}"
        )

    def reason(self, node: str, error: Exception) -> tuple[str, bool]:
        """How a worker ended, in words, and whether that was for a reason outside of it."""
        machine = self._address(node)
        found = self.ray.exceptions
        if not self._is_alive(node):
            return f"was lost with its machine {machine}", True
        if isinstance(error, (found.ActorUnavailableError, found.ObjectLostError)):
            return f"could not be reached any more on {machine}", True
        if isinstance(error, found.OutOfMemoryError) or "memory monitor" in str(error):
            return f"was killed by Ray, since {machine} had no memory left", False
        if isinstance(error, found.RayTaskError):
            return f"raised {type(error.cause).__name__}: {error.cause}", False
        return f"ended unexpectedly on {machine}", False

    def shortage(self) -> str:
        """What room the cluster has, for people."""
        has, free = self.ray.cluster_resources(), self.ray.available_resources()
        return (
            f"the Ray cluster has {has.get('CPU', 0):g} CPUs on {self._machines()} machines, and "
            f"{free.get('CPU', 0):g} of them free; a worker needs one"
        )

    def _machines(self) -> int:
        return sum(node["Alive"] for node in self.ray.nodes())

    def _is_alive(self, node: str) -> bool:
        return any(found["Alive"] for found in self.ray.nodes() if found["NodeID"] == node)

    def _address(self, node: str) -> str:
        known = {found["NodeID"]: found["NodeManagerAddress"] for found in self.ray.nodes()}
        return str(known.get(node, "an unknown machine"))

    def _is_done(self, reference: Any) -> bool:
        return bool(self.ray.wait([reference], timeout=0)[0])


_transports: weakref.WeakSet[RayTransport] = weakref.WeakSet()
"""Those that are in use."""
