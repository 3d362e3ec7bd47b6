"""The weights that a network begins with: from a seed of its own, and nothing global moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["initial_weights"]


@contextmanager
def initial_weights(seed: int | None = None) -> Iterator[None]:
    """Networks built within the block draw their weights from ``seed``.

    torch draws them from its global generator of the CPU, whose state is put back. (Its
    ``manual_seed`` would seed those of all devices as well, which nothing puts back.)

    Args:
        seed: None where the weights do not matter, as others are loaded over them.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
