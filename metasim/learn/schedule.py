"""What changes in the course of an attempt: the learning rate and the smallest deviation."""

from __future__ import annotations

import math

from metasim.learn.options import Training

__all__ = ["learning_rate", "smallest_scale"]


def learning_rate(options: Training, step: int, done: float) -> float:
    """Halved every so many steps where that is asked for, else a cosine down to a fiftieth.

    Args:
        options: the training loop's.
        step: steps of this attempt so far.
        done: share of the attempt's renders that are used up, 0 to 1.
    """
    if options.lr_halve_every:
        return options.lr * float(0.5 ** (step // options.lr_halve_every))
    return options.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def smallest_scale(options: Training, done: float) -> float:
    """The smallest deviation, in half ranges: falls linearly, and then stays at its end.

    Args:
        options: the training loop's.
        done: share of the attempt's renders that are used up, 0 to 1.
    """
    left = max(0.0, 1.0 - done / options.anneal) if options.anneal else 0.0
    return options.noise_end + left * (options.noise_start - options.noise_end)
