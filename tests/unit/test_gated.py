"""Datasets of refined images hold those alone whose labels still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from metasim.data.dataset import FORMATS
from metasim.data.format import Format
from metasim.errors import DataError
from metasim.gated import GatedRenderer
from metasim.refine.gate import Judged
from metasim.refine.questions import Examiner, Labelled
from metasim.render.base import Rendered, Renderer
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer, RendererContract, SolidsRenderer

grammar = SceneGrammar.model_validate({"root": cast("Any", AnalyticRenderer.example)["root"]})


class Counting(AnalyticRenderer):
    """Counts what it draws."""

    drawn = 0

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        self.drawn += len(scenes)
        return super().render(scenes)


class Bright(Examiner):
    """Lets images pass whose mean is odd, or none at all."""

    def __init__(self, never: bool = False) -> None:
        object.__setattr__(self, "questions", never)

    def judge(self, images: np.ndarray, known: Labelled) -> Judged:
        passed = images.sum(axis=(1, 2, 3), dtype=np.int64) % 2 == 1
        return Judged({}, passed & (not self.questions))


class Gated(GatedRenderer):
    """Shapes behind a gate."""

    kinds = AnalyticRenderer.kinds
    example = AnalyticRenderer.example

    def __init__(self) -> None:
        super().__init__(AnalyticRenderer(), Bright())


class TestContract(RendererContract):
    renderer = Gated


@pytest.mark.parametrize("data_format", FORMATS.values())
def test_formats_may_ask_it_for_an_empty_batch(data_format: type[Format]) -> None:
    """BOP does, and no refined dataset could be written in it."""
    data_format(GatedRenderer(SolidsRenderer(), Bright()))


def make(index: int, attempt: int) -> Scene:
    return grammar.sample(stream(5, index, attempt))


def test_every_image_of_the_dataset_passes_and_none_is_drawn_twice() -> None:
    renderer, gate = Counting(), Bright()
    gated = GatedRenderer(renderer, gate)
    scenes = gated.choose(range(40), make)
    tried = renderer.drawn
    drawn = gated.render(scenes)
    assert renderer.drawn == tried == 40 + gated.rejected
    assert gated.rejected > 5
    assert gate.judge(drawn.images, Labelled(scenes, drawn)).passed.all()
    assert np.array_equal(drawn.images, AnalyticRenderer().render(scenes).images)


def test_the_scene_of_an_index_does_not_depend_on_the_others() -> None:
    together = GatedRenderer(AnalyticRenderer(), Bright()).choose(range(12), make)
    for index in (3, 11):
        [alone] = GatedRenderer(AnalyticRenderer(), Bright()).choose([index], make)
        assert alone == together[index]


def test_scenes_that_it_did_not_choose_are_drawn() -> None:
    renderer: Renderer = Counting()
    gated = GatedRenderer(renderer, Bright())
    scenes = [replace(make(i, 0)) for i in range(3)]
    assert np.array_equal(gated.render(scenes).images, renderer.render(scenes).images)


def test_when_nothing_passes_that_is_told() -> None:
    with pytest.raises(DataError, match="of image 7 none of 50 does; refine otherwise"):
        GatedRenderer(AnalyticRenderer(), Bright(never=True)).choose([7], make)
