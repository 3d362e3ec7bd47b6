"""Random numbers that follow from a scene's seed alone, for a whole batch at once.

A counter-based generator (the finaliser of SplitMix64, Steele, Lea and Flood, 2014): number
k of a stream is a hash of the seed and k, so no image depends on its neighbours in a batch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["normals", "uniforms"]

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _hash(
    seeds: npt.NDArray[np.uint64], counters: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    mixed = _finalise(seeds) + counters * _STEP
    return _finalise(mixed)


def _finalise(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def uniforms(
    seeds: npt.NDArray[np.uint64], counters: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), number ``counters`` of the streams ``seeds``; shapes (n,)."""
    return (_hash(seeds, counters) >> np.uint64(11)) * 2.0**-53


def normals(seeds: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float32]:
    """(n, count) numbers of mean 0 and deviation 1, nearly normal and below 3.47 in size.

    Each is the sum of four uniform ones: whole-number arithmetic, so the same everywhere.
    """
    # Far from the counters of ``uniforms``, which number a scene's nodes.
    counters = np.arange(2**32, 2**32 + count, dtype=np.uint64)
    parts = _hash(seeds[:, None], counters).view(np.uint16).reshape(len(seeds), count, 4)
    total = parts.sum(-1, dtype=np.int32) - 2 * 65535
    drawn: npt.NDArray[np.float32] = total.astype(np.float32) * np.float32(3**0.5 / 65536)
    return drawn
