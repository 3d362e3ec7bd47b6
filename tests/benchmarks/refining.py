"""What refinement is worth: each method over seeds, and content first against looks first.

Every run is one of the shipped experiments, in a process of its own. Told of each are the accuracy
of a classifier taught by renders, by refined renders and by target images, the share of the gap
between first and last that refining closes, the gate's pass rate, FID and KID in fixed features,
and the seconds of the refiner's training.

python -m tests.benchmarks.refining --seeds 3 --out results/benchmarks/refining.jsonl
python -m tests.benchmarks.refining --order --seeds 3 --out results/benchmarks/order.jsonl
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.commands import file_of, measure_once, metasim, run_arguments, settings_of
from tests.benchmarks.records import Records, say, spread, table, words

METHODS = "simgan,cyclegan,cut,unit,pix2pix,spade"
ORDERS = {"content first": "train", "looks first": "refine"}
"""The command that gives each: the second leaves the scenes as the prior has them."""
_ORDERED = "mnist_rot_refined"


def measure(
    command: str, name: str, seed: int, glyphs: str, out: Path, more: Sequence[str]
) -> dict[str, Any]:
    """Run once; what the summary says of the refinement, and the share of the gap it closes."""
    settings = settings_of(name, seed, glyphs, [*more, f"output.dir={out.resolve()}"])
    summary, wall = metasim(command, str(file_of(name)), *settings)
    found = {"wall_seconds": wall, "p_value": summary["p_value"], **summary["refine"]}
    accuracy = found.get("accuracy") or {}
    if accuracy:
        gap = accuracy["target"] - accuracy["source_only"]
        refined = accuracy["refined"]
        found["closed"] = None if refined is None else (refined - accuracy["source_only"]) / gap
    return found


def show(items: Sequence[dict[str, Any]]) -> None:
    """A line for each method, or order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["what"], []).append(item)
    rows = []
    for what, mine in groups.items():
        good = [item for item in mine if "error" not in item]

        def of(*keys: str, good: Sequence[dict[str, Any]] = good) -> str:
            values = []
            for item in good:
                value: Any = item
                for key in keys:
                    value = None if value is None else value.get(key)
                values.append(value)
            known = [value for value in values if value is not None]
            return spread(known) if known else ""

        rows.append(
            [
                f"{what} ({len(good)}/{len(mine)})",
                of("accuracy", "source_only"),
                of("accuracy", "refined"),
                of("accuracy", "ungated"),
                of("accuracy", "target"),
                of("closed"),
                of("gate", "rate"),
                of("fid_unrefined"),
                of("fid"),
                of("kid_unrefined"),
                of("kid"),
                of("seconds"),
            ]
        )
    head = ["what", "renders", "refined", "ungated", "target", "closed", "gate"]
    table([*head, "FID before", "FID", "KID before", "KID", "seconds"], rows)


def main() -> None:
    """Measure what is not yet in the file, then show all of it."""
    parser = run_arguments(__doc__, "3")
    parser.add_argument("--methods", type=words, default=words(METHODS))
    parser.add_argument("--order", action="store_true", help="content first against looks first")
    args = parser.parse_args()
    records = Records(args.out, ("what", "seed", "glyphs", "set"))
    if args.order:
        jobs = [(what, command, _ORDERED) for what, command in ORDERS.items()]
    else:
        jobs = [(method, "train", f"refine_digits_{method}") for method in args.methods]
    with tempfile.TemporaryDirectory() as folder:
        out = args.runs or Path(folder)
        for seed in args.seeds:
            for what, command, name in jobs:
                key = {"what": what, "seed": seed, "glyphs": args.glyphs, "set": args.more}
                place = out / what.replace(" ", "_")
                asked = partial(measure, command, name, seed, args.glyphs, place, args.more)
                if (found := measure_once(records, key, asked)) is None:
                    continue
                told = found.get("error") or f"{found.get('closed')} of the gap"
                say(f"{what} seed {seed}: {found.get('wall_seconds', 0):.1f} s, {told}")
    show(records.items)


if __name__ == "__main__":
    main()
