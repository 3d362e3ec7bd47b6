"""The labelled validation images of the task loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metasim.config import Experiment, GrammarTarget
from metasim.data import load_labelled
from metasim.errors import ConfigError
from metasim.learn.options import Task
from metasim.learn.task import class_indices
from metasim.render.drawing import draw_all
from metasim.rng import stream
from metasim.target import target_renderer

__all__ = ["Labelled", "load_validation"]

Labelled = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]
"""Images uint8 (V, H, W, 3), their classes int64 (V,), and the classes' names."""


def load_validation(experiment: Experiment, task: Task, size: tuple[int, int]) -> Labelled:
    """Images uint8 (V, H, W, 3), their classes int64 (V,), and the classes' names.

    Args:
        experiment: whose target draws the images where the task names no folder.
        task: of the experiment.
        size: (H, W) of the learner's renderer.

    Raises:
        ConfigError: when there is neither a folder nor a grammar of the target, or the
            target's renderer draws another size, or not all classes.
        DataError: when the images cannot be used.
    """
    if task.images is not None:
        return load_labelled(task.images, size, resize=True)
    target = experiment.target
    if not isinstance(target, GrammarTarget):
        raise ConfigError(
            "task.images must name a folder of labelled images where the target is a folder: "
            "target images have no labels"
        )
    scenes = [
        target.grammar.sample(stream(target.seed, "validation", i)) for i in range(task.count)
    ]
    with target_renderer(target, size) as renderer:
        drawn = draw_all(renderer, scenes)
    classes = sorted({label.category for labels in drawn.labels for label in labels})
    return drawn.images, class_indices(drawn.labels, classes).numpy(), tuple(classes)
