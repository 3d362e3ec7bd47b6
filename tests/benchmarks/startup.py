"""Wall time of ``metasim --help`` and of ``metasim validate``.

python -m tests.benchmarks.startup --out results/benchmarks/startup.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.records import ROOT, machine, table, write_json

COMMANDS = {
    "metasim --help": (["--help"], 0.5),
    "metasim validate": (["validate", "experiments/mnist_rot.yaml"], 1.0),
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one call of the installed program."""
    program = Path(sys.executable).with_name("metasim")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "metasim"]
    began = time.perf_counter()
    subprocess.run([*command, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows, found = [], {}
    for name, (arguments, most) in COMMANDS.items():
        seconds(arguments)  # the first call reads everything from the disk
        times = [seconds(arguments) for _ in range(args.repeats)]
        found[name] = {"seconds": times, "at_most": most, "passed": median(times) < most}
        rows.append([name, min(times), median(times), max(times), most])
    table(["command", "min s", "median s", "max s", "to reach"], rows)
    write_json(args.out, {"machine": machine(), "commands": found})


if __name__ == "__main__":
    main()
