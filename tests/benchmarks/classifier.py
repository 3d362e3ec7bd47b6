"""A digit classifier taught with generated data, tested on target images.

It is taught with data from the prior, from a tuned run, from the published method's run and
with the true parameters, all of the learner's glyphs; the test images are of the target's.
Each figure is the mean of several classifiers with other weights, as one alone is off by
half a point to a point.

python -m tests.benchmarks.classifier --seeds 5 --out results/benchmarks/classifier.jsonl
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from metasim.config import GrammarTarget, load_experiment
from metasim.data import generate_dataset, load_labelled
from metasim.experiment import build_renderer, generate
from metasim.learn.features.base import to_tensor
from metasim.learn.initial import initial_weights
from metasim.learn.task import TaskNetwork, train_task_network
from metasim.progress import Silent
from metasim.rng import derive, stream
from tests.benchmarks.commands import file_of, settings_argument, settings_of, train
from tests.benchmarks.records import Records, machine, say, seeds, spread, table, words

SOURCES = "prior,tuned,paper,truth"
_PAPER = {"mnist_rot": "baselines/paper", "mnist_rot_trans": "paper_rot_trans"}


def make_data(
    name: str, source: str, seed: int, glyphs: str, count: int, out: Path, more: Sequence[str]
) -> tuple[Path, dict[str, Any]]:
    """A labelled dataset, and what is known of the run it is from."""
    folder = out / f"data-{source}"
    if source in ("tuned", "paper"):
        experiment = name if source == "tuned" else _PAPER[name]
        own = [s for s in more if source == "tuned" or not s.startswith("features.")]
        summary, wall = train(experiment, seed, glyphs, out / "runs", own)
        generate(
            Path(summary["run"]), count=count, out=folder, formats=("native",), progress=Silent()
        )
        told = {key: summary[key] for key in ("converged", "renders", "p_value")}
        w1 = {label: row["w1"] for label, row in summary["attributes"].items()}
        return folder, {**told, "wall_seconds": wall, "w1": w1}
    experiment = load_experiment(file_of(name), settings_of(name, seed, glyphs, more))
    target = experiment.target
    assert isinstance(target, GrammarTarget)
    of_target = source in ("truth", "test")
    grammar = target.grammar if of_target else experiment.grammar
    with build_renderer(target.renderer if source == "test" else experiment.renderer) as renderer:
        generate_dataset(
            folder,
            count=count,
            seed=seed,
            make_scenes=lambda indices: [
                grammar.sample(stream(seed, "classifier", source, i)) for i in indices
            ],
            renderer=renderer,
            formats=("native",),
            manifest={"source": source},
        )
    return folder, {}


def load(folder: Path, size: tuple[int, int]) -> tuple[Tensor, Tensor, int]:
    """Images (n, 3, H, W), their classes (n,), and how many classes there are."""
    images, labels, classes = load_labelled(folder, size, resize=False)
    return to_tensor(images), torch.from_numpy(labels), len(classes)


def taught(
    images: Tensor, labels: Tensor, classes: int, *, seed: int, epochs: int, number: int
) -> TaskNetwork:
    """The classifier of a number, equal in everything but its data."""
    with initial_weights(derive(seed, "classifier", number)):
        network = TaskNetwork(classes)
    generator = torch.Generator().manual_seed(derive(seed, "classifier batches", number))
    train_task_network(network, images, labels, epochs=epochs, generator=generator)
    return network.eval()


@torch.no_grad()
def accuracy(network: TaskNetwork, images: Tensor, labels: Tensor) -> float:
    """Share of images that are classified rightly, in per cent."""
    guesses = torch.cat([network(part).argmax(dim=1) for part in images.split(512)])
    return 100 * float((guesses == labels).float().mean())


def show(items: Sequence[dict[str, Any]]) -> None:
    """Accuracy of each source over seeds, and its distance from the truth's, seed by seed."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    truth = {}
    for item in items:
        groups.setdefault((item["name"], item["glyphs"], item["source"]), []).append(item)
        if item["source"] == "truth":
            truth[item["name"], item["glyphs"], item["seed"]] = item["accuracy"]
    rows = []
    for (name, glyphs, source), mine in groups.items():
        short = [
            truth[name, glyphs, i["seed"]] - i["accuracy"]
            for i in mine
            if (name, glyphs, i["seed"]) in truth
        ]
        within = f"{sum(points <= 1 for points in short)}/{len(short)}"
        accuracies = spread(item["accuracy"] for item in mine)
        rows.append([name, Path(glyphs).name, source, accuracies, spread(short), within])
    header = ["experiment", "glyphs", "taught with", "accuracy %", "points short", "within 1"]
    table(header, rows)


def main() -> None:
    """Measure what is not yet in the file, then show all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=words, default=list(_PAPER))
    parser.add_argument("--sources", type=words, default=words(SOURCES))
    parser.add_argument("--seeds", type=seeds, default=seeds("5"))
    parser.add_argument("--glyphs", default="digits")
    parser.add_argument("--count", type=int, default=5000, help="images to teach with")
    parser.add_argument("--test-count", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--classifiers", type=int, default=4, help="the mean of so many counts")
    settings_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    args = parser.parse_args()
    keys = ("name", "source", "seed", "glyphs", "count", "epochs", "classifiers", "set")
    records = Records(args.out, keys)
    for name in args.names:
        size = build_renderer(load_experiment(file_of(name)).renderer).image_size
        for seed in args.seeds:
            shared = {
                "name": name, "seed": seed, "glyphs": args.glyphs, "count": args.count,
                "epochs": args.epochs, "classifiers": args.classifiers, "set": args.more,
            }  # fmt: skip
            left = [s for s in args.sources if not records.has(**shared, source=s)]
            if not left:
                continue
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder)
                folder_of_test, _ = make_data(
                    name, "test", seed, args.glyphs, args.test_count, out, args.more
                )
                test = load(folder_of_test, size)[:2]
                for source in left:
                    began = time.perf_counter()
                    data, told = make_data(
                        name, source, seed, args.glyphs, args.count, out, args.more
                    )
                    lesson = load(data, size)
                    each = [
                        accuracy(
                            taught(*lesson, seed=seed, epochs=args.epochs, number=number), *test
                        )
                        for number in range(args.classifiers)
                    ]
                    found = mean(each)
                    seconds = time.perf_counter() - began
                    records.add(
                        {
                            **shared, "source": source, "accuracy": found, "each": each,
                            "seconds": seconds, "run": told, "machine": machine(),
                        }
                    )  # fmt: skip
                    say(f"{name} seed {seed} {source}: {found:.1f} %")
    show(records.items)


if __name__ == "__main__":
    main()
