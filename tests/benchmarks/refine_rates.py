"""Images per second that each method of refinement trains on, and that its refiner applies to.

Every method has its preset ``quick`` (``--set`` changes settings of it), and images of random
pixels; what is measured is a whole step of all its networks, and the refiner from uint8 to uint8.

python -m tests.benchmarks.refine_rates --out results/benchmarks/refine_rates.json
python -m tests.benchmarks.refine_rates --methods pix2pix --set batch_size=32 --out rates.json
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from metasim.progress import Silent
from metasim.refine.make import make_method
from metasim.refine.options import Paired, Refine, Trained
from metasim.refine.refiner import Form
from metasim.refine.sampling import Domains
from metasim.refine.together import together
from metasim.refine.trained import TrainedRefiner
from metasim.refine.training import Training
from metasim.yamlfile import COMMAND_LINE, parse
from tests.benchmarks.commands import settings_argument
from tests.benchmarks.records import machine, say, spread, table, words, write_json

METHODS = "simgan,cyclegan,cut,unit,pix2pix,spade"
_CHANNELS, _IMAGES = 3, 64


class _EnoughError(Exception):
    """The time is over."""


def measure(
    method: str, side: int, threads: int, seconds: float, repeats: int, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Train and apply for so many seconds, several times, with these settings over the preset's."""
    torch.set_num_threads(threads)
    asked = {"method": method, "steps": 10**6, **more}
    options = TypeAdapter[Refine](Refine).validate_python(asked)
    assert isinstance(options, Trained)
    rng = np.random.default_rng(0)
    sim, real = (rng.integers(0, 256, (_IMAGES, side, side, 3), np.uint8) for _ in range(2))
    paired = isinstance(options, Paired)
    channels = _CHANNELS if paired and options.condition else 0
    told = rng.random((_IMAGES, channels, side, side), np.float32) if channels else None
    domains = Domains(sim, real, told, paired=paired)
    made = make_method(options, (side, side), channels, seed=0)
    training = Training(made, domains, 0, torch.device("cpu"), Silent())
    training.step = training.method.warm_up  # a warm-up trains fewer networks
    with together(training):
        _train(training, 0.0)  # once, so that all memory is there
        rates = [_train(training, seconds) * options.batch_size for _ in range(repeats)]
    refiner = TrainedRefiner(
        options, made, Form((side, side), options.condition if told is not None else ())
    )
    applied = []
    for _ in range(repeats):
        began, done = time.perf_counter(), 0
        while done < _IMAGES or time.perf_counter() - began < seconds / 2:
            refiner.refine(sim, told)
            done += _IMAGES
        applied.append(done / (time.perf_counter() - began))
    return {
        "method": method,
        "side": side,
        "threads": threads,
        "set": dict(more),
        "training_images_per_second": rates,
        "applied_images_per_second": applied,
    }


def _train(training: Training, seconds: float) -> float:
    """Steps a second, of as many as fit, and at least two."""
    began, first = time.perf_counter(), training.step

    def on_step() -> None:
        if training.step - first >= 2 and time.perf_counter() - began >= seconds:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        training.run(on_step)
    return (training.step - first) / (time.perf_counter() - began)


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=words, default=METHODS.split(","))
    parser.add_argument("--sides", type=words, default=["32", "64", "128"])
    parser.add_argument("--threads", type=words, default=["1", "2"])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    settings_argument(parser)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pairs = (one.partition("=") for one in args.more)
    more = {key: parse(value, COMMAND_LINE).data for key, _, value in pairs}
    found = []
    for method in args.methods:
        for side in map(int, args.sides):
            for threads in map(int, args.threads):
                found.append(measure(method, side, threads, args.seconds, args.repeats, more))
                rate = spread(found[-1]["training_images_per_second"])
                say(f"{method} {side} px, threads {threads}: {rate} images/s")
    rows = [
        [
            one["method"],
            str(one["side"]),
            str(one["threads"]),
            spread(one["training_images_per_second"]),
            spread(one["applied_images_per_second"]),
        ]
        for one in found
    ]
    table(["method", "pixels", "threads", "trained on, images/s", "applied to, images/s"], rows)
    write_json(args.out, {"machine": machine(), "measured": found})


if __name__ == "__main__":
    main()
