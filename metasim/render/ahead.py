"""Drawing one batch while something else is done with the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from metasim.render.base import Renderer
from metasim.render.pool import WorkerPool
from metasim.render.wrapped import innermost

__all__ = ["in_turn"]

T = TypeVar("T")


def in_turn(renderer: Renderer, jobs: Iterable[Callable[[], T]]) -> Generator[T]:
    """What each of the jobs returns, in order.

    Workers go on with the next job while the caller is busy with what the last one gave. A
    renderer in this process does not, since it may have to stay in its thread.

    Args:
        renderer: what the jobs, and nothing else, draw with. When this is closed early, so that a
            job is cut off, a pool draws nothing any more.
        jobs: asked for in the caller's thread, each while the one before may still be at work.
    """
    pool = innermost(renderer)
    if isinstance(pool, WorkerPool):
        yield from _one_ahead(pool, jobs)
    else:
        for job in jobs:
            yield job()


def _one_ahead(pool: WorkerPool, jobs: Iterable[Callable[[], T]]) -> Generator[T]:
    begun: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, "metasim-ahead") as thread:
        try:
            for job in jobs:
                begun.append(thread.submit(job))
                if len(begun) > 1:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        except BaseException:
            pool.stop()  # else the thread would go on until its batch is done
            raise
