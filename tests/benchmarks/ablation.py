"""What each default brings, on one experiment.

Features x warm start x estimator x head x discrepancy. What comes before training is prepared
once for each seed, features, warm start and discrepancy, and shared by all such variants.
By default one thing at a time is changed, from the defaults with the warm start on and off;
``--full`` crosses everything.

python -m tests.benchmarks.ablation --seeds 3 --renders 10000 \
    --out results/benchmarks/ablation.jsonl
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metasim.errors import MetasimError
from metasim.learn import options as settings
from metasim.learn.preparation import Prepared
from tests.benchmarks.prepared import Bench, changed, load_bench
from tests.benchmarks.records import Records, machine, say, seeds, spread, table, words

FEATURES: dict[str, settings.Features] = {
    "simulator": settings.SimulatorFeatures(),  # as the experiment sets them
    "pixels": settings.PixelFeatures(),
    "random_conv": settings.RandomConvFeatures(),
}
ESTIMATORS: dict[str, settings.Gradient] = {
    "pathwise": settings.Pathwise(),
    "finite_difference": settings.FiniteDifference(),
    "spsa": settings.SPSA(),
    "score_function": settings.ScoreFunction(),
    "surrogate": settings.Surrogate(),
}
HEADS: dict[str, settings.Editor] = {
    "gcn gaussian": settings.GCNEditor(),
    "gcn mixture": settings.GCNEditor(head=settings.MixtureHead()),
    "gcn deterministic": settings.GCNEditor(head=settings.DeterministicHead()),
    "parametric gaussian": settings.ParametricEditor(),
}
DISCREPANCIES: dict[str, settings.Discrepancy] = {
    "mmd": settings.MMD(),
    "mmd without readings": settings.MMD(readings=False),
}


class Variant(NamedTuple):
    """What is crossed; each is a name in one of the tables above."""

    features: str
    warm_start: bool
    estimator: str
    head: str
    discrepancy: str


def variants(parts: Sequence[Sequence[str]], *, full: bool) -> list[Variant]:
    """Variants to measure.

    Args:
        parts: names of features, estimators, heads and discrepancies; the first of each is
            the default.
        full: cross everything, instead of changing one at a time.
    """
    defaults = [names[0] for names in parts]
    if full:
        chosen = [list(choice) for choice in itertools.product(*parts)]
    else:
        chosen = [
            [*defaults[:place], name, *defaults[place + 1 :]]
            for place, names in enumerate(parts)
            for name in names
        ]
    found = [Variant(kind, warm, *rest) for warm in (True, False) for kind, *rest in chosen]
    return list(dict.fromkeys(found))


class Shared:
    """What comes before training for one seed, made when first asked for."""

    def __init__(self, bench: Bench, features: dict[str, settings.Features]) -> None:
        self.bench, self.features = bench, features
        self._made: dict[tuple[str, bool, str], tuple[Prepared, float]] = {}

    def get(self, variant: Variant) -> tuple[Prepared, float]:
        """What a run of this variant would begin with."""
        key = (variant.features, variant.warm_start, variant.discrepancy)
        if key not in self._made:
            # Prepared for the surrogate, it holds examples; other gradients have no use for them.
            self._made[key] = self.bench.prepare(
                features=(self.features[variant.features],),
                training=changed(self.bench.experiment.training, warm_start=variant.warm_start),
                discrepancy=DISCREPANCIES[variant.discrepancy],
                gradient=ESTIMATORS["surrogate"],
            )
        return self._made[key]


def measure(
    shared: Shared, variant: Variant, renders: int, epoch_steps: int, goal: float
) -> dict[str, Any]:
    """Train one variant in one attempt; W1 along the way, in the attributes' units."""
    bench = shared.bench
    made, preparing = shared.get(variant)
    trainer = bench.trainer(
        made,
        editor=HEADS[variant.head],
        gradient=ESTIMATORS[variant.estimator],
        training=changed(
            bench.experiment.training,
            warm_start=variant.warm_start,
            max_renders=renders,
            restarts=0,
            epoch_steps=epoch_steps,
        ),
    )
    began = time.perf_counter()
    trainer.start()
    curve = [{"renders": 0, "w1": bench.w1(trainer.learned_values(400))}]
    best = trainer.train(
        lambda: None,
        lambda epoch: curve.append({"renders": epoch.renders, "w1": bench.w1(epoch.values)}),
    )
    final = bench.w1(trainer.learned_values(2000))
    return {
        "renders_to_goal": _reached(curve, goal),
        "stays_below_from": _stays(curve, goal),
        "final_w1": final,
        "final_worst_w1": max(final.values()),
        "p_value": best.p_value,
        "training_seconds": time.perf_counter() - began,
        "preparing_seconds": preparing,
        "feature_renders": made.renders,
        "feature_error": made.error,
        "curve": curve,
    }


def _reached(curve: Sequence[dict[str, Any]], goal: float) -> int | None:
    """Renders at the first look at which every W1 was at most the goal."""
    return next((at["renders"] for at in curve if max(at["w1"].values()) <= goal), None)


def _stays(curve: Sequence[dict[str, Any]], goal: float) -> int | None:
    """Renders from which on every W1 stayed so until the end."""
    since = None
    for at in reversed(curve):
        if max(at["w1"].values()) > goal:
            break
        since = at["renders"]
    return since


def show(items: Sequence[dict[str, Any]]) -> None:
    """One line for each variant, over its seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for item in items:
        names = ("glyphs", "renders", *Variant._fields)
        groups.setdefault(tuple(item[name] for name in names), []).append(item)
    rows = []
    for (glyphs, renders, *variant), mine in groups.items():
        good = [item for item in mine if "error" not in item]
        reached = [item["renders_to_goal"] for item in good]
        done = sum(value is not None for value in reached)
        rows.append(
            [
                Path(glyphs).name, renders, *variant, f"{done}/{len(mine)}", spread(reached),
                spread(item["final_worst_w1"] for item in good),
                spread(item["training_seconds"] for item in good),
            ]
        )  # fmt: skip
    table(
        [
            "glyphs", "budget", "features", "warm", "estimator", "head", "discrepancy", "reached",
            "renders to goal", "final W1", "seconds",
        ],
        rows,
    )  # fmt: skip


def main() -> None:
    """Measure what is not yet in the file, then show all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mnist_rot")
    parser.add_argument("--seeds", type=seeds, default=seeds("3"))
    parser.add_argument("--glyphs", default="digits")
    parser.add_argument("--renders", type=int, default=10_000, help="of one attempt")
    parser.add_argument("--epoch-steps", type=int, default=1, help="steps between two looks")
    parser.add_argument("--goal", type=float, default=8.0, help="W1 to reach")
    parser.add_argument("--features", type=words, default=list(FEATURES))
    parser.add_argument("--estimators", type=words, default=list(ESTIMATORS))
    parser.add_argument("--heads", type=words, default=list(HEADS))
    parser.add_argument("--discrepancies", type=words, default=list(DISCREPANCIES))
    parser.add_argument("--full", action="store_true", help="every combination")
    parser.add_argument("--feature-renders", type=int, help="for the simulator's; for a try")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    args = parser.parse_args()
    parts = (args.features, args.estimators, args.heads, args.discrepancies)
    chosen = variants(parts, full=args.full)
    names = ("name", "seed", "glyphs", "renders", *Variant._fields)
    records = Records(args.out, names)
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            bench = load_bench(args.name, seed, Path(folder), args.glyphs)
            features = dict(FEATURES)
            (features["simulator"],) = bench.experiment.features
            if args.feature_renders:
                features["simulator"] = changed(
                    features["simulator"], renders=args.feature_renders,
                    refine_renders=args.feature_renders, epochs=2,
                )  # fmt: skip
            shared = Shared(bench, features)
            for variant in chosen:
                values = (args.name, seed, args.glyphs, args.renders, *variant)
                key = dict(zip(names, values, strict=True))
                if records.has(**key):
                    continue
                try:
                    found = measure(shared, variant, args.renders, args.epoch_steps, args.goal)
                except MetasimError as error:
                    found = {"error": str(error)}
                records.add({**key, **found, "machine": machine()})
                told = found.get("error", found.get("final_w1"))
                say(f"{', '.join(map(str, variant))}, seed {seed}: {told}")
    show(records.items)


if __name__ == "__main__":
    main()
