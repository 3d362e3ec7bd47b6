"""A dataset of the table-top drawn by Blender with all planes, and whether its formats agree.

Images are drawn in the profile ``quality``. What was written is read back with pycocotools and a
reader of BOP's layout, and every mask compared with the plane of instance ids. With ``--figure``
some images are shown with what is known of their pixels.


python -m tests.benchmarks.tabletop_dataset --out results/benchmarks/tabletop_dataset.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from metasim.data import Dataset, read_dataset
from tests.benchmarks.commands import metasim
from tests.benchmarks.records import ROOT, machine, say, write_json
from tests.unit.data.bop_reader import agreement

COLOURS = np.array(
    [[40, 44, 52], [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [204, 121, 167]],
    np.uint8,
)
"""Of the background and of instances (Okabe and Ito's, which the colour-blind can tell apart)."""


def rows(dataset: Dataset, count: int) -> Iterator[np.ndarray]:
    """Of each of the first images: as drawn, ids, depth, normals."""
    for index in range(count):
        planes = dataset.planes(index)
        image = np.asarray(Image.open(dataset.folder / dataset.records[index].image))
        depth = planes["depth"]
        near, far = depth[depth > 0].min(), depth.max()
        grey = np.where(depth > 0, 255 - 200 * (depth - near) / (far - near), 0)
        turned = 127.5 + 127.5 * planes["normals"] * [1, -1, -1] * (depth > 0)[..., None]
        yield np.hstack(
            [
                image,
                COLOURS[planes["instances"] % len(COLOURS)],
                np.repeat(grey[..., None], 3, -1).astype(np.uint8),
                turned.astype(np.uint8),
            ]
        )


def main() -> None:
    """Generate, read back, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT / "assets" / "grammars" / "tabletop_multi_target.yaml"
    parser.add_argument("--source", type=Path, default=default, help="a grammar or a run")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--data", type=Path, help="keep the dataset here (default: thrown away)")
    parser.add_argument("--figure", type=Path, help="a PNG of the first two images")
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
            str(args.source.resolve()),
            *("--count", str(args.count), "--out", str(data), "--renderer", "blender"),
            *("--format", "coco", "bop", *(f"{key}={value}" for key, value in options.items())),
        )
        say(f"{args.count} images in {seconds:.0f} s, {args.count / seconds:.2f} a second")
        began = time.perf_counter()
        agreed = agreement(data)
        if args.figure:
            Image.fromarray(np.vstack([*rows(read_dataset(data), 2)])).save(args.figure)
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    say(
        f"{agreed.images} images, {agreed.masks} masks equal in COCO, BOP and the plane of ids, "
        f"{agreed.hidden} instances not seen; {size / 2**20:.0f} MiB"
    )
    write_json(
        args.out,
        {
            "machine": machine(), "source": args.source.name, "options": options,
            "files": made["files"], "seconds": seconds, "bytes": size,
            "seconds_to_read": time.perf_counter() - began, "agreed": asdict(agreed),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
