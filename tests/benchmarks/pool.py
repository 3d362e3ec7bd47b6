"""What a pool of worker processes costs beside an ideal one, and what a killed worker costs.

The renderer takes 5 ms for an image. It sleeps four of them, so that workers hardly share what a
core can do with whatever else the machine runs; in the last it fills the image's arrays and waits
awake, since a sleep lasts longer than it was asked to. Ideal is then one image in 5 ms for each
worker. What an image takes in truth is measured in this process, before every batch, and ideal is
reckoned from that.

python -m tests.benchmarks.pool --executors local,ray --out results/benchmarks/pool.json
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal

import numpy as np

from metasim.render import Rendered, Renderer, make_renderer
from metasim.render.options import Workers
from metasim.scene import Attributes, Node, Scene
from tests.benchmarks.records import machine, say, spread, table, words, write_json

SECONDS, AWAKE = 0.005, 0.001
AT_MOST, LOST = 0.05, 0.5  # overhead, and seconds lost to a killed worker


class Sleeper(Renderer):
    """Takes its time, and tells in each image which process drew it."""

    kinds: ClassVar[dict[str, frozenset[str]]] = {"scene": frozenset()}

    def __init__(self, image_size: Sequence[int] = (64, 64), seconds: float = SECONDS) -> None:
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.seconds = seconds

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Image by image: sleep, fill its arrays, and wait until it has had its time."""
        began, shape = time.perf_counter(), (len(scenes), *self.image_size)
        images, instances = np.empty((*shape, 3), np.uint8), np.empty(shape, np.int32)
        for row in range(len(scenes)):
            end = began + (row + 1) * self.seconds
            time.sleep(max(0.0, end - time.perf_counter() - AWAKE))
            images[row], instances[row] = 7, os.getpid()
            while time.perf_counter() < end:
                pass
        return Rendered(images, instances, ((),) * len(scenes))


def scenes_of(count: int) -> list[Scene]:
    """So many scenes, all different."""
    return [Scene((Node("scene", "scene", Attributes()),), seed) for seed in range(count)]


def seconds_each(size: int, scenes: Sequence[Scene]) -> float:
    """Seconds that an image takes in this process."""
    renderer = Sleeper((size, size))
    renderer.render(scenes[:4])
    began = time.perf_counter()
    renderer.render(scenes)
    return (time.perf_counter() - began) / len(scenes)


def timed(pool: Renderer, scenes: Sequence[Scene]) -> tuple[float, Rendered]:
    """Seconds that a batch takes, and what came of it."""
    began = time.perf_counter()
    drawn = pool.render(scenes)
    return time.perf_counter() - began, drawn


def measure(
    executor: Literal["local", "ray"], size: int, workers: int, batch: int, repeats: int
) -> dict[str, Any]:
    """Overhead over repeated batches, then the loss to one SIGKILL in the middle of a batch."""
    scenes = scenes_of(batch)
    options = {"image_size": [size, size]}
    began = time.perf_counter()
    hired = Workers(count=workers, executor=executor)
    pool = make_renderer("tests.benchmarks.pool:Sleeper", options, workers=hired)
    with pool:
        start = time.perf_counter() - began
        while len(np.unique(pool.render(scenes).instances)) < workers:
            pass  # until all are there
        each, times, killed = [], [], []
        for _ in range(repeats):
            each.append(seconds_each(size, scenes))
            times.append(timed(pool, scenes)[0])
        ideal = median(each) * batch / workers
        usual = median(times)
        for _ in range(max(3, repeats // 4)):
            victim = int(pool.render(scenes).instances[0, 0, 0])
            threading.Timer(usual / 2, os.kill, (victim, signal.SIGKILL)).start()
            seconds, drawn = timed(pool, scenes)
            assert len(drawn) == batch
            killed.append(seconds - usual)
            while len(np.unique(pool.render(scenes).instances)) < workers:
                pass
    overhead = [seconds / ideal - 1 for seconds in times]
    return {
        "executor": executor,
        "image_size": [size, size],
        "workers": workers,
        "batch": batch,
        "seconds_to_start": start,
        "milliseconds_an_image": 1000 * median(each),
        "ideal_images_per_second": batch / ideal,
        "images_per_second": batch / usual,
        "overhead": overhead,
        "overhead_passed": median(overhead) <= AT_MOST,
        "seconds_lost_to_a_kill": killed,
        "kill_passed": max(killed) <= LOST + usual,
    }


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executors", type=words, default=["local"], help="local, ray")
    parser.add_argument("--sizes", type=words, default=["64", "256"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = [
        measure(executor, int(size), args.workers, args.batch, args.repeats)
        for executor in args.executors
        for size in args.sizes
    ]
    rows = [
        [
            one["executor"],
            one["image_size"][0],
            one["ideal_images_per_second"],
            one["images_per_second"],
            *(f"{100 * of(one['overhead']):.1f} %" for of in (min, median, max)),
            spread(one["seconds_lost_to_a_kill"]),
        ]
        for one in found
    ]
    table(
        [
            "executor",
            "pixels",
            "ideal/s",
            "images/s",
            "overhead min",
            "median",
            "max",
            "lost to SIGKILL, s",
        ],
        rows,
    )
    local = [one for one in found if one["executor"] == "local"]
    passed = all(one["overhead_passed"] and one["kill_passed"] for one in local)
    say(f"local: overhead at most {100 * AT_MOST:g} %, loss at most {LOST} s and a batch: {passed}")
    write_json(args.out, {"machine": machine(), "measured": found})


if __name__ == "__main__":
    main()
