"""Whole runs, tiny ones, through the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from metasim import experiment, yamlfile
from metasim.cli import main
from metasim.config import load_experiment
from metasim.learn.checkpoint import read_checkpoint
from metasim.learn.trainer import Trainer
from metasim.progress import Silent
from metasim.runs import RunDir

ROOT = Path(__file__).parents[2]
TINY = (
    "features.renders=400",
    "features.epochs=2",
    "features.refine=0",
    "features.max_error=1",
    "target.count=120",
    "training.max_renders=600",
    "training.batch_size=32",
    "training.epoch_steps=4",
    "training.images_every=50",
    "editor.warmup_steps=20",
    "editor.fit_steps=20",
)
TIMES = ("seconds", "images_per_second", "run")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    data: dict[str, Any]
    err: str

    @property
    def run(self) -> Path:
        return Path(self.data["run"])


Command = Callable[..., Said]


@pytest.fixture
def metasim(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line with ``--json``; what is on stdout must be one JSON object."""

    def call(*words: object) -> Said:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        captured = capsys.readouterr()
        return Said(code, json.loads(captured.out), captured.err)

    return call


@pytest.fixture
def smoke(tmp_path: Path) -> tuple[str, ...]:
    """The words that train the smoke experiment, made tiny, below ``tmp_path``."""
    file = ROOT / "experiments" / "smoke.yaml"
    return ("train", str(file), *TINY, f"output.dir={tmp_path / 'results'}")


def _left_by(run: Path) -> dict[str, Any]:
    """All that a run has found, without what tells the time."""
    found = RunDir.open(run)
    state = read_checkpoint(found).state
    return {
        "summary": {k: v for k, v in found.read_summary().items() if k not in TIMES},
        "metrics": [{k: v for k, v in m.items() if k not in TIMES} for m in found.read_metrics()],
        "evaluation": found.read_evaluation(),
        "trainer": state["trainer"],
        "features": state["features"],
        "grids": {name: path.read_bytes() for name, path in found.grids().items()},
    }


def _assert_same(one: Any, other: Any, where: str = "") -> None:
    """Fail where two structures differ in the least; tensors are compared bit by bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            _assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            _assert_same(a, b, f"{where}.{place}")
    else:
        assert one == other, where


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the words of ``smoke`` give when nothing disturbs it; not to be changed."""
    words = (*TINY, "training.images_every=2", "training.checkpoint_seconds=1e-9")
    output = f"output.dir={tmp_path_factory.mktemp('whole')}"
    wanted = load_experiment(ROOT / "experiments" / "smoke.yaml", (*words, output))
    return Path(experiment.train(wanted, progress=Silent())["run"])


@pytest.fixture
def assert_same_runs() -> Callable[[Path, Path], None]:
    """Fail where two runs have left anything different, times aside."""

    def check(one: Path, other: Path) -> None:
        left = [_left_by(run) for run in (one, other)]
        every = [yamlfile.read(run / "config.yaml").data["training"] for run in (one, other)]
        if every[0]["images_every"] != every[1]["images_every"]:
            for found in left:
                found["grids"] = {n: d for n, d in found["grids"].items() if "epoch" not in n}
        _assert_same(*left)

    return check


@pytest.fixture
def the_run(tmp_path: Path) -> Callable[[], Path]:
    """The one run below the folder of results."""

    def find() -> Path:
        (run,) = (path.parent for path in tmp_path.glob("results/*/*/config.yaml"))
        return run

    return find


@pytest.fixture
def after_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something done, once, when a step of training, counted from 1, is over."""

    def plan(number: int, act: Callable[[], object]) -> None:
        step, left = Trainer._train_step, [act]

        def stepped(self: Trainer) -> Any:
            taken = step(self)
            if self.step == number and left:
                left.pop()()
            return taken

        monkeypatch.setattr(Trainer, "_train_step", stepped)

    return plan


@pytest.fixture
def stop_after(
    after_step: Callable[[int, Callable[[], object]], None],
) -> Callable[[int], None]:
    """Have the process receive a real SIGTERM in the course of a step."""
    return lambda number: after_step(number, lambda: signal.raise_signal(signal.SIGTERM))


@pytest.fixture
def stop(metasim: Command, stop_after: Callable[[int], None]) -> Callable[..., Said]:
    """Run a command that is stopped in the course of a step."""

    def stopped(number: int, *words: object) -> Said:
        stop_after(number)
        answer = metasim(*words)
        assert answer.code == 130
        return answer

    return stopped


@pytest.fixture
def ends_as(
    metasim: Command, assert_same_runs: Callable[[Path, Path], None]
) -> Callable[[Path, Path], Said]:
    """Go on with a run, to the same end as another; returns the answer."""

    def check(run: Path, other: Path) -> Said:
        answer = metasim("train", "--resume", run)
        assert (answer.code, answer.run) == (0, run)
        assert_same_runs(run, other)
        return answer

    return check
