"""A small renderer for the tests of datasets, and a program that generates with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from metasim.data import generate_dataset
from metasim.render import Label, Rendered, Renderer
from metasim.rng import stream
from metasim.scene.graph import Attributes, Node, Scene


class RectangleRenderer(Renderer):
    """Draws each node of kind "box" as a rectangle over noise; later ones hide earlier ones."""

    kinds: ClassVar = {"scene": frozenset(), "box": frozenset({"x", "y", "side", "colour"})}

    def __init__(self, image_size: tuple[int, int] = (24, 32), depth: bool = False) -> None:
        """``depth`` says whether depth is offered; ``drawn`` counts images."""
        self.image_size = image_size
        self.depth = depth
        self.drawn = 0

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch."""
        self.drawn += len(scenes)
        height, width = self.image_size
        images = np.empty((len(scenes), height, width, 3), np.uint8)
        instances = np.zeros((len(scenes), height, width), np.int32)
        labels = []
        for row, scene in enumerate(scenes):
            rng = np.random.default_rng(scene.seed)
            images[row] = rng.integers(0, 40, (height, width, 1))
            for index, node in enumerate(scene.nodes):
                if node.kind == "box":
                    window = _window(node)
                    images[row][window] = node.attributes["colour"]
                    instances[row][window] = index
            labels.append(_labels(scene, instances[row]))
        depth = np.float32(10) - instances.astype(np.float32) if self.depth else None
        return Rendered(images, instances, tuple(labels), depth)


def _window(node: Node) -> tuple[slice, slice]:
    x, y, side = (int(node.attributes[name]) for name in ("x", "y", "side"))
    return slice(max(y, 0), max(y + side, 0)), slice(max(x, 0), max(x + side, 0))


def _labels(scene: Scene, plane: np.ndarray) -> tuple[Label, ...]:
    labels = []
    for index, node in enumerate(scene.nodes):
        if node.kind == "box":
            rows, columns = np.nonzero(plane == index)
            box = (0, 0, 0, 0)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            visible = len(rows) / int(node.attributes["side"]) ** 2
            category = "bright" if node.attributes["colour"] > 150 else "dark"
            labels.append(Label(index, index, node.name, node.kind, category, box, visible))
    return tuple(labels)


def make_scenes(indices: range, seed: int = 5) -> list[Scene]:
    """One to three boxes in each scene, some of them hidden or partly outside."""
    return [_scene(stream(seed, "scene", index)) for index in indices]


def single_scenes(indices: range) -> list[Scene]:
    """Exactly one box in each scene."""
    return [Scene(scene.nodes[:2], scene.seed) for scene in make_scenes(indices)]


def _scene(rng: np.random.Generator) -> Scene:
    nodes = [Node("scene", "scene", Attributes())]
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-8, 30, 2).tolist()
        values = {"x": x, "y": y, "side": int(rng.integers(3, 12)), "colour": rng.integers(99, 255)}
        nodes.append(Node("thing", "box", Attributes(values), 0))
    return Scene(tuple(nodes), int(rng.integers(2**63)))


def main() -> None:
    """Generate, slowly enough to be killed: OUT COUNT SECONDS."""
    out, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

    def progress(_: int) -> None:
        time.sleep(seconds)

    generate_dataset(
        out,
        count=count,
        seed=5,
        make_scenes=make_scenes,
        renderer=RectangleRenderer(depth=True),
        manifest={"checkpoint": None},
        batch_size=4,
        resume=True,
        progress=progress,
    )


if __name__ == "__main__":
    main()
