"""The workers of a pool: started, watched, replaced; what they have drawn, and what was lost."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from metasim.errors import MetasimError, PluginError
from metasim.render.chunks import Chunk
from metasim.render.member import Done, Lost, Member, with_log
from metasim.render.options import Workers
from metasim.render.transport import (
    Answered,
    Ended,
    Event,
    Placed,
    Ready,
    Refused,
    Transport,
    Worker,
)

__all__ = ["Crew"]

_STARTS = 3  # workers in a row that end before they are ready: then another would as well
_LEAVING = 10.0  # seconds in which a worker must have closed its renderer, or have died
_LOOKING = 0.1  # seconds between two looks at how much memory workers take
_WRITING = 0.1  # seconds in which a worker that hangs may write where
_NEAR = 0.9  # of the memory it may take: then no second chunk waits for a worker
# Times that a chunk is not blamed for what came from outside: it may be what machines are lost by.
_MOVES = 3
_MIB = 1 << 20


class Crew:
    """All workers of a pool.

    Args:
        transport: runs them.
        count: how many there are.
        options: what is asked of them.
        name: what people call their renderer.

    Attributes:
        count: as given, until all have to leave.
        members: those that count.
        hello: what the first that was ready has told; None before.
        closing_error: what closing a renderer raised first; None where nothing.
    """

    def __init__(self, transport: Transport, count: int, options: Workers, name: str) -> None:
        self.count, self.options, self.name = count, options, name
        self.members: dict[Worker, Member] = {}
        self.hello: Mapping[str, Any] | None = None
        self.closing_error: MetasimError | None = None
        self._transport = transport
        self._leaving: dict[Worker, tuple[float, bool]] = {}  # until when, and whether killed
        self._heard: deque[Event] = deque()
        self._held = -math.inf  # when a worker was last known to hold room
        self._failed_starts = self._number = 0

    # --- coming and going ------------------------------------------------------------------

    def _fill_up(self) -> None:
        """Retire whoever is spent and has nothing to do, and start as many as are missing."""
        for member in list(self.members.values()):
            if member.ready and not member.jobs and self._spent(member):
                self._retire(member)
        # The first by itself: what it tells is that the renderer can be built.
        wanted = self.count if self.hello else min(1, self.count)
        while len(self.members) < wanted:
            worker = self._transport.start()
            self.members[worker] = Member(worker, time.monotonic())

    def drop_busy(self) -> None:
        """End whoever has something to do, whatever it is."""
        for member in list(self.members.values()):
            if member.jobs:
                self._drop(member)

    def drop_all(self) -> None:
        """End everybody; others are started when there is something to do again."""
        for member in list(self.members.values()):
            self._drop(member)

    def leave(self) -> None:
        """Have all workers that are ready close their renderers; wait until all have ended.

        No other is started from then on.
        """
        self.count = 0
        with suppress(MetasimError):  # of one that could not start, when none is wanted any more
            self.look_round()
        for member in list(self.members.values()):
            if member.ready and not member.jobs:
                self._retire(member)
            else:
                self._drop(member)
        while self._leaving:
            deque(self.attend(), maxlen=0)

    def _let_go(self, member: Member, *, killed: bool = False) -> None:
        self._leaving[member.worker] = time.monotonic() + _LEAVING, killed
        del self.members[member.worker]

    def _drop(self, member: Member) -> None:
        self._let_go(member, killed=True)
        member.worker.kill()

    def _retire(self, member: Member) -> None:
        self._let_go(member)
        member.worker.post({"ask": "end"})

    # --- work ------------------------------------------------------------------------------

    def free(self, jobs: int) -> Iterator[Member]:
        """Those that have so many jobs and may have another."""
        for member in list(self.members.values()):
            full = self._spent(member) or (jobs and member.near)
            if member.ready and len(member.jobs) == jobs and not full:
                yield member

    def _spent(self, member: Member) -> bool:
        """Whether a worker is to have no other job."""
        return bool(member.killed) or member.grown or not self.room(member)

    def room(self, member: Member) -> int:
        """How many images a worker may be asked for, until it is replaced."""
        most = self.options.recycle.renders
        if most is None:
            return sys.maxsize
        return max(0, most - member.renders - sum(len(chunk or ()) for _, chunk in member.jobs))

    def give(self, member: Member, chunk: Chunk | None, message: Mapping[str, Any]) -> None:
        """Give a worker a job."""
        self._number += 1
        if not member.jobs:
            member.since = time.monotonic()
        member.jobs.append((self._number, chunk))  # first: whoever has a job is at work
        member.worker.post({"id": self._number, **message})

    def attend(self) -> Iterator[Done | Lost]:
        """Wait until something happens, and see to it.

        Raises:
            MetasimError: what a renderer's constructor raised.
            PluginError: when workers cannot be started.
        """
        self._fill_up()  # first, or it might wait for nobody
        self._hear(0 if self._heard else self._patience())
        while self._heard:  # what is not seen to now, as an error is told first, is the next time
            yield from self._see_to(self._heard.popleft())
        yield from self._watch()
        self._fill_up()  # at once, since it may be long until there is something to do again

    def look_round(self) -> None:
        """See to what has happened while nobody had a job, without waiting."""
        self._hear(0)
        while self._heard:
            for _ in self._see_to(self._heard.popleft()):
                pass

    def _hear(self, seconds: float | None) -> None:
        self._heard += self._transport.wait(seconds)
        if any(worker.placed for worker in (*self.members, *self._leaving)):
            self._held = time.monotonic()  # also by one of whose end it has only just been told

    def _see_to(self, event: Event) -> Iterator[Done | Lost]:
        member = self.members.get(event.worker)
        match event:
            case Ended() if member is None:
                self._leaving.pop(event.worker, None)
                self.closing_error = self.closing_error or event.error
            case _ if member is None:  # the last words of one that was dropped
                pass
            case Placed():
                member.since = time.monotonic()
            case Ready():
                self._welcome(member, event.hello)
            case Refused():
                self._let_go(member)
                raise event.error
            case Answered():
                yield from self._answered(member, event)
            case Ended():
                yield from self._ended(member, event)

    def _welcome(self, member: Member, hello: Mapping[str, Any]) -> None:
        self.hello = self.hello or hello
        if hello != self.hello:
            raise PluginError(
                f"all workers must build the same renderer, but one of {self.name!r} tells of "
                f"{dict(hello)} and another of {dict(self.hello)}; build it from its options alone"
            )
        member.ready, self._failed_starts = True, 0
        bound, taken = self._bound(), member.worker.resident() or 0
        if bound is not None and taken > bound:
            raise PluginError(
                f"workers.recycle.memory must be more than the renderer {self.name!r} takes once "
                f"it is built, {taken / _MIB:.0f} MiB, got {bound / _MIB:g}; raise it"
            )

    def _answered(self, member: Member, event: Answered) -> Iterator[Done | Lost]:
        number, chunk = member.jobs.popleft()
        assert number == event.number, "answers come in the order of the jobs"
        member.since = time.monotonic()
        member.renders += len(chunk or ())
        if (bound := self._bound()) is not None:
            taken = member.worker.resident() or 0
            member.near, member.grown = taken > _NEAR * bound, taken > bound
        yield Done(member, chunk, event.body, event.arrays)  # last: whoever takes it may raise

    def _ended(self, member: Member, event: Ended) -> Iterator[Lost]:
        del self.members[member.worker]
        how = member.killed or event.how
        if not member.ready and not event.outside:
            self._failed_starts += 1
            hopeless = member.killed and self.hello is None  # and it takes long to find that out
            if hopeless or self._failed_starts >= _STARTS:
                raise PluginError(self._never_ready(how, member.worker.log()))
        for place, (_, chunk) in enumerate(member.jobs):
            excuses = _MOVES if event.outside else int(member.blameless)
            excused = event.outside if chunk is None else chunk.excused < excuses
            if place == 0 and chunk and excused:
                chunk = replace(chunk, excused=chunk.excused + 1)
            yield Lost(chunk, how, member.worker, blamed=place == 0 and not excused)

    def _never_ready(self, how: str, log: str) -> str:
        often = "" if self._failed_starts < _STARTS else f", {self._failed_starts} times in a row"
        return with_log(
            f"the renderer {self.name!r} must be built in a worker process, but before it was "
            f"ready the worker {how}{often}; see that its interpreter has numpy and all that the "
            "renderer imports",
            log,
        )

    # --- watching --------------------------------------------------------------------------

    def _patience(self) -> float | None:
        """Seconds until something is to be seen to, whatever the workers tell."""
        if any(member.jobs for member in self.members.values()) and self._bound() is not None:
            return _LOOKING
        deadlines = [deadline for deadline, _ in self._leaving.values()]
        deadlines += filter(None, map(self._deadline, self.members.values()))
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _deadline(self, member: Member) -> float | None:
        """When what a worker does has taken too long; None where it does nothing."""
        if member.killed:
            return member.since + _LEAVING
        if not member.worker.placed:  # it may wait for as long as others hold the room
            return max(member.since, self._held) + self.options.start
        if not member.ready:
            return member.since + self.options.start
        return member.since + self.options.timeout if member.jobs else None

    def _watch(self) -> Iterator[Lost]:
        self._watch_leaving()
        now = time.monotonic()
        for member in list(self.members.values()):
            if now > (self._deadline(member) or now):
                yield from self._late(member)
            elif member.jobs and not member.killed:
                self._end_grown(member)

    def _watch_leaving(self) -> None:
        now = time.monotonic()
        for worker, (deadline, killed) in list(self._leaving.items()):
            if now > deadline and killed:
                del self._leaving[worker]  # it must have ended, and that was missed
            elif now > deadline:
                self._leaving[worker] = now + _LEAVING, True
                worker.kill()

    def _late(self, member: Member) -> Iterator[Lost]:
        if member.killed:  # it waits for the system; what it has done is done without
            yield from self._ended(member, Ended(member.worker, member.killed))
        elif member.worker.placed:
            self._end_hanging(member)
        else:
            told = self._no_room(member.worker.log())
            self.drop_all()  # who have no room either; next time they wait anew
            raise PluginError(told)

    def _end_hanging(self, member: Member) -> None:
        member.worker.ask_where()
        time.sleep(_WRITING)
        limit = self.options.timeout if member.ready else self.options.start
        what = "had not answered" if member.ready else "was not ready"
        self._kill(member, f"{what} after {limit:g} s")

    def _no_room(self, shortage: str) -> str:
        return (
            f"the renderer {self.name!r} must have room for a worker, but there was none to start "
            f"in for {self.options.start:g} s{shortage and f': {shortage}'}; end what takes it, or "
            "wait longer (workers.start)"
        )

    def _end_grown(self, member: Member) -> None:
        bound = self._bound()
        if bound is None:
            return
        taken = member.worker.resident() or 0
        if taken > bound:
            # One that had drawn others may have been large before; a new one will tell.
            member.blameless = member.renders > 0
            self._kill(
                member, f"took {taken / _MIB:.0f} MiB of memory, of {bound / _MIB:g} allowed,"
            )

    def _kill(self, member: Member, why: str) -> None:
        member.killed, member.since = f"{why} and was killed", time.monotonic()
        member.worker.kill()

    def _bound(self) -> float | None:
        memory = self.options.recycle.memory
        return None if memory is None else memory * _MIB
