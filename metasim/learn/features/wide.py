"""Renders of the widened prior: what features are taught, graded and standardised with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.features.base import channels_first
from metasim.learn.features.lesson import Lesson
from metasim.progress import Progress, Silent
from metasim.render.base import Label, Renderer
from metasim.render.drawing import draw
from metasim.rng import stream
from metasim.scene.graph import Scene

__all__ = ["Classroom", "Labelled", "draw_labelled", "wide_scenes"]

_CHUNK = 256


@dataclass(frozen=True)
class Classroom:
    """What teaching features needs besides their settings.

    Attributes:
        codec: of the grammar.
        renderer: draws the scenes.
        seed: of everything random.
        progress: told how far the work is.
        at_least: wide renders wanted for other purposes, for example the warm start.
        device: where the features are taught and taken.
    """

    codec: SceneCodec
    renderer: Renderer
    seed: int
    progress: Progress = field(default_factory=Silent)
    at_least: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class Labelled:
    """Scenes and what their renders show; n of them.

    Attributes:
        scenes: as drawn.
        images: uint8 (n, H, W, 3).
        labels: a tuple for each image.
        cells: bool (n, G, h, w), see :class:`metasim.learn.features.lesson.Truth`.
    """

    scenes: tuple[Scene, ...]
    images: npt.NDArray[np.uint8]
    labels: tuple[tuple[Label, ...], ...]
    cells: Tensor

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, rows: slice) -> Labelled:
        """Some of them."""
        return Labelled(self.scenes[rows], self.images[rows], self.labels[rows], self.cells[rows])

    def __add__(self, other: Labelled) -> Labelled:
        """These and then the others."""
        return Labelled(
            self.scenes + other.scenes,
            np.concatenate([self.images, other.images]),
            self.labels + other.labels,
            torch.cat([self.cells, other.cells]),
        )

    @property
    def tensor(self) -> Tensor:
        """The images as a uint8 tensor (n, 3, H, W); no copy."""
        return channels_first(self.images)


def wide_scenes(classroom: Classroom, count: int) -> list[Scene]:
    """Scenes of the widened prior; each follows from the seed and its number alone."""
    grammar = classroom.codec.grammar.widened()
    return [grammar.sample(stream(classroom.seed, "wide", i)) for i in range(count)]


def draw_labelled(classroom: Classroom, scenes: Sequence[Scene], stage: str) -> Labelled:
    """Render scenes, a batch at a time, and keep what teaching needs of them.

    Args:
        classroom: its renderer draws, its progress is told.
        scenes: n scenes.
        stage: what this is, for people.

    Raises:
        RenderError: when the renderer raised, or broke its contract.
    """
    size = classroom.renderer.image_size
    # Which cells show a node depends neither on the categories nor on what shows in masks.
    lesson = Lesson(classroom.codec, (), size)
    images = np.empty((len(scenes), *size, 3), np.uint8)
    labels: list[tuple[Label, ...]] = []
    cells = [torch.zeros(0, len(lesson.nodes), *lesson.cells, dtype=torch.bool)]
    classroom.progress.start(stage, len(scenes))
    for start in range(0, len(scenes), _CHUNK):
        rendered = draw(classroom.renderer, scenes[start : start + _CHUNK])
        images[start : start + len(rendered)] = rendered.images
        labels.extend(rendered.labels)
        cells.append(lesson.cells_of(rendered))
        classroom.progress.advance(len(labels))
    classroom.progress.finish()
    return Labelled(tuple(scenes), images, tuple(labels), torch.cat(cells))
