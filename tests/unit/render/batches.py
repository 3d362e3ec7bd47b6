"""Scenes of troubled renderers, and what is drawn of them where nothing goes wrong."""

from __future__ import annotations

import numpy as np

from metasim.scene import Scene
from tests.unit.render.troubled import Troubled, scene


def faultless(batch: list[Scene]) -> np.ndarray:
    """The images of a batch that nothing happens to."""
    return Troubled().render([scene(one.seed) for one in batch]).images


def sleepy(count: int) -> list[Scene]:
    """Scenes that take 10 ms each."""
    return [scene(seed, "sleep") for seed in range(count)]
