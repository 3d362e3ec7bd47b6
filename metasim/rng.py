"""Named random streams from one seed; nothing in metasim uses global random state."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["derive", "stream"]


def derive(seed: int, *names: str | int) -> int:
    """A seed of 63 bits for the stream called ``names``.

    The same seed and names give the same result on every platform; different names give
    streams that do not depend on one another, or on the order in which they are asked for.
    """
    text = "\x1f".join([str(int(seed)), *(str(name) for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the stream called ``names`` (see :func:`derive`)."""
    return np.random.default_rng(derive(seed, *names))
