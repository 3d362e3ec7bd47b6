"""Which worker gives up its room for another pool's, and what is left of it; without Ray."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from metasim.render import remote
from metasim.render.remote import RayTransport
from metasim.render.remote_worker import RemoteWorker

ABOUT = {"node": "a machine", "pid": 17, "born": "3", "log": "", "since": 0}


class Cluster:
    """Ray, and its machines: two CPUs."""

    def __init__(self) -> None:
        self.killed: list[Any] = []
        self.swept: list[tuple[str, int, str]] = []
        self.kill = self.killed.append

    def cpus(self) -> float:
        return 2.0

    def is_new(self, node: str) -> bool:
        return False

    def sweep(self, *process: Any) -> None:
        self.swept.append(process)


def worker_of(cluster: Any, *, placed: bool) -> RemoteWorker:
    """A worker whose actor has got a process, or waits for room."""
    about, begun = Future[Any](), Future[Any]()
    handle = SimpleNamespace(
        about=SimpleNamespace(remote=lambda: SimpleNamespace(future=lambda: about)),
        begin=SimpleNamespace(remote=lambda *_: SimpleNamespace(future=lambda: begun)),
    )
    worker = RemoteWorker(cluster, handle, "{}", cluster, lambda: None)
    if placed:
        about.set_result(ABOUT)
        list(worker.hear())
    assert worker.placed == placed
    return worker


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> tuple[Cluster, Any, Any]:
    """A cluster, and two transports of this process that have no workers."""
    monkeypatch.setattr(remote, "_transports", known := list[RayTransport]())
    cluster = Cluster()
    for _ in range(2):
        transport = RayTransport.__new__(RayTransport)
        transport._machines, transport._workers = cluster, []  # type: ignore[assignment]
        known.append(transport)
    return cluster, *known


@pytest.mark.parametrize("placed", [[False, True], [True, False]])
def test_one_that_holds_room_gives_it_up_first(
    transports: tuple[Cluster, Any, Any], placed: list[bool]
) -> None:
    cluster, idle, wanting = transports
    idle._workers = [worker_of(cluster, placed=one) for one in placed]
    for taken in (placed, [True, True]):
        wanting._make_room()
        assert [worker.taken for worker in idle._workers] == taken
    wanting._make_room()
    assert len(cluster.killed) == 2


def test_what_it_has_started_is_ended_with_it(transports: tuple[Cluster, Any, Any]) -> None:
    cluster, idle, wanting = transports
    idle._workers = [worker_of(cluster, placed=True), worker_of(cluster, placed=False)]
    for _ in range(2):
        wanting._make_room()
    assert cluster.swept == [("a machine", 17, "3")], "of the one that had a process"
