"""Time of a training step against batch size, nodes in a graph, and attributes; memory.

The renderer is a few lines of numpy and the features are pixels, so that what is timed is
metasim's own work. Every point is measured in a process of its own, for its peak memory.

python -m tests.benchmarks.scaling --out results/benchmarks/scaling.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np

from metasim.learn import options as settings
from metasim.learn.codec import SceneCodec
from metasim.learn.device import resolve_device
from metasim.learn.objective import Objective
from metasim.learn.preparation import Preparation
from metasim.learn.trainer import Trainer
from metasim.progress import Silent
from metasim.render.base import Rendered, Renderer
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from tests.benchmarks.records import ROOT, machine, say, table, words, write_json

_SIDE = 32
_TILES = 8  # an image is 8 x 8 tiles
BASE = {"batch": 256, "nodes": 4, "attributes": 4}
AXES = {
    "batch": [32, 64, 128, 256, 512, 1024],
    "nodes": [1, 2, 5, 10, 20, 50, 100],
    "attributes": [1, 2, 5, 10, 20, 50],
}


class TileRenderer(Renderer):
    """Each attribute of each node lights up one tile by its value."""

    kinds: ClassVar[Mapping[str, frozenset[str]]] = {
        "scene": frozenset(),
        "thing": frozenset(f"a{i}" for i in range(64)),
    }

    def __init__(self) -> None:
        self.image_size = (_SIDE, _SIDE)

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw the tiles; there are no instances."""
        tiles = np.zeros((len(scenes), _TILES * _TILES), np.float32)
        for row, scene in zip(tiles, scenes, strict=True):
            for place, node in enumerate(scene.nodes[1:]):
                for tile, value in enumerate(node.attributes.values(), start=place):
                    row[tile % len(row)] += value
        grey = np.clip(127 + 60 * tiles, 0, 255).astype(np.uint8)
        size = _SIDE // _TILES
        planes = grey.reshape(-1, _TILES, 1, _TILES, 1, 1)
        shape = (len(scenes), _TILES, size, _TILES, size, 3)
        images = np.ascontiguousarray(np.broadcast_to(planes, shape).reshape(-1, _SIDE, _SIDE, 3))
        instances = np.zeros(images.shape[:3], np.int32)
        return Rendered(images, instances, tuple(() for _ in scenes))


def grammar(nodes: int, attributes: int, mean: float) -> SceneGrammar:
    """So many equal things with so many learnable attributes each."""
    spec = {
        "prior": {"normal": {"mean": mean, "std": 0.2}},
        "range": [-1, 1],
        "mutable": True,
    }
    thing = {
        "name": "thing",
        "kind": "thing",
        "count": nodes,
        "attributes": {f"a{i}": spec for i in range(attributes)},
    }
    return SceneGrammar.model_validate(
        {"root": {"name": "scene", "kind": "scene", "children": [thing]}}
    )


def measure(batch: int, nodes: int, attributes: int, steps: int, use: str) -> dict[str, Any]:
    """Seconds of a step and peak memory of this process."""
    renderer, training = (
        TileRenderer(),
        settings.Training(
            batch_size=batch, warm_start=False, restarts=0, max_renders=10**9, epoch_steps=10**6
        ),
    )
    editor = settings.GCNEditor() if use == "gcn" else settings.ParametricEditor()
    prior, codec = grammar(nodes, attributes, -0.2), SceneCodec(grammar(nodes, attributes, -0.2))
    rng, wanted = stream(0, "target"), grammar(nodes, attributes, 0.3)
    target = renderer.render([wanted.sample(rng) for _ in range(256)]).images
    made = Preparation(
        codec,
        renderer,
        (settings.PixelFeatures(),),
        settings.MMD(),
        editor,
        training,
        0,
        Silent(),
        resolve_device("cpu"),
    ).run(target)
    trainer = Trainer(
        grammar=prior,
        objective=Objective(renderer, codec, made.extractor, made.discrepancy),
        held_out=made.held_out,
        options=training,
        editor_options=editor.model_copy(update={"warmup_steps": 2, "fit_steps": 0}),
        gradient=settings.ScoreFunction(),
        seed=0,
    )
    trainer.start()
    trainer._train_step()
    started = _peak()
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        trainer._train_step()
        times.append(time.perf_counter() - began)
    return {"seconds": times, "peak_mib": _peak(), "peak_mib_after_one_step": started}


def _peak() -> float:
    """Peak resident memory in MiB; Linux counts in KiB, macOS in bytes."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def in_own_process(point: Mapping[str, int], steps: int, use: str) -> dict[str, Any]:
    """:func:`measure` in a fresh process."""
    word = json.dumps({**point, "steps": steps, "use": use})
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.scaling", "--point", word],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Of log time by log size: 1 is linear, more is worse."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--axes", type=words, default=list(AXES))
    parser.add_argument("--editor", choices=["gcn", "parametric"], default="gcn")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--most", type=int, default=10**6, help="leave out larger sizes")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.point:
        print(json.dumps(measure(**args.point)))
        return
    if args.out is None:
        parser.error("--out is needed")
    found: dict[str, Any] = {}
    for axis in args.axes:
        sizes = [size for size in AXES[axis] if size <= args.most]
        points = []
        for size in sizes:
            point = in_own_process({**BASE, axis: size}, args.steps, args.editor)
            points.append({axis: size, **point})
            say(f"{axis} {size}: {1000 * median(point['seconds']):.1f} ms")
        times = [median(point["seconds"]) for point in points]
        half = len(sizes) // 2
        found[axis] = {
            "fixed": {name: value for name, value in BASE.items() if name != axis},
            "points": points,
            "slope": slope(sizes, times),
            "slope_of_the_larger_half": slope(sizes[half:], times[half:]),
        }
        rows = [
            [p[axis], 1000 * t, 1e6 * t / p[axis], p["peak_mib_after_one_step"], p["peak_mib"]]
            for p, t in zip(points, times, strict=True)
        ]
        table([axis, "ms a step", "us for each", "MiB at step 1", "MiB at the end"], rows)
        told = found[axis]
        say(f"slope {told['slope']:.2f}, of the larger half {told['slope_of_the_larger_half']:.2f}")
    write_json(args.out, {"machine": machine(), "editor": args.editor, "axes": found})


if __name__ == "__main__":
    main()
