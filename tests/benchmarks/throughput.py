"""Rendered-and-learned images per second of the training loop alone, and where time goes.

With simulator features; preparing is not counted. Each repeat trains anew. With a slow renderer
what counts is how much longer a step takes than drawing its batch:

python -m tests.benchmarks.throughput --out results/benchmarks/throughput.json
python -m tests.benchmarks.throughput --name tabletop_3attr --gradients score_function,surrogate \
    --threads 2 --batch 64 --steps 20 --repeats 3 --feature-renders 500 \
    --out results/benchmarks/overhead.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from metasim.learn.discrepancies.gram import GramComparison
from metasim.learn.preparation import Prepared
from metasim.learn.trainer import Trainer
from tests.benchmarks.prepared import Bench, changed, load_bench
from tests.benchmarks.records import machine, say, spread, table, words, write_json


class Stopwatch:
    """Seconds by phase; time inside an inner phase is not the outer one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block as ``name``."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            own = whole - self._inner.pop()
            self._inner[-1] += whole
            self.seconds[name] = self.seconds.get(name, 0.0) + own

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count every call of ``owner.method`` as ``name``."""
        called: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return called(*args, **kwargs)

        setattr(owner, method, timed)


def make(bench: Bench, made: Prepared, steps: int, batch: int) -> Trainer:
    """A trainer for so many steps, started."""
    training = changed(
        bench.experiment.training, batch_size=batch, restarts=0, epoch_steps=10**6,
        max_renders=steps * batch * 8,
    )  # fmt: skip
    trainer = bench.trainer(made, training=training)
    trainer.start()
    return trainer


def rate(trainer: Trainer, steps: int) -> float:
    """Images per second over the steps after the first five."""
    skipped = min(5, steps - 1)
    for _ in range(skipped):
        trainer._train_step()
    before, began = trainer.objective.renders, time.perf_counter()
    for _ in range(steps - skipped):
        trainer._train_step()
    return (trainer.objective.renders - before) / (time.perf_counter() - began)


def breakdown(trainer: Trainer, steps: int) -> dict[str, float]:
    """Milliseconds a step by phase."""
    watch = Stopwatch()
    codec, objective = trainer.codec, trainer.objective
    watch.watch(trainer, "sample", "sampling")
    watch.watch(codec, "encode", "encode")
    watch.watch(codec, "decode", "decode")
    watch.watch(trainer.editor, "forward", "editor")
    watch.watch(objective.renderer, "render", "render")
    watch.watch(objective, "_extract", "features")
    watch.watch(objective.discrepancy, "compare", "discrepancy")
    whole = GramComparison.value, GramComparison.witness
    for method in ("value", "witness"):
        watch.watch(GramComparison, method, "discrepancy")
    watch.watch(trainer.estimator, "estimate", "estimator, rest")
    watch.watch(trainer.optimiser, "step", "optimiser")
    watch.watch(trainer, "_train_step", "backward and rest")
    try:
        for _ in range(steps):
            trainer._train_step()
    finally:
        del codec.encode, codec.decode, objective.renderer.render
        del objective.discrepancy.compare
        GramComparison.value, GramComparison.witness = whole  # type: ignore[method-assign]
    return {name: 1000 * seconds / steps for name, seconds in watch.seconds.items()}


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mnist_rot")
    parser.add_argument("--gradients", type=words, default=["score_function", "pathwise"])
    parser.add_argument("--threads", type=words, default=["1", "2"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--feature-renders", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        small = [f"features.renders={args.feature_renders}", "features.epochs=2"]
        for gradient in args.gradients:
            more = [*small, f"gradient={{use: {gradient}}}", "features.refine=0"]
            bench = load_bench(args.name, 0, Path(folder), more=more)
            made, _ = bench.prepare()
            for threads in map(int, args.threads):
                torch.set_num_threads(threads)
                rates = [
                    rate(make(bench, made, args.steps, args.batch), args.steps)
                    for _ in range(args.repeats)
                ]
                parts = breakdown(make(bench, made, args.steps, args.batch), args.steps)
                over = sum(parts.values()) / parts["render"]
                found.append(
                    {
                        "gradient": gradient, "threads": threads, "batch": args.batch,
                        "images_per_second": rates, "milliseconds_a_step": parts,
                        "step_over_render": over,
                    }
                )  # fmt: skip
                rows.append([gradient, threads, median(rates), spread(rates), over])
                total = sum(parts.values())
                shares = sorted(parts.items(), key=lambda part: -part[1])
                told = ", ".join(f"{name} {100 * ms / total:.0f} %" for name, ms in shares)
                say(f"{gradient}, {threads} threads: {told}")
    table(["gradient", "threads", "images/s", "min / median / max", "step over render"], rows)
    size = list(bench.renderer.image_size)
    write_json(args.out, {"machine": machine(), "image_size": size, "measured": found})


if __name__ == "__main__":
    main()
