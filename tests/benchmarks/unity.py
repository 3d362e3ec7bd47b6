"""Images per second through the renderer unity, and what an exchange costs.

The player is the reference peer, which sends images that it drew before, so that nothing is
measured but the way: requests written, ML-Agents' messages over gRPC, answers read and checked.
The time of this process alone is told too: what the renderer takes while the player draws nothing.

python -m tests.benchmarks.unity --out results/benchmarks/unity.json
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

from metasim.rng import stream
from metasim.scene import SceneGrammar
from metasim_unity import UnityRenderer
from metasim_unity.example import EXAMPLE
from tests.benchmarks.records import machine, say, spread, table, words, write_json

TARGETS = {(128, 8): 3000.0, (64, 32): 10_000.0}
"""Images per second by side and scenes of an exchange, without depth and normals."""


def measure(
    side: int, scenes: int, planes: list[str], exchanges: int, repeats: int
) -> dict[str, Any]:
    """So many exchanges, several times."""
    grammar = SceneGrammar.model_validate(EXAMPLE)
    asked = [grammar.sample(stream(0, "scenes", n)) for n in range(scenes)] * exchanges
    rates, each, own = [], [], []
    with UnityRenderer(
        (side, side), player="peer", arguments=["--replay"], planes=planes, scenes=scenes
    ) as renderer:
        renderer.render(asked[:scenes])
        for _ in range(repeats):
            began, core = time.perf_counter(), time.process_time()
            renderer.render(asked)
            took = time.perf_counter() - began
            rates.append(len(asked) / took)
            each.append(1000 * took / exchanges)
            own.append(1000 * (time.process_time() - core) / exchanges)
    target = None if planes else TARGETS.get((side, scenes))
    return {
        "side": side,
        "scenes": scenes,
        "planes": ["images", "instances", *planes],
        "exchanges": exchanges,
        "images_per_second": rates,
        "milliseconds_an_exchange": each,
        "own_milliseconds_an_exchange": own,
        "target": target,
        "reached": None if target is None else median(rates) >= target,
    }


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=words, default=["128x8", "64x32"], help="side x scenes")
    parser.add_argument("--exchanges", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = []
    for size in args.sizes:
        side, scenes = map(int, size.split("x"))
        for planes in ([], ["depth"], ["depth", "normals"]):
            found.append(measure(side, scenes, planes, args.exchanges, args.repeats))
            say(f"{size} {planes}: {spread(found[-1]['images_per_second'])} images/s")
    table(
        [
            "pixels",
            "scenes",
            "planes",
            "images/s",
            "ms an exchange",
            "ms of its own",
            "target",
            "reached",
        ],
        [
            [
                one["side"],
                one["scenes"],
                len(one["planes"]),
                spread(one["images_per_second"]),
                spread(one["milliseconds_an_exchange"]),
                spread(one["own_milliseconds_an_exchange"]),
                one["target"],
                one["reached"],
            ]
            for one in found
        ],
    )
    write_json(args.out, {"machine": machine(), "measured": found})


if __name__ == "__main__":
    main()
