"""What refined images are worth to a classifier."""

from __future__ import annotations

import math

import numpy as np

from metasim.refine.usefulness import Sample, accuracies, accuracy
from metasim.rng import stream


def bars(count: int, name: str, *, inverted: bool = False) -> Sample:
    """Upright and lying bars, bright on dark or the other way round."""
    rng = stream(0, name)
    classes = rng.integers(2, size=count)
    images = rng.integers(0, 30, (count, 16, 16, 3)).astype(np.uint8)
    for image, one in zip(images, classes, strict=True):
        start = rng.integers(2, 12)
        (image if one else image.transpose(1, 0, 2))[start : start + 3, 2:14] = 220
    return Sample(255 - images if inverted else images, classes)


def test_what_looks_like_the_test_images_teaches_more() -> None:
    test = bars(200, "test", inverted=True)
    taught = {"alike": bars(200, "alike", inverted=True), "otherwise": bars(200, "otherwise")}
    found = accuracies(taught, test, count=2, seed=0)
    assert found["alike"] > 0.97
    assert found["otherwise"] < found["alike"] - 0.2
    assert found["alike"] == accuracy(taught["alike"], test, count=2, seed=0)  # and it is repeated


def test_nothing_teaches_nothing() -> None:
    none = Sample(np.empty((0, 16, 16, 3), np.uint8), np.empty(0, np.int64))
    assert math.isnan(accuracy(none, bars(4, "test"), count=2, seed=0))
