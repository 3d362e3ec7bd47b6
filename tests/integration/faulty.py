"""A renderer that fails in the course of training, in the way it is told to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metasim.render import Rendered
from metasim.testing import AnalyticRenderer

BATCH = 24  # only batches of this size count: those of training


class Faulty(AnalyticRenderer):
    """Draws blobs until the step after ``good`` ones."""

    def __init__(self, fault: str = "", good: int = 2) -> None:
        super().__init__()
        self.fault, self.good = fault, good

    def _fails(self, scenes) -> bool:
        self.good -= len(scenes) == BATCH
        return self.good < 0

    def render(self, scenes) -> Rendered:
        drawn = super().render(scenes)
        if not self._fails(scenes):
            return drawn
        match self.fault:
            case "raises":
                raise KeyError("no lamp")
            case "dtype":
                return replace(drawn, images=drawn.images.astype(np.float32))
            case "shape":
                return replace(drawn, images=drawn.images[:, :-1])
            case "depth":
                return replace(drawn, depth=np.full(drawn.instances.shape, np.nan, np.float32))
        return drawn


class FaultyTensor(Faulty):
    """The same, for the method that gives gradients."""

    def render_tensor(self, scenes, overrides):
        drawn = super().render_tensor(scenes, overrides)
        if not self._fails(scenes):
            return drawn
        match self.fault:
            case "nan":
                return drawn * float("nan")
            case "raises":
                raise KeyError("no lamp")
            case "shape":
                return drawn[:, :1]
        return drawn


class Black(AnalyticRenderer):
    """Draws nothing at all."""

    def render(self, scenes) -> Rendered:
        drawn = super().render(scenes)
        return replace(drawn, images=drawn.images * 0)
