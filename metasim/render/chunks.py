"""A batch of scenes in chunks: which are still to be drawn, and what has been drawn so far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metasim.errors import RenderError
from metasim.render import wire
from metasim.render.base import PIXEL_BYTES, Label, Rendered
from metasim.render.geometry import Camera
from metasim.render.wire import Arrays
from metasim.scene.graph import Scene

__all__ = ["Batch", "Chunk", "Pace", "Rounds"]

_SHORTEST, _LONGEST = 0.002, 1.0  # seconds that a chunk should take
_UNKNOWN = 1  # scenes of a chunk while nothing is known of how long they take
_SHARE = 2  # of what is left, a round hands out this part
_MEMORY = 64 << 20  # bytes of a chunk's planes
_WEIGHT = 0.3  # of the newest chunk in the pace


@dataclass(frozen=True)
class Chunk:
    """Neighbouring scenes of a batch.

    Attributes:
        start: place of the first in the batch.
        stop: place after the last.
        failures: how often a worker has ended over these scenes; for those that a half holds, 1 for
            all that ended over more with them.
        excused: how often one has, in a way that they may have had no part in.
    """

    start: int
    stop: int
    failures: int = 0
    excused: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def halves(self) -> tuple[Chunk, Chunk]:
        """Both halves of at least two scenes, after failures that either may have no part in."""
        middle = (self.start + self.stop) // 2
        half = replace(self, failures=1)
        return replace(half, stop=middle), replace(half, start=middle)


class Pace:
    """How fast scenes are drawn, and with it how many make a good chunk.

    What is drawn does not depend on it.

    Args:
        workers: how many there are.
        size: (H, W) of the images.

    Attributes:
        workers: as given.
    """

    def __init__(self, workers: int, size: tuple[int, int]) -> None:
        self.workers = workers
        self._most = max(1, _MEMORY // (PIXEL_BYTES * size[0] * size[1]))
        self._seconds: float | None = None

    def note(self, scenes: int, seconds: float) -> None:
        """That so many scenes have taken a worker so long."""
        if not scenes:
            return
        each = max(seconds / scenes, 1e-9)
        before = each if self._seconds is None else self._seconds
        self._seconds = before + _WEIGHT * (each - before)

    def good(self, left: int) -> int:
        """How many of the scenes that are left each worker should be given next."""
        wanted = math.ceil(left / (_SHARE * self.workers))
        least, most = 1, _UNKNOWN
        if self._seconds is not None:
            least = math.ceil(_SHORTEST / self._seconds)
            most = max(1, int(_LONGEST / self._seconds))
        return max(1, min(max(wanted, least), most, self._most))


class Rounds:
    """The sizes of one batch's chunks.

    They shrink from round to round, since large ones cost little and small ones let all workers
    end at the same time; within a round all have the same, so that workers that are equally fast
    get equally much (factoring: Hummel, Schonberg and Flynn, Comm. ACM 35(8), 1992).

    Args:
        pace: of the workers.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._size = self._chunks = 0

    def size(self, left: int) -> int:
        """How many of the scenes that are left should be the next chunk."""
        return min(left, self._size if self._chunks else self._pace.good(left))

    def took(self, left: int) -> None:
        """That a chunk is taken, of so many scenes that were left."""
        if not self._chunks:
            self._size, self._chunks = self._pace.good(left), self._pace.workers
        self._chunks -= 1

    def worth_queueing(self, left: int) -> bool:
        """Whether a busy worker should have its next chunk already.

        At the end of a batch it should not: another may be free before it.
        """
        return left > self._pace.workers * self.size(left)


class Batch:
    """One batch, and what has come of it.

    Args:
        scenes: B scenes.
        size: (H, W) of the images.
    """

    def __init__(self, scenes: Sequence[Scene], size: tuple[int, int]) -> None:
        self.scenes, self._size = scenes, size
        self._todo: deque[Chunk] = deque([Chunk(0, len(scenes))])
        self._undrawn = len(scenes) or 1  # an empty batch is drawn, too: as an empty chunk
        self._planes: Arrays | None = None
        self._labels: list[tuple[Label, ...]] = [()] * len(scenes)
        self._cameras: list[Camera | None] = [None] * len(scenes)
        self._seen: bool | None = None

    @property
    def left(self) -> int:
        """How many scenes nobody has been given."""
        return sum(map(len, self._todo))

    @property
    def waiting(self) -> bool:
        """Whether there is a chunk for a worker."""
        return bool(self._todo)

    @property
    def done(self) -> bool:
        """Whether everything is drawn."""
        return self._undrawn == 0

    def take(self, size: int) -> Chunk:
        """The next chunk, of at most so many scenes; one that came back stays as it is."""
        first = self._todo.popleft()
        if first.failures or len(first) <= size:
            return first
        self._todo.appendleft(replace(first, start=first.start + size))
        return replace(first, stop=first.start + size)

    def give_back(self, *chunks: Chunk) -> None:
        """Have chunks drawn before all others."""
        self._todo.extendleft(reversed(chunks))

    def asked(self, chunk: Chunk) -> dict[str, Any]:
        """The message that asks for a chunk."""
        scenes = [scene.to_json() for scene in self.scenes[chunk.start : chunk.stop]]
        return {"ask": "render", "first": chunk.start, "scenes": scenes}

    def put(self, chunk: Chunk, body: Mapping[str, Any], arrays: Arrays) -> None:
        """Take the answer to :meth:`asked`, its arrays by copy.

        Raises:
            RenderError: when planes or cameras are offered for some images only.
        """
        cameras = wire.cameras_of(body["cameras"])
        self._refuse_other_planes(arrays, cameras is not None)
        rows = slice(chunk.start, chunk.stop)
        if self._planes is None:
            self._planes = {
                name: np.empty((len(self.scenes), *plane.shape[1:]), plane.dtype)
                for name, plane in arrays.items()
            }
        for name, plane in arrays.items():
            self._planes[name][rows] = plane
        self._labels[rows] = wire.labels_of(body["labels"], self.scenes[rows])
        if cameras is not None:
            self._cameras[rows] = cameras
        self._seen = cameras is not None
        self._undrawn -= len(chunk) or 1

    def _refuse_other_planes(self, arrays: Arrays, seen: bool) -> None:
        if self._planes is None:
            return
        mine, other = ({*planes} for planes in (self._planes, arrays))
        mine, other = (
            mine | {"cameras"} if self._seen else mine,
            other | {"cameras"} if seen else other,
        )
        if mine != other:
            raise RenderError(
                "render() must offer the same of all images, but of some it offers "
                f"{', '.join(sorted(mine ^ other))} and of others not"
            )

    def rendered(self) -> Rendered:
        """All of it, once it is done."""
        planes = self._planes or {}
        cameras = tuple(camera for camera in self._cameras if camera is not None)
        return Rendered(
            planes["images"],
            planes["instances"],
            tuple(self._labels),
            planes.get("depth"),
            planes.get("normals"),
            cameras if self._seen else None,
        )
