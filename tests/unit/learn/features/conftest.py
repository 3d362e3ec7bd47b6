"""A renderer with categories, and its grammar, for the tests of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from metasim.learn.codec import SceneCodec
from metasim.learn.features import Classroom
from metasim.render.base import Rendered
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer

SIZE = 24
YAW = {"prior": 0.0, "range": [0, 360], "mutable": True, "periodic": True}


class Sides(AnalyticRenderer):
    """Calls a blob "left" or "right" by where it is, and counts what it draws."""

    def __init__(self, image_size: Sequence[int] = (SIZE, SIZE)) -> None:
        super().__init__(image_size)
        self.drawn = 0

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        self.drawn += len(scenes)
        rendered = super().render(scenes)
        labels = tuple(
            tuple(
                replace(
                    label,
                    category="left"
                    if scene.nodes[label.node].attributes["x"] < self.image_size[1] / 2
                    else "right",
                )
                for label in mine
            )
            for scene, mine in zip(scenes, rendered.labels, strict=True)
        )
        return replace(rendered, labels=labels)


class Log:
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.messages: list[str] = []
        self.done: list[int] = []

    def start(self, stage: str, total: int | None) -> None:
        self.stages.append(stage)

    def advance(self, done: int, **numbers: float | str) -> None:
        self.done.append(done)

    def finish(self) -> None:
        pass

    def log(self, message: str) -> None:
        self.messages.append(message)


def blob_grammar(count: Any = 1, **attributes: Any) -> SceneGrammar:
    """Blobs that move to and fro and turn, with further attributes that nobody can see."""
    place = {"prior": SIZE / 2, "range": [3, SIZE - 3], "mutable": True}
    node = {
        "name": "blob",
        "kind": "blob",
        "count": count,
        "attributes": {"x": place, "yaw": YAW, **attributes},
    }
    root = {"name": "scene", "kind": "scene", "children": [node]}
    return SceneGrammar.model_validate({"root": root})


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def classroom(log: Log) -> Classroom:
    return Classroom(SceneCodec(blob_grammar()), Sides(), seed=1, progress=log)


@pytest.fixture(scope="session")
def make_grammar() -> Any:
    return blob_grammar


@pytest.fixture(scope="session")
def make_renderer() -> Any:
    return Sides
