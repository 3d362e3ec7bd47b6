"""metasim beside Optuna's TPE, CMA-ES and the published method, at equal renders.

All share one renderer, one set of features and one discrepancy, prepared once for each
seed (the renders for the features are the same for all and are not counted; they are in
the file). ``paper`` has the features and discrepancy of baselines/paper; ``paper, our
features`` has the shared ones. metasim is run once for each budget, because its annealing
follows the budget; ``metasim, one run`` is how it stands on the way through the largest.

python -m tests.benchmarks.peers --seeds 5 --out results/benchmarks/peers.jsonl \
    --figure assets/figures/peers.png
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from metasim.config import Experiment, load_experiment
from metasim.learn.gradients.make import choose
from metasim.learn.options import SPSA, FiniteDifference
from metasim.learn.preparation import Prepared
from metasim.learn.trainer import Trainer
from tests.benchmarks.commands import file_of, settings_argument
from tests.benchmarks.peers_figure import draw
from tests.benchmarks.prepared import Bench, changed, load_bench
from tests.benchmarks.records import Records, machine, say, seeds, table, words
from tests.benchmarks.searchers import Curve, Problem, search_cmaes, search_tpe

METHODS = (
    "metasim,metasim cold,metasim one run,metasim cold one run,tpe,cmaes,paper,paper our features"
)
BUDGETS = "2000,4000,6000,8000,10000,12000,14000,16000,18000,20000"
_PEERS = ("tpe", "cmaes", "paper", "paper our features")


@dataclass(frozen=True)
class Contest:
    """What the methods of one seed share.

    Attributes:
        bench: the experiment.
        made: features, discrepancy and warm start.
        budgets: renders at which to look, ascending.
        batch: renders for one evaluation of a black-box method.
    """

    bench: Bench
    made: Prepared
    budgets: Sequence[int]
    batch: int

    def run(self, method: str) -> Curve:
        """Attribute values against renders."""
        match method:
            case "tpe" | "cmaes":
                seed = self.bench.experiment.seed
                objective = self.bench.objective(self.made)
                problem = Problem(self.bench.codec, objective, seed, self.batch)
                return (search_tpe if method == "tpe" else search_cmaes)(problem, self.budgets)
            case "paper" | "paper our features":
                return self._paper(own=method == "paper")
            case _:
                return self._metasim(method)

    def _metasim(self, method: str) -> Curve:
        warm = "cold" not in method
        if "one run" in method:
            return self._passing(self._trainer(max(self.budgets), warm))
        curve: Curve = []
        for budget in self.budgets:
            trainer = self._trainer(budget, warm)
            used = 0

            def note(trainer: Trainer = trainer) -> None:
                nonlocal used
                used = trainer.objective.renders

            trainer.train(note, lambda epoch: None)
            curve.append((used, trainer.learned_values(2000)))
        return curve

    def _trainer(self, budget: int, warm: bool) -> Trainer:
        training = self.bench.experiment.training
        step = training.batch_size * self._renders_a_scene
        once = changed(
            training,
            max_renders=max(1, budget // step) * step,  # whole steps, no more than the budget
            restarts=0,
            warm_start=warm,
            epoch_steps=10**6,
        )
        return self.bench.trainer(self.made, training=once)

    @property
    def _renders_a_scene(self) -> int:
        bench = self.bench
        match choose(bench.experiment.gradient, bench.renderer, bench.codec):
            case FiniteDifference():
                return 2 * len(bench.codec.labels)  # of scenes with one node of each name
            case SPSA():
                return 2
            case _:
                return 1

    def _paper(self, *, own: bool) -> Curve:
        """The published method on this experiment, with its own features or the shared ones."""
        paper: Experiment = load_experiment(file_of("baselines/paper"))
        training = changed(
            paper.training, max_renders=max(self.budgets), epoch_steps=10**6, restarts=0
        )
        parts: dict[str, Any] = {
            "editor": paper.editor,
            "gradient": paper.gradient,
            "training": training,
        }
        made = self.made
        if own:
            parts |= {"features": paper.features, "discrepancy": paper.discrepancy}
            made = self.bench.prepare(**parts)[0]
        return self._passing(self.bench.trainer(made, **parts))

    def _passing(self, trainer: Trainer) -> Curve:
        """How one run stands at each budget on its way; looking renders nothing."""
        curve: Curve = []
        left = list(self.budgets)
        before = 0

        def look() -> None:
            nonlocal before
            now = trainer.objective.renders
            while left and now + (now - before) > left[0]:  # another step would exceed it
                left.pop(0)
                curve.append((now, trainer.learned_values(2000)))
            before = now

        trainer.train(look, lambda epoch: None)
        return curve


def measure(contest: Contest, method: str) -> dict[str, Any]:
    """One method's curve of W1, and the time it took."""
    began = time.perf_counter()
    curve = contest.run(method)
    pairs = zip(contest.budgets, curve, strict=True)
    return {
        "seconds": time.perf_counter() - began,
        "curve": [
            {"budget": budget, "renders": renders, "w1": contest.bench.w1(values)}
            for budget, (renders, values) in pairs
        ],
    }


def show(items: Sequence[dict[str, Any]]) -> None:
    """Median W1 of each method at each budget, and where metasim is not ahead."""
    kinds = sorted({(item["name"], item["glyphs"]) for item in items})
    for name, glyphs in kinds:
        mine = [item for item in items if (item["name"], item["glyphs"]) == (name, glyphs)]
        methods = list(dict.fromkeys(item["method"] for item in mine))
        for label in mine[0]["curve"][0]["w1"]:
            medians = {m: medians_of(mine, m, label) for m in methods}
            budgets = sorted(set().union(*medians.values()))
            say(f"{name}, {Path(glyphs).name}: median W1 of {label}")
            table(
                ["renders", *methods],
                [[b, *[medians[m].get(b) for m in methods]] for b in budgets],
            )
            for budget in budgets:
                ours = medians.get("metasim", {}).get(budget)
                ahead = [
                    m for m in _PEERS
                    if ours is not None and medians.get(m, {}).get(budget, np.inf) < ours
                ]  # fmt: skip
                if ahead:
                    say(f"  behind at {budget}: {', '.join(ahead)} better than metasim")


def medians_of(items: Sequence[dict[str, Any]], method: str, label: str) -> dict[int, float]:
    """Median over seeds of a method's W1, by budget."""
    found: dict[int, list[float]] = {}
    for item in items:
        if item["method"] == method:
            for at in item["curve"]:
                found.setdefault(at["budget"], []).append(at["w1"][label])
    return {budget: median(values) for budget, values in found.items()}


def main() -> None:
    """Measure what is not yet in the file, then show all of it and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=words, default=["mnist_rot", "mnist_rot_trans"])
    parser.add_argument("--methods", type=words, default=words(METHODS))
    parser.add_argument("--seeds", type=seeds, default=seeds("5"))
    parser.add_argument("--glyphs", default="digits")
    parser.add_argument("--budgets", type=words, default=words(BUDGETS))
    parser.add_argument("--batch", type=int, default=128, help="renders of one evaluation")
    settings_argument(parser)
    parser.add_argument("--figure", type=Path, help="a PNG, such as assets/figures/peers.png")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    args = parser.parse_args()
    budgets = sorted(map(int, args.budgets))
    names = ("name", "glyphs", "method", "seed", "batch", "budgets", "set")
    records = Records(args.out, names)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names:
            for seed in args.seeds:
                shared = {
                    "name": name, "glyphs": args.glyphs, "seed": seed, "batch": args.batch,
                    "budgets": budgets, "set": args.more,
                }  # fmt: skip
                left = [m for m in args.methods if not records.has(**shared, method=m)]
                if not left:
                    continue
                bench = load_bench(name, seed, Path(folder), args.glyphs, args.more)
                contest = Contest(bench, bench.prepare()[0], budgets, args.batch)
                for method in left:
                    found = measure(contest, method)
                    records.add(
                        {
                            **shared, "method": method, **found, "machine": machine(),
                            "feature_renders": contest.made.renders,
                        }
                    )  # fmt: skip
                    say(f"{name} seed {seed} {method}: {found['curve'][-1]['w1']}")
    mine = {"batch": args.batch, "budgets": budgets, "set": args.more}
    items = [item for item in records.items if all(item[key] == mine[key] for key in mine)]
    show(items)
    if args.figure and items:
        draw(items, args.figure, medians_of)


if __name__ == "__main__":
    main()
