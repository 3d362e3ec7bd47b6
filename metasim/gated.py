"""Scenes of a refined dataset: those whose refined image still shows what its labels say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from metasim.errors import DataError
from metasim.refine.questions import Examiner, Labelled
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import draw, joined
from metasim.render.wrapped import Wrapped
from metasim.scene.graph import Scene

__all__ = ["GatedRenderer"]

_ATTEMPTS: Final = 50


class GatedRenderer(Wrapped):
    """Chooses scenes whose images pass a gate, and draws them as it saw them then.

    Args:
        renderer: draws, and refines what it draws.
        examiner: judges its images.

    Attributes:
        rejected: how many images did not pass so far.
    """

    def __init__(self, renderer: Renderer, examiner: Examiner) -> None:
        super().__init__(renderer)
        self.examiner = examiner
        self.rejected = 0
        self._chosen: dict[int, tuple[Scene, Rendered]] = {}  # by the scene's identity

    def choose(self, indices: Sequence[int], make: Callable[[int, int], Scene]) -> list[Scene]:
        """For each index a scene whose image passes.

        Args:
            indices: of a dataset.
            make: gives the scene of an index at the n-th attempt, from 0; it must follow from
                both alone.

        Raises:
            DataError: when none of many attempts passes.
        """
        found: dict[int, Scene] = {}
        left = list(indices)
        for attempt in range(_ATTEMPTS):
            scenes = [make(index, attempt) for index in left]
            drawn = draw(self.renderer, scenes)
            passed = self.examiner.judge(drawn.images, Labelled(scenes, drawn)).passed
            for row in np.flatnonzero(passed):
                scene = scenes[row]
                found[left[row]] = scene
                self._chosen[id(scene)] = (scene, drawn[row : row + 1])
            self.rejected += int((~passed).sum())
            left = [index for index, kept in zip(left, passed, strict=True) if not kept]
            if not left:
                return [found[index] for index in indices]
        raise DataError(
            f"refined images must show what their labels say, but of image {left[0]} none of "
            f"{_ATTEMPTS} does; refine otherwise (the report shows what is rejected), or leave "
            "out --refined"
        )

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """What was seen of the scenes when they were chosen; else they are drawn."""
        known = [self._chosen.pop(id(scene), None) for scene in scenes]
        parts = [drawn for scene, drawn in filter(None, known)]
        if scenes and len(parts) == len(scenes):
            return joined(parts)
        return self.renderer.render(scenes)
