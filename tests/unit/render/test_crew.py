"""Workers that wait for room, hang at their start, or do not end: with a clock of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from metasim.errors import PluginError
from metasim.render import crew
from metasim.render.chunks import Chunk
from metasim.render.crew import Crew
from metasim.render.member import Done, Lost
from metasim.render.options import Workers
from metasim.render.transport import Answered, Ended, Event, Placed, Ready


class Clock:
    """Goes on as far as somebody waits."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Acted:
    """A worker that does what the test says; when it is killed it ends, or told once it is built.

    Attributes:
        there: whether it has not ended.
        mortal: whether it can be killed.
    """

    def __init__(self, stage: Stage, placed: bool) -> None:
        self.stage, self.placed = stage, placed
        self.there, self.mortal, self.built = True, True, False
        self.number = 0

    def post(self, message: Mapping[str, Any]) -> None:
        if message["ask"] != "end":
            self.number = message["id"]
        elif self.built:
            self.end("ended")

    def kill(self) -> None:
        if self.mortal and self.there:
            self.end("was killed by SIGKILL")

    def ask_where(self) -> None:
        pass

    def resident(self) -> None:
        pass

    def log(self) -> str:
        return "" if self.placed else "the cluster has 1 CPU"

    def take_place(self) -> None:
        self.placed = self.built = True
        self.stage.told += [Placed(self), Ready(self, {"image_size": [4, 6]})]

    def answer(self) -> None:
        self.stage.told.append(Answered(self, self.number, {}, {}))

    def end(self, how: str) -> None:
        self.there = False
        self.stage.told.append(Ended(self, how))


class Stage:
    """A transport of such workers; to wait for what never comes is an error.

    Attributes:
        places: for so many workers there is room.
        good: whether those that have a place get ready.
    """

    where = ""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.places, self.good = clock, 9, True
        self.workers: list[Acted] = []
        self.told: list[Event] = []

    def room(self) -> int:
        return self.places

    def start(self) -> Acted:
        held = sum(worker.placed and worker.there for worker in self.workers)
        worker = Acted(self, placed=held < self.places)
        self.workers.append(worker)
        if worker.placed and self.good:
            worker.take_place()
        return worker

    def wait(self, seconds: float | None) -> Sequence[Event]:
        if not self.told:
            assert seconds is not None, "nobody will ever tell anything"
            self.clock.now += seconds + 0.001
        told, self.told = self.told, []
        return told

    def wake(self) -> None:
        pass

    def shut(self) -> None:
        pass


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock = Clock()
    monkeypatch.setattr(crew, "time", clock)
    return Stage(clock)


def employ(stage: Stage, count: int = 1, **settings: Any) -> Crew:
    """A crew whose first worker is ready, and whose others are started."""
    found = Crew(stage, count, Workers(start=60, timeout=300, **settings), "acted")
    attend(found)
    assert found.hello
    return found


def attend(found: Crew) -> list[Done | Lost]:
    return list(found.attend())


def attend_for_ever(found: Crew) -> None:
    while True:
        attend(found)


def attend_until_ready(found: Crew, worker: Acted) -> None:
    while not (worker in found.members and found.members[worker].ready):
        attend(found)


def give(found: Crew, size: int) -> None:
    """Give whoever is free a chunk."""
    found.give(next(found.free(0)), Chunk(0, size), {"ask": "render"})


# --- room ----------------------------------------------------------------------------------


def recycle(found: Crew, worker: Acted) -> None:
    worker.answer()
    assert isinstance(attend(found)[0], Done)
    assert attend(found) == [], "it has ended"


def lose(found: Crew, worker: Acted) -> None:
    worker.end("was lost with its machine")
    assert isinstance(attend(found)[0], Lost)


def interrupt(found: Crew, worker: Acted) -> None:
    found.drop_busy()
    assert attend(found) == []


@pytest.mark.parametrize("go", [recycle, lose, interrupt])
def test_who_waits_for_room_has_its_time_from_when_nobody_holds_any(stage: Stage, go: Any) -> None:
    stage.places = 1
    found = employ(stage, 2, recycle={"renders": 7})
    first, second = stage.workers
    give(found, 7)
    stage.clock.sleep(200)  # longer than one may take to start
    stage.places = 0
    go(found, first)
    stage.clock.sleep(59)
    second.take_place()
    attend_until_ready(found, second)


def test_that_there_is_no_room_is_told_as_that(stage: Stage) -> None:
    found = employ(stage, 2)
    stage.places = 0
    for worker in stage.workers:
        worker.end("was lost with its machine")
    told = (
        "the renderer 'acted' must have room for a worker, but there was none to start in for 60 "
        "s: the cluster has 1 CPU; end what takes it, or wait longer (workers.start)"
    )
    for _ in range(2):  # each time it is waited for anew
        began = stage.clock.now
        with pytest.raises(PluginError) as error:
            attend_for_ever(found)
        assert str(error.value) == told
        assert stage.clock.now > began + 60
    stage.places = 1
    attend(found)
    give(found, 1)


# --- starts that fail ----------------------------------------------------------------------


def test_a_replacement_that_hangs_at_its_start_is_replaced(stage: Stage) -> None:
    found = employ(stage)
    stage.good = False
    stage.workers[0].end("ended with exit code 1")
    attend(found)
    stage.good = True
    while len(stage.workers) < 3:
        attend(found)
    attend_until_ready(found, stage.workers[2])
    assert [worker.there for worker in stage.workers] == [False, False, True]


def test_three_of_them_in_a_row_end_the_run(stage: Stage) -> None:
    found = employ(stage)
    stage.good = False
    stage.workers[0].end("ended with exit code 1")
    told = "was not ready after 60 s and was killed, 3 times in a row; see that its interpreter"
    with pytest.raises(PluginError, match=told):
        attend_for_ever(found)
    assert len(stage.workers) == 4


def test_a_first_worker_that_hangs_ends_it_at_once(stage: Stage) -> None:
    stage.good = False
    found = Crew(stage, 2, Workers(start=60), "acted")
    with pytest.raises(PluginError, match="was not ready after 60 s and was killed; see that its"):
        attend_for_ever(found)
    assert len(stage.workers) == 1, "the others are started once one is ready"


# --- ends that do not come -----------------------------------------------------------------


def test_what_a_worker_that_cannot_be_killed_was_drawing_is_lost(stage: Stage) -> None:
    """It may wait for a disk or a device, for ever."""
    found = employ(stage)
    give(found, 5)
    stage.workers[0].mortal = False
    while not (events := attend(found)):
        pass
    (lost,) = events
    assert isinstance(lost, Lost)
    assert lost.chunk == Chunk(0, 5)
    assert (lost.how, lost.blamed) == ("had not answered after 300 s and was killed", True)
    attend(found)
    give(found, 5)
    stage.workers[0].end("was killed by SIGKILL")
    stage.workers[1].answer()
    assert [type(event) for event in attend(found)] == [Done], "that it has ended is no news"
    assert list(found.members) == [stage.workers[1]]


def test_one_that_cannot_be_killed_as_it_starts_is_replaced(stage: Stage) -> None:
    found = employ(stage)
    stage.good = False
    stage.workers[0].end("ended with exit code 1")
    attend(found)
    stage.workers[1].mortal = False
    stage.good = True
    while len(stage.workers) < 3:
        attend(found)
    assert list(found.members) == [stage.workers[2]]
    attend_until_ready(found, stage.workers[2])


def test_leaving_waits_for_none_that_is_still_being_built(stage: Stage) -> None:
    found = employ(stage, 3)
    attend(found)
    stage.good = False
    stage.workers[0].end("ended with exit code 1")
    stage.workers[1].end("ended with exit code 1")
    attend(found)
    stage.workers[3].take_place()  # which is not heard before they leave
    before = stage.clock.now
    found.leave()
    assert not any(worker.there for worker in stage.workers)
    assert stage.clock.now == before
    assert len(stage.workers) == 5, "and no other is started"
