"""How a batch is cut into chunks: everything once, in rounds of equal ones that shrink."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from metasim.render.chunks import Batch, Pace, Rounds
from tests.unit.render.troubled import scenes

MOST = 64  # scenes in a second, the longest chunk, of a renderer that takes 1/64 s


def paced(workers: int, each: float | None = 1 / MOST) -> Pace:
    """A pace that is known, of so many seconds a scene."""
    pace = Pace(workers, (8, 8))
    if each is not None:
        pace.note(1000, 1000 * each)
    return pace


def cut(count: int, pace: Pace) -> list[int]:
    """The sizes of all chunks of a batch, in order."""
    batch, rounds, found = Batch(scenes(count), (8, 8)), Rounds(pace), []
    while batch.waiting:
        left = batch.left
        found.append(len(batch.take(rounds.size(left))))
        rounds.took(left)
    return found


def shares(count: int, pace: Pace, seconds: Callable[[int], float]) -> tuple[list[int], float]:
    """Scenes that each worker gets, and the time from the first worker's end to the last's."""
    free = [(0.0, worker) for worker in range(pace.workers)]
    got = [0] * pace.workers
    for size in cut(count, pace):
        now, worker = heapq.heappop(free)
        got[worker] += size
        heapq.heappush(free, (now + size * seconds(worker), worker))
    ends = [end for end, _ in free]
    return got, max(ends) - min(ends)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize("each", [None, 1e-5, 1 / MOST, 3.0])
def test_chunks_are_all_of_a_batch_and_never_grow(
    count: int, workers: int, each: float | None
) -> None:
    sizes = cut(count, paced(workers, each))
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True)
    assert count == 0 or min(sizes) >= 1
    assert each is None or max(sizes) * each <= 1 or max(sizes) <= 1, "a second at most, or one"


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("each", [1, 10, 32, 33])
def test_workers_that_are_equally_fast_get_equally_much(workers: int, each: int) -> None:
    got, apart = shares(workers * each, paced(workers), lambda _: 1.0)
    assert got == [each] * workers
    assert apart == 0


def test_a_slow_worker_gets_less_and_all_end_within_a_scene_of_its() -> None:
    got, apart = shares(96, paced(2), lambda worker: (1.0, 3.0)[worker])
    assert got[0] > 2 * got[1]
    assert apart <= 3.0


def test_the_last_chunk_waits_for_whoever_is_free() -> None:
    rounds = Rounds(paced(2))
    assert rounds.worth_queueing(64)
    assert not rounds.worth_queueing(2)
