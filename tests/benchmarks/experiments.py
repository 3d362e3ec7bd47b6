"""Every shipped experiment over seeds, each in a process of its own, against its figures.

python -m tests.benchmarks.experiments --names mnist_rot,mnist_gap --seeds 5 \
    --glyphs digits --out results/benchmarks/experiments.jsonl
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from metasim.runs import RunDir
from tests.benchmarks.commands import base_of, measure_once, run_arguments, train
from tests.benchmarks.criteria import judge
from tests.benchmarks.records import Records, say, spread, table, words

NAMES = (
    "mnist_rot,mnist_rot_trans,mnist_spread,mnist_bimodal,mnist_correlated,mnist_gap,"
    "mnist_gap_plain,mnist_multi,mnist_multi_cold,mnist_task,baselines/paper,smoke,"
    "tabletop_1attr,tabletop_2attr,tabletop_3attr,tabletop_5attr,tabletop_multi,tabletop_camera,"
    "tabletop_gap,unity_1attr,unity_multi"
)
_KEPT = (
    "converged", "renders", "feature_renders", "evaluation_renders", "seconds", "discrepancy",
    "discrepancy_prior", "p_value", "p_value_prior", "steps", "attempts", "gradient",
    "images_per_second", "unidentifiable", "task_accuracy",
)  # fmt: skip


def measure(name: str, seed: int, glyphs: str, out: Path, more: Sequence[str]) -> dict[str, Any]:
    """Train once; what came of it."""
    summary, wall = train(name, seed, glyphs, out, more)
    evaluation = RunDir.open(Path(summary["run"])).read_evaluation() or {}
    return {
        "wall_seconds": wall,
        **{key: summary[key] for key in _KEPT if key in summary},
        "feature_error": summary["features"]["error"],
        "attributes": {
            label: {key: row.get(key) for key in ("unit", "learned", "target", "w1", "mean_error")}
            for label, row in summary["attributes"].items()
        },
        "criteria": judge(base_of(name), summary, evaluation, wall),
    }


def show(items: Sequence[dict[str, Any]]) -> None:
    """One line for each criterion of each experiment, and one for its cost."""
    rows = []
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault((item["name"], item["glyphs"], " ".join(item["set"])), []).append(item)
    for (name, glyphs, _), mine in groups.items():
        glyphs = Path(glyphs).name
        good = [item for item in mine if "error" not in item]
        for item in (item for item in mine if "error" in item):
            rows.append([name, glyphs, f"seed {item['seed']} FAILED", "", "", item["error"][:60]])
        if not good:
            continue
        passed = sum(all(c["passed"] for c in item["criteria"].values()) for item in good)
        reached = f"{passed}/{len(mine)}" if good[0]["criteria"] else "none set"
        rows.append([name, glyphs, "all criteria", "", reached, ""])
        for label in good[0]["criteria"]:
            found = [item["criteria"][label] for item in good]
            low, high = found[0]["low"], found[0]["high"]
            bound = f"{'' if low is None else f'{low:g}'} .. {'' if high is None else f'{high:g}'}"
            share = f"{sum(c['passed'] for c in found)}/{len(mine)}"
            rows.append(["", "", label, bound, share, spread(c["value"] for c in found)])
        for key in ("wall_seconds", "renders", "feature_renders", "p_value", "p_value_prior"):
            if key not in good[0]["criteria"]:
                rows.append(["", "", key, "", "", spread(item[key] for item in good)])
        for label in good[0]["attributes"]:
            for key in ("mean_error", "w1"):
                values = [item["attributes"][label][key] for item in good]
                rows.append(["", "", f"{label} {key}", "", "", spread(values)])
    table(["experiment", "glyphs", "what", "bounds", "passed", "min / median / max"], rows)


def main() -> None:
    """Measure what is not yet in the file, then show all of it."""
    parser = run_arguments(__doc__, "5")
    parser.add_argument("--names", type=words, default=words(NAMES))
    args = parser.parse_args()
    records = Records(args.out, ("name", "seed", "glyphs", "set"))
    with tempfile.TemporaryDirectory() as folder:
        out = args.runs or Path(folder)
        for name in args.names:
            for seed in args.seeds:
                key = {"name": name, "seed": seed, "glyphs": args.glyphs, "set": args.more}
                asked = partial(measure, name, seed, args.glyphs, out / name, args.more)
                if (found := measure_once(records, key, asked)) is None:
                    continue
                bad = [k for k, c in found.get("criteria", {}).items() if not c["passed"]]
                reached = "passed" if found.get("criteria") else "done"
                told = found.get("error") or (f"missed: {', '.join(bad)}" if bad else reached)
                say(f"{name} seed {seed}: {found.get('wall_seconds', 0):.1f} s, {told}")
    show(records.items)


if __name__ == "__main__":
    main()
