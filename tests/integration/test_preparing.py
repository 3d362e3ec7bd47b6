"""A run that was stopped before its first checkpoint draws nothing twice."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

from metasim import experiment
from metasim.config import load_experiment
from metasim.errors import DataError, Interrupted
from metasim.learn import preparation
from metasim.learn.discrepancies import Discrepancy
from metasim.progress import Silent
from metasim.render.base import Rendered
from metasim.runs import RunDir
from metasim.scene.graph import Scene
from metasim_mnist import MnistRenderer


class Stopping(Silent):
    """Interrupts the process in the course of a stage, or at its beginning."""

    def __init__(self, stage: str, done: int = 0) -> None:
        self.stage, self.done, self.now = stage, done, ""

    def start(self, stage: str, total: int | None) -> None:
        self.now = stage
        self.advance(0)

    def advance(self, done: int, **numbers: float | str) -> None:
        if self.now == self.stage and done >= self.done:
            signal.raise_signal(signal.SIGINT)


class Noting(Silent):
    """Notes how many images had been drawn when the features were taught."""

    def __init__(self, drawn: list[int]) -> None:
        self.drawn, self.noted = drawn, -1

    def start(self, stage: str, total: int | None) -> None:
        if stage == "teaching the features":
            self.noted = sum(self.drawn)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that are drawn from here on."""
    render, sizes = MnistRenderer.render, []

    def counted(self: MnistRenderer, scenes: Sequence[Scene]) -> Rendered:
        sizes.append(len(scenes))
        return render(self, scenes)

    monkeypatch.setattr(MnistRenderer, "render", counted)
    return sizes


@pytest.mark.parametrize(
    ("stopping", "kept", "told"),
    [
        pytest.param(
            Stopping("rendering for the features"),
            0,
            "before anything was drawn that could be kept; begin with",
            id="before any render",
        ),
        pytest.param(
            Stopping("rendering for the features", 500),
            512,
            "the 512 images drawn are kept; go on with",
            id="between renders",
        ),
        pytest.param(
            Stopping("teaching the features", 1),
            2000,
            "the 2000 images drawn are kept; go on with",
            id="while the features are taught",
        ),
    ],
)
def test_a_run_stopped_while_preparing_keeps_what_it_drew(
    smoke: tuple[str, ...],
    the_run: Callable[[], Path],
    assert_same_runs: Callable[[Path, Path], None],
    whole: Path,
    drawn: list[int],
    stopping: Stopping,
    kept: int,
    told: str,
) -> None:
    with pytest.raises(Interrupted, match=f"{told}: metasim train --resume"):
        experiment.train(load_experiment(Path(smoke[1]), smoke[2:]), progress=stopping)
    run = the_run()
    (run / "metrics.jsonl").write_text('{"step": 7}\n')  # as a kill may leave it
    assert RunDir.open(run).checkpoints() == []
    assert RunDir.open(run).drawn_dir.exists() == (kept > 0)
    drawn.clear()
    resumed = Noting(drawn)
    experiment.resume(run, progress=resumed)
    assert resumed.noted == 2000 - kept
    assert not RunDir.open(run).drawn_dir.exists()
    assert_same_runs(run, whole)


def test_renders_that_a_kill_left_go_once_there_is_a_checkpoint(
    whole: Path, tmp_path: Path, ends_as: Callable[[Path, Path], object]
) -> None:
    killed = tmp_path / "killed"
    shutil.copytree(whole, killed)
    (killed / "summary.json").unlink()
    left = RunDir.open(killed).drawn_dir
    left.mkdir()
    (left / f"{'0' * 32}-256.npz").touch()
    ends_as(killed, whole)
    assert not left.exists()


def test_too_few_target_images_are_refused_before_anything_is_drawn(
    smoke: tuple[str, ...], tmp_path: Path, drawn: list[int]
) -> None:
    folder = tmp_path / "seven"
    folder.mkdir()
    for number in range(7):
        Image.new("L", (32, 32), number).save(folder / f"{number}.png")
    loaded = load_experiment(Path(smoke[1]), [*smoke[2:], f"target={{images: {folder}}}"])
    with pytest.raises(DataError, match=r"at least 8 images.* got 7"):
        experiment.train(loaded, progress=Silent())
    assert drawn == []


def test_of_a_large_target_so_many_images_are_held_out(
    smoke: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's cost grows with the square of them; what is not held out is learned from."""
    monkeypatch.setattr(preparation, "_SPLIT", 60)
    monkeypatch.setattr(preparation, "_MATCHED", 50)
    learned = []
    fit = Discrepancy.fit

    def noted(self: Discrepancy, target: Tensor, **more: Any) -> None:
        learned.append(len(target))
        fit(self, target, **more)

    monkeypatch.setattr(Discrepancy, "fit", noted)
    summary = experiment.train(load_experiment(Path(smoke[1]), smoke[2:]), progress=Silent())
    assert summary["held_out"] == 15
    assert learned == [120 - 15]
