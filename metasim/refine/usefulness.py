"""What refined images are worth: how well a network that they teach does on target images.

The classifier of :mod:`metasim.learn.task` is taught on renders, on refined renders and on images
of the target that have labels, and each is tested on other labelled images of the target: the first
is what there is without refinement, the last what there could be at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from metasim.learn.features.base import to_tensor
from metasim.learn.initial import initial_weights
from metasim.learn.task import TaskNetwork, train_task_network
from metasim.rng import derive

__all__ = ["Sample", "accuracies", "accuracy"]

_STEPS = 600  # whatever the number of images: a small set is seen more often
_EPOCHS = 60  # but not for ever
_BATCH = 64
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """Images of one instance each, and their classes.

    Attributes:
        images: uint8 (N, H, W, 3).
        classes: int64 (N,), from 0.
    """

    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]


def accuracies(
    taught: Mapping[str, Sample], test: Sample, count: int, seed: int
) -> dict[str, float]:
    """The share of test images that is classified rightly, by what taught the classifier.

    Args:
        taught: by name.
        test: labelled images of the target.
        count: of classes.
        seed: of weights and batches, which are the same for all.
    """
    return {name: accuracy(sample, test, count, seed) for name, sample in taught.items()}


def accuracy(taught: Sample, test: Sample, count: int, seed: int) -> float:
    """The share of test images that a classifier tells rightly.

    Args:
        taught: what teaches it; none at all gives NaN.
        test: what it is tested on.
        count: of classes.
        seed: of weights and batches.
    """
    if not len(taught.images):
        return float("nan")
    with initial_weights(derive(seed, "usefulness")):
        network = TaskNetwork(count)
    train_task_network(
        network,
        to_tensor(taught.images),
        torch.from_numpy(taught.classes),
        epochs=min(_EPOCHS, max(1, _STEPS // -(-len(taught.images) // _BATCH))),
        generator=torch.Generator().manual_seed(derive(seed, "usefulness", "batches")),
        batch_size=_BATCH,
    )
    with torch.no_grad():
        parts = torch.split(to_tensor(test.images), _AT_ONCE)
        told = torch.cat([network(part).argmax(-1) for part in parts])
    return float((told.numpy() == test.classes).mean())
