"""Images per second and core of the renderer blender, its start, and its memory over time.

Scenes are drawn as learning draws them: objects that move and turn, each image under a seed of
its own. Speed is by the processor's time, and of several measurements the best, which other
programs change least; the time on the wall is told beside it, and Cycles' own share of the
processor's time, which hardly depends on how fast the machine is. The start is that of a process
of its own, from nothing to its first image.

python -m tests.benchmarks.blender --out results/benchmarks/blender.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from metasim.scene import Attributes, Node, Scene
from metasim_blender import BlenderRenderer
from metasim_blender.engine import start
from tests.benchmarks.records import machine, say, spread, table, words, write_json

TARGETS = {("unlit", 64): 130.0, ("fast", 64): 80.0, ("fast", 128): 20.0, ("fast", 256): 5.0}
"""Images per second and core, of 4 samples, by profile and side."""

READY, GROWTH = 3.0, 8.0
"""Seconds to the first image; MiB that many renders may add, which is the noise of measuring."""

FIRST = """
import time
began = time.perf_counter()
from metasim.scene import Attributes, Node, Scene
from metasim_blender import BlenderRenderer
renderer = BlenderRenderer(device="cpu")
renderer.render([Scene((Node("cup", "object", Attributes({"class": "mug"})),))])
print(time.perf_counter() - began, time.process_time())
"""


def scenes(count: int, objects: int, models: tuple[str, ...]) -> list[Scene]:
    """Scenes of so many objects that stand about."""
    rng = np.random.default_rng(0)

    def thing(place: int) -> Node:
        x, y, yaw = rng.uniform((-0.35, -0.35, 0), (0.35, 0.35, 360)).tolist()
        said = {"class": models[place % len(models)], "x": x, "y": y, "yaw": yaw}
        return Node("thing", "object", Attributes(said), 0)

    root = Node("scene", "scene", Attributes())
    return [Scene((root, *map(thing, range(objects))), seed) for seed in range(count)]


@contextmanager
def time_in_cycles() -> Iterator[list[float]]:
    """The processor's seconds of each render in Cycles, without all that metasim does around it."""
    import cycles.engine as cycles

    took: list[float] = []
    original = cycles.render

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            took.append(time.process_time() - began)

    cycles.render = timed
    try:
        yield took
    finally:
        cycles.render = original


def speed(profile: str, side: int, samples: int, objects: int, seconds: float) -> dict[str, Any]:
    """Images per second of one renderer, in batches of so many that each takes a while."""
    with BlenderRenderer((side, side), profile=profile, samples=samples, device="cpu") as renderer:
        models = renderer.known_categories["object"]
        renderer.render(scenes(2, objects, tuple(models)))
        batch = scenes(max(2, 6000 // side**2 * 20 // samples), objects, tuple(models))
        core, wall, share = [], [], []
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends or len(core) < 3:
            began = time.process_time(), time.perf_counter()
            with time_in_cycles() as cycles:
                renderer.render(batch)
            took = time.process_time() - began[0]
            core.append(len(batch) / took)
            share.append(sum(cycles) / took)
            wall.append(len(batch) / (time.perf_counter() - began[1]))
    target = TARGETS.get((profile, side)) if (samples, objects) == (4, 1) else None
    return {
        "profile": profile, "side": side, "samples": samples, "objects": objects,
        "images_per_core_second": core, "images_per_second": wall, "target": target,
        "cycles_per_core_second": share,
        "reached": None if target is None else max(core) >= target,
    }  # fmt: skip


def starts(count: int) -> dict[str, Any]:
    """Seconds from importing the renderer to its first image, in processes of their own."""
    wall, core = [], []
    for _ in range(count):
        done = subprocess.run(
            [sys.executable, "-c", FIRST], check=True, capture_output=True, text=True
        )
        seconds, processor = map(float, done.stdout.split())
        wall.append(seconds)
        core.append(processor)
    return {
        "seconds": wall, "processor_seconds": core, "target": READY,
        "reached": median(wall) <= READY,
    }  # fmt: skip


def memory(renders: int) -> dict[str, Any]:
    """MiB resident as one renderer goes on; the first hundred renders are not counted."""
    with BlenderRenderer(samples=1, device="cpu") as renderer:
        models = tuple(renderer.known_categories["object"])
        batches = [scenes(100, objects, models) for objects in (1, 3)]
        for batch in batches:
            renderer.render(batch)
        found = [_resident()]
        for step in range(max(1, renders // 100)):
            renderer.render(batches[step % 2])
            found.append(_resident())
    growth = found[-1] - found[0]
    return {
        "renders": renders, "resident": found, "growth": growth, "target": GROWTH,
        "reached": growth <= GROWTH,
    }  # fmt: skip


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=words, default=["unlit", "fast", "quality"])
    parser.add_argument("--sides", type=words, default=["64", "128", "256"])
    parser.add_argument("--samples", type=words, default=["1", "4", "16"])
    parser.add_argument("--objects", type=words, default=["1", "3"])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each speed, at least")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--renders", type=int, default=3000, help="of which memory is looked at")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start()  # so that the first measurement is like the others
    kept = memory(args.renders)
    say(f"memory over {args.renders} renders: {kept['growth']:+.1f} MiB")
    ready = starts(args.starts)
    say(f"first image after {spread(ready['seconds'])} s")
    speeds = []
    for profile in args.profiles:
        for side in map(int, args.sides):
            for samples in map(int, args.samples):
                for objects in map(int, args.objects):
                    speeds.append(speed(profile, side, samples, objects, args.seconds))
                    say(json.dumps({k: v for k, v in speeds[-1].items() if "per" not in k}))
    table(
        ["profile", "side", "samples", "objects", "images/s and core", "on the wall", "Cycles",
         "target", "reached"],
        [
            [s["profile"], s["side"], s["samples"], s["objects"],
             max(s["images_per_core_second"]), max(s["images_per_second"]),
             f"{100 * median(s['cycles_per_core_second']):.0f} %", s["target"], s["reached"]]
            for s in speeds
        ],
    )  # fmt: skip
    write_json(
        args.out,
        {"machine": machine(), "bpy": start()[0].app.version_string, "speed": speeds,
         "start": ready, "memory": kept},
    )  # fmt: skip


if __name__ == "__main__":
    main()
