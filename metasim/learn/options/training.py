"""Settings of the training loop and of the task loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from metasim.learn.options.base import Options, Share

__all__ = ["LEAST_TARGET", "Task", "Training"]

LEAST_TARGET = 8
"""The fewest target images: a quarter of them is held out, and two make a distance."""


class Training(Options):
    """The training loop.

    Attributes:
        max_renders: stop after this many (those for the features and the tests are not counted).
        batch_size: scenes in a step.
        lr: learning rate of Adam; it falls to a fiftieth along a cosine.
        lr_halve_every: halve the rate after so many steps instead; 0 is the cosine.
        weight_decay: of Adam.
        grad_clip: largest gradient norm.
        warm_start: fit the editor by kernel mean matching before the first step.
        anneal: share of an attempt over which the smallest allowed deviation falls from
            ``noise_start`` to ``noise_end`` (in half ranges).
        noise_start: the smallest deviation at the start.
        noise_end: the smallest deviation at the end. The head adds 0.0015 or more to it.
        epoch_steps: steps between two looks at the target (metrics, test).
        images_every: epochs between two sets of figures and images.
        p_value: at least this at the end of an attempt counts as converged.
        restarts: how often an attempt that did not converge is followed by another, from
            other weights; all attempts have an equal share of the renders.
        checkpoint_seconds: time between the first two checkpoints; each further wait is 2 % longer.
    """

    max_renders: PositiveInt = 20000
    batch_size: Annotated[int, Field(ge=4)] = 128
    lr: PositiveFloat = 0.01
    lr_halve_every: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 1e-5
    grad_clip: PositiveFloat = 1.0
    warm_start: bool = True
    anneal: Share = 0.5
    noise_start: PositiveFloat = 0.05
    noise_end: PositiveFloat = 0.002
    epoch_steps: PositiveInt = 10
    images_every: PositiveInt = 5
    p_value: Share = 0.05
    restarts: NonNegativeInt = 1
    checkpoint_seconds: PositiveFloat = 30.0


class Task(Options):
    """The task loss: accuracy on labelled validation images as a reward.

    Attributes:
        images: folder of images by class, or a generated dataset: the validation set.
            Without it the target's own grammar draws one, with labels.
        count: how many images are drawn then.
        weight: of the task loss beside the discrepancy's.
        groups: parts of a batch that are rewarded apart; more give a clearer signal.
        steps: gradient steps that a batch teaches the task network, and each group a copy of it.
        lr: learning rate of Adam, for the task network and its copies.
    """

    images: Path | None = None
    count: PositiveInt = 200
    weight: PositiveFloat = 0.02
    groups: Annotated[int, Field(ge=2)] = 8
    steps: PositiveInt = 3
    lr: PositiveFloat = 0.002
