"""What goes wrong is told clearly, and nothing that was learned is lost."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from metasim import experiment, files
from metasim.errors import RunError
from metasim.learn.checkpoint import read_checkpoint
from metasim.learn.discrepancies.gram import GramComparison
from metasim.learn.features.base import FeatureExtractor
from metasim.runs import RunDir
from metasim.testing import AnalyticRenderer

Command = Callable[..., Any]
SCORE = "gradient.use=score_function"


@pytest.fixture
def blobs(tmp_path: Path) -> tuple[str, ...]:
    """The words that train on blobs drawn by a renderer beside the experiment."""
    module = Path(__file__).with_name("faulty.py").read_text()
    (tmp_path / "metasim_faulty.py").write_text(module)
    (tmp_path / "blobs.yaml").write_text(yaml.safe_dump(AnalyticRenderer.example))
    experiment = {
        "grammar": "blobs.yaml",
        "renderer": {"use": "metasim_faulty:Faulty"},
        "target": {
            "grammar": "blobs.yaml",
            "count": 40,
            "renderer": {"use": "metasim.testing:AnalyticRenderer", "options": {}},
        },
        "features": {"use": "pixels"},
        "editor": {"warmup_steps": 5, "fit_steps": 5},
        "training": {
            "max_renders": 240,
            "batch_size": 24,
            "warm_start": False,
            "restarts": 0,
            "checkpoint_seconds": 1e-9,
        },
        "output": {"dir": "results"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    return ("train", str(tmp_path / "experiment.yaml"))


def last_good(run: Path) -> int:
    """The step of the newest checkpoint, all of whose numbers are finite."""
    found = read_checkpoint(RunDir.open(run))
    trainer = found.state["trainer"]
    assert all(bool(t.isfinite().all()) for t in trainer["editor"].values())
    assert found.path.name == f"step-{trainer['step']:08d}.pt"
    return int(trainer["step"])


def full(*args: Any, **kwargs: Any) -> None:
    """What writing to a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def fails(
    metasim: Command, blobs: tuple[str, ...], the_run: Callable[[], Path]
) -> Callable[..., str]:
    """Train on blobs to an error that says something, after a step that is kept; returns it."""

    def check(told: str, step: int, *words: str, code: int = 1) -> str:
        answer = metasim(*blobs, *words)
        assert (answer.code, answer.run) == (code, the_run())
        assert f"what the run has is kept: {the_run()}" in answer.err
        error: str = answer.data["error"]
        assert told in error
        assert last_good(the_run()) == step
        return error

    return check


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raises", "Faulty raised KeyError: 'no lamp'"),
        ("dtype", "images must be uint8, got float32"),
        ("shape", "images must have shape (24, 16, 16, 3), got (24, 15, 16, 3)"),
        ("depth", "depth must be finite"),
    ],
)
def test_a_renderer_that_breaks_its_contract(
    fails: Callable[..., str], fault: str, told: str
) -> None:
    fails(told, 2, SCORE, f"renderer.options.fault={fault}")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("nan", "at step 2 of attempt 0 the features of the renders hold NaN"),
        ("raises", "render_tensor() of FaultyTensor raised KeyError: 'no lamp'"),
        ("shape", "must return a tensor of shape (24, 3, 16, 16), got (24, 1, 16, 16)"),
    ],
)
def test_a_renderer_whose_tensors_are_wrong(
    fails: Callable[..., str], fault: str, told: str
) -> None:
    words = ("renderer.use=metasim_faulty:FaultyTensor", f"renderer.options.fault={fault}")
    fails(told, 2, "gradient.use=pathwise", *words)


@pytest.mark.parametrize(
    ("part", "method", "told"),
    [
        (GramComparison, "value", "the discrepancy is not finite"),
        (FeatureExtractor, "__call__", "the features of the renders hold NaN"),
    ],
)
def test_what_is_no_number_is_named(
    fails: Callable[..., str],
    after_step: Callable[[int, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    part: type,
    method: str,
    told: str,
) -> None:
    right = getattr(part, method)
    after_step(
        4,
        lambda: monkeypatch.setattr(part, method, lambda *given: right(*given) * torch.nan),
    )
    fails(told, 4, SCORE)


@pytest.mark.parametrize(
    ("lr", "step"), [pytest.param(1e30, 0, id="at once"), pytest.param(900, 1, id="by and by")]
)
def test_weights_that_diverge_are_never_saved(
    metasim: Command,
    fails: Callable[..., str],
    the_run: Callable[[], Path],
    tmp_path: Path,
    lr: float,
    step: int,
) -> None:
    words = ("editor.use=parametric", f"training.lr={lr}", "training.epoch_steps=1", SCORE)
    error = fails(f"at step {step} of attempt 0 the editor's weights came to", step, *words)
    assert "start a new run with a lower training.lr" in error
    assert metasim("generate", the_run(), "--count", 2, "--out", tmp_path / "made").code == 0


@pytest.mark.parametrize("alike", ["black", "one image"])
def test_a_constant_target_is_refused(metasim: Command, blobs: tuple[str, ...], alike: str) -> None:
    words = ["target.renderer.use=metasim_faulty:Black"]
    if alike == "one image":
        still = AnalyticRenderer.example
        assert still is not None
        text = yaml.safe_dump(still)
        for std in ("std: 2", "std: 10"):
            text = text.replace(std, "std: 0.00001")
        file = Path(blobs[1]).with_name("still.yaml")
        file.write_text(text)
        words = [f"target.grammar={file}"]
    answer = metasim(*blobs, *words)
    assert answer.code == 2
    assert re.search("must (show something|differ from one another)", answer.data["error"])


def test_a_full_disk_keeps_what_there_is(
    metasim: Command,
    fails: Callable[..., str],
    the_run: Callable[[], Path],
    after_step: Callable[[int, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        after_step(5, lambda: patch.setattr(files, "replacing", full))
        told = "step-00000005.pt cannot be written: No space left on device"
        error = fails(told, 4, SCORE, code=2)
    assert "step-00000004.pt and all before it are kept" in error
    assert f"--resume {the_run()}" in error
    assert metasim("train", "--resume", the_run()).code == 0


def test_a_missing_extra_is_told_before_anything_is_done(
    metasim: Command, blobs: tuple[str, ...], the_run: Callable[[], Path], monkeypatch: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        answer = metasim(*blobs, "output.tensorboard=true")
    assert answer.code == 2
    assert "pip install 'metasim[tensorboard]'" in answer.data["error"]
    assert not (the_run().parents[1] / "targets").exists()
    assert metasim("train", "--resume", the_run()).code == 0
    assert list(RunDir.open(the_run()).tensorboard_dir.iterdir())


UNFIT = {
    "device": ("device=cuda:99", "PyTorch finds no 'cuda:99'"),
    "weights": (
        "features=[{use: simulator}, {use: pretrained, model: vgg19, weights: WEIGHTS}]",
        "weights.pth",
    ),
    "task": ("task={images: LABELLED}", "bad.png"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_cannot_be_used_is_told_before_anything_is_drawn_to_learn_from(
    metasim: Command,
    tmp_path: Path,
    blobs: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """With a slow renderer all that comes before takes hours."""
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    (tmp_path / "labelled" / "3").mkdir(parents=True)
    (tmp_path / "labelled" / "3" / "bad.png").write_bytes(b"no picture")
    setting, told = UNFIT[what]
    setting = setting.replace("WEIGHTS", str(tmp_path / "weights.pth"))
    setting = setting.replace("LABELLED", str(tmp_path / "labelled"))
    monkeypatch.setattr(
        "metasim.learn.features.make.draw_labelled", lambda *_: pytest.fail("drawn")
    )
    answer = metasim(*blobs, setting)
    assert answer.code == 2
    assert told in answer.data["error"]
    if what == "device":
        assert answer.data["mistakes"][0]["key"] == "device"
        assert not (tmp_path / "results" / "targets").exists()


def test_a_full_disk_is_told_for_the_curves_too(
    metasim: Command,
    fails: Callable[..., str],
    the_run: Callable[[], Path],
    after_step: Callable[[int, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    words = ("output.tensorboard=true", "training.epoch_steps=2", SCORE)
    with monkeypatch.context() as patch:
        after_step(4, lambda: patch.setattr(SummaryWriter, "add_scalar", full))
        error = fails("tensorboard cannot be written: No space left on device", 3, *words, code=2)
    assert "output.tensorboard=false" in error
    assert metasim("train", "--resume", the_run(), "output.tensorboard=false").code == 0


def test_a_disk_that_is_full_from_the_start_is_no_run_to_go_on_with(
    metasim: Command, blobs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "replacing", full)
        answer = metasim(*blobs)
    assert answer.code == 2
    assert "provenance.json cannot be written: No space left" in answer.data["error"]
    assert "start the run again" in answer.data["error"]
    assert "--resume" not in answer.data["error"]


def test_a_report_that_cannot_be_written_is_told_with_its_complete_run(
    metasim: Command,
    blobs: tuple[str, ...],
    the_run: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "write_report", unwritable)
        answer = metasim(*blobs, SCORE)
    assert (answer.code, answer.run) == (2, the_run())
    assert RunDir.open(the_run()).ended
    assert metasim("train", "--resume", the_run()).code == 0
    assert (the_run() / "report.html").is_file()


def unwritable(run: RunDir) -> None:
    raise RunError(f"{run.report_path} cannot be written: No space left on device")
