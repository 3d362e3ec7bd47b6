"""Time to write datasets with depth, normals and poses, and what packing the planes costs.

python -m tests.benchmarks.datasets --out results/benchmarks/datasets.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from metasim.data import generate_dataset
from metasim.data.planes import Planes, pack
from metasim.render import Rendered, check_rendered
from metasim.rng import stream
from metasim.scene import Scene, SceneGrammar
from metasim.testing import SolidsRenderer
from tests.benchmarks.records import machine, say, table, write_json

GRAMMAR = SceneGrammar.model_validate(SolidsRenderer.example)
LEVELS = (1, 3, 6)


def scenes(indices: Iterable[int]) -> list[Scene]:
    """Three solids in each."""
    return [GRAMMAR.sample(stream(0, "scene", index)) for index in indices]


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The least of a few times."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def rough(side: int, seed: int) -> Planes:
    """Planes that are as hard to pack as those of an engine: all surface, nothing of it flat."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    phase = rng.uniform(0, 6, 3)
    depth = 2 + 0.3 * np.sin(9 * x + phase[0]) * np.cos(7 * y + phase[1])
    depth += 0.02 * np.sin(60 * x * y + phase[2])
    down, along = np.gradient(depth)
    normals = np.stack([along * side, down * side, -np.ones_like(depth)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return {
        "depth": depth.astype(np.float32),
        "normals": normals.astype(np.float32),
        "instances": (depth > 2.1).astype(np.uint8),
    }


def packing(side: int, count: int) -> list[dict[str, Any]]:
    """Milliseconds and KiB for an image's planes, by the level of compression."""
    examples, found = [rough(side, seed) for seed in range(count)], []
    for level in LEVELS:
        took = seconds(lambda level=level: [pack(each, level) for each in examples], 3)
        size = sum(len(pack(each, level)) for each in examples)
        found.append({"level": level, "ms": 1000 * took / count, "kib": size / count / 1024})
    return found


def checking(drawn: Rendered, some: list[Scene], side: int) -> float:
    """Milliseconds an image to check a batch as it comes from a renderer."""
    return 1000 * seconds(lambda: check_rendered(drawn, some, (side, side)), 5) / len(some)


def writing(side: int, count: int, formats: tuple[str, ...]) -> float:
    """Milliseconds an image for a whole dataset, drawing included."""
    with tempfile.TemporaryDirectory() as folder:

        def write() -> None:
            generate_dataset(
                Path(folder) / "d",
                count=count,
                seed=0,
                make_scenes=scenes,
                renderer=SolidsRenderer((side, side)),
                formats=formats,
            )

        return 1000 * seconds(write, 1) / count


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    some, renderer = scenes(range(64)), SolidsRenderer((args.side, args.side))
    drawn = renderer.render(some)
    parts = {
        "drawing": 1000 * seconds(lambda: renderer.render(some), 2) / len(some),
        "checking": checking(drawn, some, args.side),
    }
    for formats in (("native",), ("coco",), ("coco", "bop")):
        name = "whole dataset, " + " ".join(formats)
        say(name)
        parts[name] = writing(args.side, args.count, formats)
    packed = packing(args.side, 16)
    table(["ms an image", "ms"], parts.items())
    table(["level", "ms an image", "KiB"], [list(each.values()) for each in packed])
    write_json(args.out, {"machine": machine(), "side": args.side, "ms": parts, "packing": packed})


if __name__ == "__main__":
    main()
