"""Running ``metasim`` as its users do, in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.records import ROOT, Records, machine, say, seeds

# Experiments that are another one with some settings changed.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist_gap_plain": (
        "mnist_gap",
        ("features.randomise_appearance=false", "features.randomise_training=false"),
    ),
    "mnist_multi_cold": ("mnist_multi", ("training.warm_start=false",)),
    "paper_rot_trans": (
        "baselines/paper",
        (
            "grammar=assets/grammars/mnist_rot_trans.yaml",
            "target.grammar=assets/grammars/mnist_rot_trans_target.yaml",
            "renderer.options.image_size=[64, 64]",
        ),
    ),
}


class CommandFailedError(Exception):
    """A command ended with an exit code other than 0."""


def metasim(*arguments: str) -> tuple[dict[str, Any], float]:
    """What ``metasim ARGUMENTS --json`` printed, and its wall time in seconds.

    Raises:
        CommandFailedError: with the end of what it wrote to stderr.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "metasim", *arguments, "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    wall = time.perf_counter() - began
    if done.returncode:
        told = (done.stderr or done.stdout)[-2000:]
        raise CommandFailedError(f"metasim {' '.join(arguments)}: exit {done.returncode}\n{told}")
    return json.loads(done.stdout), wall


def base_of(name: str) -> str:
    """The shipped experiment that ``name`` is, or is a variant of."""
    return VARIANTS[name][0] if name in VARIANTS else name


def file_of(name: str) -> Path:
    """The YAML file of an experiment or of what it is a variant of."""
    return ROOT / "experiments" / f"{base_of(name)}.yaml"


def settings_of(name: str, seed: int, glyphs: str, more: Sequence[str] = ()) -> list[str]:
    """What is put over the file's settings: the variant's, the seed, the glyphs, the rest.

    Experiments whose renderer draws no glyphs are given none.
    """
    variant = VARIANTS[name][1] if name in VARIANTS else ()
    glyphs = "digits" if glyphs == "digits" else str(Path(glyphs).resolve())
    drawn = [f"renderer.options.glyphs={glyphs}", f"target.renderer.options.glyphs={glyphs}"]
    has_glyphs = "glyphs:" in file_of(name).read_text(encoding="utf-8")
    return [*variant, f"seed={seed}", *(drawn if has_glyphs else []), *more]


def train(
    name: str, seed: int, glyphs: str, out: Path, more: Sequence[str] = ()
) -> tuple[dict[str, Any], float]:
    """Train an experiment or a variant; its summary and its wall time in seconds."""
    settings = settings_of(name, seed, glyphs, [*more, f"output.dir={out.resolve()}"])
    return metasim("train", str(file_of(name)), *settings)


def run_arguments(description: str | None, count: str) -> argparse.ArgumentParser:
    """What every benchmark of whole runs is asked with; ``count`` tells the seeds by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=seeds, default=seeds(count))
    parser.add_argument("--glyphs", default="digits", help="digits, or a folder")
    settings_argument(parser)
    parser.add_argument("--runs", type=Path, help="keep the runs here (default: thrown away)")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    return parser


def settings_argument(parser: argparse.ArgumentParser) -> None:
    """``--set KEY=VALUE ...``, which may be given several times."""
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", dest="more", action="extend"
    )


def measure_once(
    records: Records, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any] | None:
    """Measure and keep what is not yet among the records (else None), failures too."""
    if records.has(**key):
        return None
    try:
        found = measure()
    except CommandFailedError as error:
        say(str(error))
        found = {"error": str(error).splitlines()[-1]}
    records.add({**key, **found, "machine": machine()})
    return found
