"""Workers on the machines of a Ray cluster.

Messages go out as JSON, arrays come back through Ray's object store. Ray itself tries nothing
again: what is lost is told, and the pool sees to it, as it does with processes of its own.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from metasim.render import actor, cluster, wire
from metasim.render.cores import THREADS, cores
from metasim.render.machines import Machines
from metasim.render.remote_worker import RemoteWorker
from metasim.render.shipping import Sources
from metasim.render.transport import Ended, Event

__all__ = ["RayTransport"]


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
        DataError: when files that the task's options name cannot be read.
    """

    def __init__(
        self, task: Mapping[str, Any], sources: Sources, address: str, count: int | None
    ) -> None:
        self._ray = cluster.import_ray()
        self._task, self._machines = wire.text(task), Machines(self._ray, task)
        self.where = cluster.join(address, count or cores())
        self._actors = self._ray.remote(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {name: os.environ.get(name, "1") for name in THREADS}},
        )(actor.Actor)
        self._sources = self._ray.put(dict(sources))
        self._workers: list[RemoteWorker] = []
        self._stirred, self._woken, self._open = threading.Event(), False, True
        _transports.add(self)

    def room(self) -> int:
        """See :class:`metasim.render.transport.Transport`."""
        return max(1, int(self._machines.cpus()))

    def start(self) -> RemoteWorker:
        """See :class:`metasim.render.transport.Transport`."""
        self._make_room()
        handle = self._actors.remote(self._sources)  # it waits until a machine has room for it
        worker = RemoteWorker(self._ray, handle, self._task, self._machines, self._stirred.set)
        self._workers.append(worker)
        return worker

    def _make_room(self) -> None:
        """Where this process's pools take all CPUs, have one that does nothing give up one of its.

        A pool that is not drawing would keep them while another, which is, waits for them.
        """
        every = [worker for transport in list(_transports) for worker in list(transport._workers)]
        if len(every) >= self.room():
            others = [one for one in every if one not in self._workers and one.idle]
            # One that is not placed has no room to give up, but it waits for some before others.
            if idle := max(others, key=lambda worker: worker.placed, default=None):
                idle.take()

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """See :class:`metasim.render.transport.Transport`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            self._stirred.clear()
            if events := [event for worker in list(self._workers) for event in worker.hear()]:
                self._forget(events)
                return events
            left = None if deadline is None else deadline - time.monotonic()
            if self._woken or (left is not None and left <= 0):
                self._woken = False
                return []
            self._stirred.wait(left)

    def _forget(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Ended) and event.worker in self._workers:
                self._workers.remove(event.worker)

    def wake(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        self._woken = True
        self._stirred.set()

    def shut(self) -> None:
        """See :class:`metasim.render.transport.Transport`."""
        if not self._open:
            return
        self._open = False
        _transports.discard(self)
        if self._ray.is_initialized():
            for worker in self._workers:
                worker.kill()
                worker.sweep()
            self._machines.finish()
        self._workers.clear()
        cluster.leave()


_transports: weakref.WeakSet[RayTransport] = weakref.WeakSet()
"""Those that are in use."""
