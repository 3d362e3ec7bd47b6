"""Renderers in workers, through the commands: the same results, and no more than once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metasim.data import dataset as writing
from metasim.data import read_dataset
from metasim.scene import Scene
from metasim.testing import AnalyticRenderer

Command = Callable[..., Any]
Stop = Callable[..., Any]
SCORE = "gradient.use=score_function"

EXPERIMENT: dict[str, Any] = {
    "grammar": "blobs.yaml",
    "target": {"grammar": "blobs.yaml", "count": 40},
    "features": {"use": "pixels"},
    "editor": {"warmup_steps": 5, "fit_steps": 5},
    "gradient": {"use": "score_function"},
    "training": {
        "max_renders": 240,
        "batch_size": 24,
        "warm_start": False,
        "restarts": 0,
        "checkpoint_seconds": 1e-9,
    },
    "output": {"dir": "results"},
}
"""Learns from the grammar ``blobs.yaml`` beside it; it lacks a renderer."""

# It ends the process over scenes whose seeds METASIM_TEST_DEADLY names.
SOURCE = """
import os, signal
from metasim.testing import AnalyticRenderer
class Mortal(AnalyticRenderer):
    def render(self, scenes):
        deadly = os.environ.get("METASIM_TEST_DEADLY", "").split()
        if {str(scene.seed) for scene in scenes} & set(deadly):
            print("this one hurts")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().render(scenes)
"""


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """A grammar that names a renderer in two workers."""
    (tmp_path / "metasim_mortal.py").write_text(SOURCE)
    renderer = {"use": "metasim_mortal:Mortal", "workers": {"count": 2}}
    path = tmp_path / "blobs.yaml"
    path.write_text(yaml.safe_dump({**AnalyticRenderer.example, "renderer": renderer}))
    return path


@pytest.fixture
def experiment(blobs: Path) -> tuple[str, ...]:
    """The words that train on these blobs."""
    renderer = yaml.safe_load(blobs.read_text())["renderer"]
    path = blobs.with_name("experiment.yaml")
    path.write_text(yaml.safe_dump({**EXPERIMENT, "renderer": renderer}))
    return ("train", str(path))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_a_run_in_workers_is_that_of_one_process(
    metasim: Command,
    smoke: tuple[str, ...],
    assert_same_runs: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    alone = metasim(*smoke, SCORE)
    pooled = metasim(*smoke, SCORE, "renderer.workers.count=2")
    assert (alone.code, pooled.code) == (0, 0)
    assert_same_runs(alone.run, pooled.run)
    targets = list((tmp_path / "results" / "targets").iterdir())
    assert len(targets) == 1, "they share the target"


@pytest.mark.slow
def test_a_run_goes_on_with_other_workers(
    metasim: Command,
    experiment: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    assert_same_runs: Callable[[Path, Path], None],
) -> None:
    stop(3, *experiment)
    stopped = the_run()
    for words in (["renderer.workers.count=1"], ["renderer.workers.recycle.renders=20"], []):
        answer = metasim("train", "--resume", stopped, *words)
        assert (answer.code, answer.run) == (0, stopped)
        (stopped / "summary.json").unlink()
    assert metasim("train", "--resume", stopped).code == 0
    whole = metasim(*experiment)
    assert whole.code == 0
    assert_same_runs(stopped, whole.run)


def test_workers_that_would_decide_the_gradient_cannot_be_changed(
    metasim: Command, experiment: tuple[str, ...], stop: Stop, the_run: Callable[[], Path]
) -> None:
    stop(1, *experiment, "gradient={use: auto}")
    answer = metasim("train", "--resume", the_run(), "renderer.workers=null")
    assert answer.code == 2
    assert (
        "renderer.workers decides what gradient 'auto' takes, and the run has workers"
        in (answer.data["error"])
    )


def test_a_scene_that_ends_every_worker_is_kept_with_the_run(
    metasim: Command,
    experiment: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert metasim(*experiment, "training.max_renders=24").code == 0
    drawn = next((tmp_path / "results" / "targets").iterdir())
    scenes = read_dataset(drawn).scenes
    monkeypatch.setenv("METASIM_TEST_DEADLY", str(scenes[17].seed))
    answer = metasim(*experiment, f"output.dir={tmp_path / 'again'}")
    run = answer.run
    assert answer.code == 1
    assert "images 0 to 39: image 17 of the batch must be drawn" in answer.data["error"]
    assert "this one hurts" in answer.data["error"]
    (kept,) = (run / "quarantine").iterdir()
    assert f"the scene is kept in {kept}" in answer.data["error"]
    found = json.loads(kept.read_text())
    assert Scene.from_json(found["scene"]) == scenes[17]
    assert "was killed by SIGKILL" in found["why"]


def test_a_dataset_made_by_workers_is_that_of_one_process(
    metasim: Command, blobs: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.yaml"
    grammar = yaml.safe_load(blobs.read_text())
    del grammar["renderer"]["workers"]
    alone.write_text(yaml.safe_dump(grammar))
    words = ("--count", 150, "--out")
    assert metasim("generate", blobs, *words, tmp_path / "pooled").code == 0
    assert metasim("generate", alone.rename(blobs), *words, tmp_path / "alone").code == 0
    assert hashes(tmp_path / "pooled") == hashes(tmp_path / "alone")


def test_a_dataset_stopped_while_the_next_batch_is_drawn_is_finished_exactly(
    metasim: Command, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("generate", blobs, "--count", 300, "--out")
    assert metasim(*words, tmp_path / "whole").code == 0
    write, out, written = writing.write_batch, tmp_path / "stopped", []

    def stopped(folder: Path, batch: range, *rest: Any) -> Any:
        written.append(batch)
        if len(written) == 3:
            signal.raise_signal(signal.SIGTERM)
        return write(folder, batch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_batch", stopped)
        assert metasim(*words, out).code == 130
    answer = metasim(*words, out, "--resume")
    assert (answer.code, answer.data["rendered"]) == (0, 300 - 2 * 64)
    assert hashes(out) == hashes(tmp_path / "whole")


def test_a_dataset_names_the_scene_that_ends_every_worker(
    metasim: Command, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("generate", blobs, "--count", 150, "--out")
    assert metasim(*words, tmp_path / "whole").code == 0
    scenes = read_dataset(tmp_path / "whole").scenes
    monkeypatch.setenv("METASIM_TEST_DEADLY", str(scenes[100].seed))
    out = tmp_path / "cut"
    answer = metasim(*words, out)
    assert answer.code == 1
    assert "images 64 to 127: image 36 of the batch must be drawn" in answer.data["error"]
    assert json.dumps(scenes[100].to_json()) in answer.data["error"]
    monkeypatch.delenv("METASIM_TEST_DEADLY")
    answer = metasim(*words, out, "--resume")
    assert (answer.code, answer.data["rendered"]) == (0, 150 - 64)
    assert hashes(out) == hashes(tmp_path / "whole")


def test_the_check_of_an_isolated_renderer_goes_through_workers(
    metasim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (
        "import os\nfrom metasim.testing import AnalyticRenderer\n"
        "class Apart(AnalyticRenderer):\n"
        "    isolated = True\n"
        f"    def __init__(self):\n        assert os.getpid() != {os.getpid()}\n"
        "        super().__init__()\n"
    )
    (tmp_path / "metasim_apart.py").write_text(source)
    answer = metasim("renderers", "check", "metasim_apart:Apart")
    assert answer.data["passed"], answer.data["checks"]
