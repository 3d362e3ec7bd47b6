from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PLUGIN = """\
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metasim.render import Renderer


class Toy(Renderer):
    kinds = {"scene": frozenset({"level"}), "digit": frozenset({"class", "yaw", "x"})}

    def __init__(
        self,
        image_size: tuple[int, int] = (32, 32),
        glyphs: str = "digits",
        noise: float = 0.0,
    ) -> None:
        self.image_size = image_size

    def render(self, scenes):
        raise AssertionError("the configuration must not render")


class Other(Toy):
    kinds = {"scene": frozenset(), "digit": frozenset({"class", "yaw", "x"})}

    def __init__(self, image_size: list[int], blur: float = 1.0) -> None:
        self.image_size = tuple(image_size)

    def render_tensor(self, scenes):
        raise AssertionError


class Filed(Toy):
    differentiable = frozenset({"x"})

    def __init__(self, glyphs: str | Path = "digits", name: str = "") -> None:
        self.image_size = (8, 8)

    def render_tensor(self, scenes):
        raise AssertionError


class Shelved(Toy):
    def __init__(
        self,
        models: Literal["builtin"] | Mapping[str, Path | Mapping[str, Path]] = "builtin",
        pictures: Sequence[Path] | None = None,
    ) -> None:
        self.image_size = (8, 8)


class Anything(Toy):
    def __init__(self, **options: object) -> None:
        self.image_size = (8, 8)
"""

GRAMMAR = """\
root:
  name: scene
  kind: scene
  children:
    - name: digit
      kind: digit
      attributes:
        yaw: {prior: {normal: {mean: 0, std: 10}}, unit: deg, range: [0, 360], periodic: true,
              mutable: true}
        x: {prior: 16, unit: px, range: [0, 32]}
"""

EXPERIMENT = """\
grammar: grammar.yaml
renderer: {use: "toy_for_config:Toy", options: {image_size: [32, 32]}}
target: {grammar: grammar.yaml, count: 10}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a renderer, a grammar, and an experiment that uses both."""
    (tmp_path / "toy_for_config.py").write_text(PLUGIN)
    (tmp_path / "grammar.yaml").write_text(GRAMMAR)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("toy_for_config", None)


@pytest.fixture
def write(folder: Path) -> Callable[[str], Path]:
    """Write an experiment's text into the folder."""

    def write(text: str) -> Path:
        path = folder / "experiment.yaml"
        path.write_text(text)
        return path

    return write
