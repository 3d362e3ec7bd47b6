"""A dataset of the table-top drawn by Blender with all planes, and whether its formats agree.

Scenes are those of a grammar of the table-top; images are drawn in the profile ``quality``. What
was written is read back with pycocotools and a reader of BOP's layout, and every mask compared with
the plane of instance ids.


python -m tests.benchmarks.tabletop_dataset --out results/benchmarks/tabletop_dataset.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.commands import metasim
from tests.benchmarks.records import ROOT, machine, say, write_json
from tests.unit.data.bop_reader import agreement


def main() -> None:
    """Generate, read back, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grammar", default="tabletop_multi_target")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--data", type=Path, help="keep the dataset here (default: thrown away)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    options = {
        "image_size": [args.side, args.side],
        "profile": "quality",
        "samples": args.samples,
    }
    with tempfile.TemporaryDirectory() as folder:
        data = (args.data or Path(folder) / "dataset").resolve()
        made, seconds = metasim(
            "generate",
            str(ROOT / "assets" / "grammars" / f"{args.grammar}.yaml"),
            *("--count", str(args.count), "--out", str(data), "--renderer", "blender"),
            *("--format", "coco", "bop", *(f"{key}={value}" for key, value in options.items())),
        )
        say(f"{args.count} images in {seconds:.0f} s, {args.count / seconds:.2f} a second")
        began = time.perf_counter()
        agreed = agreement(data)
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    say(
        f"{agreed.images} images, {agreed.masks} masks equal in COCO, BOP and the plane of ids, "
        f"{agreed.hidden} instances not seen; {size / 2**20:.0f} MiB"
    )
    write_json(
        args.out,
        {
            "machine": machine(), "grammar": args.grammar, "options": options,
            "files": made["files"], "seconds": seconds, "bytes": size,
            "seconds_to_read": time.perf_counter() - began, "agreed": asdict(agreed),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
