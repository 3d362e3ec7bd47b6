"""One worker of a pool, what it has done, and what was lost with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metasim.render.chunks import Chunk
from metasim.render.transport import Worker
from metasim.render.wire import Arrays

__all__ = ["Done", "Lost", "Member", "with_log"]


@dataclass(eq=False)
class Member:
    """A worker, and what is known of it.

    Attributes:
        worker: the worker.
        since: when it began with what it does: to start, the first of its jobs, or to end.
        ready: whether its renderer is built.
        renders: images it has drawn.
        jobs: messages it has not answered, by number, in order; of a chunk, or of something else.
        killed: why it was killed; empty where it was not.
        blameless: whether its end says nothing of the chunk that it was drawing.
        near: whether it takes nearly as much memory as it may.
        grown: whether it takes more, and is replaced once it has nothing to do.
    """

    worker: Worker
    since: float
    ready: bool = False
    renders: int = 0
    jobs: deque[tuple[int, Chunk | None]] = field(default_factory=deque)
    killed: str = ""
    blameless: bool = False
    near: bool = False
    grown: bool = False


@dataclass(frozen=True)
class Done:
    """A worker has answered.

    Attributes:
        member: which.
        chunk: that it has drawn; None where it was asked something else.
        body: the answer.
        arrays: good until the next message to it.
    """

    member: Member
    chunk: Chunk | None
    body: Mapping[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class Lost:
    """A worker ended with a chunk undrawn.

    Attributes:
        chunk: the chunk; None where it was asked something else.
        how: the worker ended, in words.
        worker: which that was.
        blamed: whether the chunk may have been the reason.
    """

    chunk: Chunk | None
    how: str
    worker: Worker
    blamed: bool


def with_log(message: str, log: str) -> str:
    """A message, and the end of a worker's log where there is something in it."""
    if not log:
        return message
    lines = "\n".join(f"  | {line}" for line in log.splitlines()[-20:])
    return f"{message}; its log ends:\n{lines}"
