"""Arrays in memory that two processes share; it has no name, and is gone with the last of them."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from metasim.render.wire import Arrays

__all__ = ["Shelf", "nameless_file"]

_ALIGNED = 64  # bytes: a cache line
_GRAIN = 1 << 20  # bytes that a shelf grows by at least


def nameless_file() -> int:
    """A new file without a name, in memory where that can be; returns its descriptor."""
    with suppress(AttributeError, OSError):  # not every system, nor every container, has them
        return os.memfd_create("metasim")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Shelf:
    """One end of a shared file that holds the arrays of one answer at a time.

    The end that puts makes it as large as it must be, the end that takes follows.

    Args:
        handle: descriptor of the file; the shelf closes it.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._memory: mmap.mmap | None = None
        self._size = 0

    def put(self, arrays: Arrays) -> list[list[Any]]:
        """Copy arrays to the shelf, over those that were there.

        Returns:
            Where each is, as JSON values that :meth:`take` understands.

        Raises:
            OSError: when there is not enough memory.
        """
        places, end = [], 0
        for name, array in arrays.items():
            places.append([name, array.dtype.str, list(array.shape), end])
            end += -(-array.nbytes // _ALIGNED) * _ALIGNED
        if end > self._size:
            self._grow(end)
        for place, array in zip(self._views(places), arrays.values(), strict=True):
            place[...] = array
        return places

    def take(self, places: Sequence[Sequence[Any]]) -> Arrays:
        """The arrays there, as views that are good until others are put."""
        size = os.fstat(self.handle).st_size
        if size != self._size:
            self._map(size)
        names = [name for name, *_ in places]
        return dict(zip(names, self._views(places), strict=True))

    def _views(self, places: Sequence[Sequence[Any]]) -> list[Any]:
        memory = self._memory if self._memory is not None else b""
        return [
            np.ndarray(tuple(shape), np.dtype(kind), memory, offset)
            if 0 not in shape
            else np.empty(tuple(shape), np.dtype(kind))
            for _, kind, shape, offset in places
        ]

    def _grow(self, least: int) -> None:
        size = -(-max(least, self._size + self._size // 2) // _GRAIN) * _GRAIN
        if reserve := getattr(os, "posix_fallocate", None):
            reserve(self.handle, 0, size)  # else writing where there is no memory ends the process
        else:
            os.ftruncate(self.handle, size)
        self._map(size)

    def _map(self, size: int) -> None:
        # The old mapping goes when the last view of it does.
        self._memory, self._size = mmap.mmap(self.handle, size), size

    def close(self) -> None:
        """Let go of it; views that are still there stay good."""
        self._memory = None
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
