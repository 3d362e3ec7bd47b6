"""A run that was stopped goes on as if it had not been."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metasim.judgement import Judge
from metasim.learn.checkpoint import read_checkpoint, write_checkpoint
from metasim.learn.trainer import Trainer
from metasim.runs import RunDir

Command = Callable[..., Any]
Stop = Callable[..., Any]
EndsAs = Callable[[Path, Path], Any]
ROOT = Path(__file__).parents[2]
TWO_ATTEMPTS = ("training.p_value=1", "gradient.use=score_function")
SURROGATE = ("training.p_value=1", "gradient.use=surrogate")


@pytest.fixture
def labelled(metasim: Command, tmp_path: Path) -> Path:
    """A dataset of 80 digits, turned as the target's are."""
    grammar, folder = ROOT / "assets/grammars/mnist_rot_target.yaml", tmp_path / "labelled"
    drawn = ("--renderer", "mnist", "--count", 80, "--out", folder)
    assert metasim("generate", grammar, *drawn).code == 0
    return folder


@pytest.mark.parametrize(
    ("number", "settings"),
    [
        pytest.param(3, (), id="pathwise, within an epoch"),
        pytest.param(
            4, ("gradient.use=finite_difference",), id="at an epoch's end", marks=pytest.mark.slow
        ),
        pytest.param(10, SURROGATE, id="surrogate, which studies again in the second attempt"),
        pytest.param(6, (*SURROGATE, "training.images_every=1"), id="surrogate, between renders"),
        pytest.param(10, TWO_ATTEMPTS, id="between two attempts", marks=pytest.mark.slow),
        pytest.param(13, TWO_ATTEMPTS, id="in the second attempt"),
    ],
)
def test_a_stopped_run_ends_as_an_uninterrupted_one(
    metasim: Command,
    smoke: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    ends_as: EndsAs,
    whole: Path,
    number: int,
    settings: tuple[str, ...],
) -> None:
    stopped = stop(number, *smoke, *settings)
    run = the_run()
    assert f"step {number}" in stopped.err
    assert f"metasim train --resume {run}" in stopped.err
    assert RunDir.open(run).latest_checkpoint() == run / f"checkpoints/step-{number:08d}.pt"
    assert not (run / "summary.json").exists()

    resumed = ends_as(run, metasim(*smoke, *settings).run if settings else whole)
    assert resumed.data["attempts"] == (2 if "training.p_value=1" in settings else 1)


def test_a_run_with_a_task_goes_on_as_if_never_stopped(
    metasim: Command,
    smoke: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    labelled: Path,
    ends_as: EndsAs,
) -> None:
    """Also, the pathwise gradient draws no labels: the task has its images drawn beside."""
    words = (*smoke, f"task.images={labelled}", "training.max_renders=320", "training.restarts=0")
    stop(3, *words)
    run = the_run()
    uninterrupted = metasim(*words)
    ends_as(run, uninterrupted.run)
    assert uninterrupted.data["steps"] == 320 // (2 * 32)
    assert 0 < uninterrupted.data["task_accuracy"] <= 1
    lines = RunDir.open(run).read_metrics()
    assert [line["task_accuracy"] for line in lines][-1] == uninterrupted.data["task_accuracy"]


def test_an_ended_run_is_only_reported(metasim: Command, whole: Path) -> None:
    files = {path: path.read_bytes() for path in whole.rglob("*.*") if path.is_file()}
    again = metasim("train", "--resume", whole)
    assert (again.code, again.run) == (0, whole)
    assert {path: path.read_bytes() for path in files} == files


def test_a_run_killed_before_its_summary_goes_on_from_its_checkpoints(
    whole: Path, tmp_path: Path, ends_as: EndsAs
) -> None:
    """From the last one, and from one before: what was written since is written again."""
    checkpoints = RunDir.open(whole).checkpoints()
    assert len(checkpoints) == 11  # before the first step and after each
    for lost in (0, 2, 9):
        killed = tmp_path / f"killed-{lost}"
        shutil.copytree(whole, killed)
        (killed / "summary.json").unlink()
        for path in checkpoints[:lost]:
            (killed / "checkpoints" / path.name).unlink()
        ends_as(killed, whole)


def test_curves_for_tensorboard_go_on_without_a_break(
    smoke: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    metasim: Command,
) -> None:
    """Stopped within an epoch; and killed at the end, just before the summary."""
    stop(3, *smoke, "output.tensorboard=true", "training.images_every=2")
    run = the_run()
    for _ in range(2):
        assert metasim("train", "--resume", run).code == 0
        lines = RunDir.open(run).read_metrics()
        found = EventAccumulator(str(RunDir.open(run).tensorboard_dir)).Reload()
        for curve in ("discrepancy", "p_value", "lr", "min_scale", "grad_norm"):
            wanted = [(line["step"], pytest.approx(line[curve])) for line in lines]
            assert [(event.step, event.value) for event in found.Scalars(curve)] == wanted, curve
        means = found.Scalars("attributes/digit.yaw/mean")
        wanted = [pytest.approx(line["attributes"]["digit.yaw"]["mean"]) for line in lines]
        assert [event.value for event in means] == wanted
        grids = [line["step"] for line in lines if line["epoch"] % 2 == 0]
        last = lines[-1]["step"] + 1  # what was learned, drawn after the last step
        assert [event.step for event in found.Images("most_recent")] == [*grids, last]
        (run / "summary.json").unlink()


def test_a_second_signal_stops_at_once_and_says_what_is_kept(
    metasim: Command,
    smoke: tuple[str, ...],
    after_step: Callable[[int, Callable[[], object]], None],
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    after_step(2, twice)
    stopped = metasim(*smoke)
    assert stopped.code == 130
    assert "step-00000000.pt is kept" in stopped.err


@pytest.mark.skipif(sys.platform == "win32", reason="processes are signalled otherwise there")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_process_that_is_signalled_keeps_all(
    smoke: tuple[str, ...],
    the_run: Callable[[], Path],
    ends_as: EndsAs,
    whole: Path,
    number: signal.Signals,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "metasim", *smoke],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        text=True,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line == "training ...\n":
            process.send_signal(number)
    assert process.wait() == 130, told
    process.stderr.close()
    run = the_run()
    assert f"go on with: metasim train --resume {run}" in told[-1]
    assert len(RunDir.open(run).checkpoints()) >= 1
    ends_as(run, whole)


# --- what cannot go on ---------------------------------------------------------------------


@pytest.fixture
def stopped(smoke: tuple[str, ...], stop: Stop, the_run: Callable[[], Path]) -> Path:
    """A run that was stopped after its third step."""
    stop(3, *smoke, "training.checkpoint_seconds=1e-9")
    return the_run()


def test_a_changed_setting_is_named(metasim: Command, stopped: Path) -> None:
    answer = metasim("train", "--resume", stopped, "training.lr=0.5", "seed=4")
    assert answer.code == 2
    assert "seed, training.lr would change" in answer.data["error"]


def test_what_does_not_touch_learning_may_change(metasim: Command, stopped: Path) -> None:
    assert metasim("train", "--resume", stopped, "training.images_every=1").code == 0
    assert "images_every: 50" in (stopped / "config.yaml").read_text()


def test_another_version_is_refused(metasim: Command, stopped: Path) -> None:
    file = stopped / "provenance.json"
    file.write_text(file.read_text().replace('"metasim": "', '"metasim": "9.'))
    answer = metasim("train", "--resume", stopped)
    assert answer.code == 2
    assert "made with metasim 9." in answer.data["error"]


def test_a_damaged_checkpoint_is_passed_over(stopped: Path, whole: Path, ends_as: EndsAs) -> None:
    newest, before, *_ = RunDir.open(stopped).checkpoints()
    newest.write_bytes(newest.read_bytes()[:1000])
    told = ends_as(stopped, whole).err
    assert f"damaged and passed over: {newest.name}" in told
    assert f"{before.name} is used" in told


def test_no_readable_checkpoint_is_a_clear_error(metasim: Command, stopped: Path) -> None:
    checkpoints = RunDir.open(stopped).checkpoints()
    damages = (b"", b"no checkpoint", b"PK\3\4", b"\n")
    for path, damage in zip(checkpoints, damages, strict=True):
        path.write_bytes(damage)
    answer = metasim("train", "--resume", stopped)
    assert answer.code == 2
    assert "all are damaged" in answer.data["error"]
    assert all(path.name in answer.data["error"] for path in checkpoints)
    assert [path.stat().st_size for path in checkpoints] == [0, 13, 4, 1]  # nothing was touched


def test_a_checkpoint_that_does_not_fit_its_run_is_told(
    metasim: Command, stopped: Path, whole: Path, ends_as: EndsAs
) -> None:
    """And what to do about it works."""
    run = RunDir.open(stopped)
    found = read_checkpoint(run)
    other = {**found.state["trainer"], "editor": {"table": torch.zeros(1)}}
    for part in ("trainer", "prior", "features", "editor"):
        state = {name: value for name, value in found.state.items() if name != part}
        write_checkpoint(run, 3, {**state, "trainer": other} if part == "editor" else state)
        files = {path: path.read_bytes() for path in stopped.rglob("*.*") if path.is_file()}
        answer = metasim("train", "--resume", stopped)
        assert answer.code == 2
        assert f"{found.path} must fit the settings of its run" in answer.data["error"]
        assert "remove it, and the one before it is used" in answer.data["error"]
        assert {path: path.read_bytes() for path in files} == files
    found.path.unlink()
    ends_as(stopped, whole)


def test_two_processes_cannot_train_in_one_run(metasim: Command, stopped: Path) -> None:
    with RunDir.open(stopped).lock():
        answer = metasim("train", "--resume", stopped)
    assert answer.code == 2
    assert "one process at a time" in answer.data["error"]


def test_what_was_learned_so_far_is_in_a_stopped_runs_report(
    metasim: Command, smoke: tuple[str, ...], stop: Stop, the_run: Callable[[], Path]
) -> None:
    stop(9, *smoke, "training.images_every=2")
    found = RunDir.open(the_run()).read_evaluation()
    assert found is not None
    values = found["attributes"]["digit.yaw"]
    assert {len(values[which]) for which in ("prior", "learned")} == {500, 400}
    assert metasim("report", the_run()).data["distances"]["digit.yaw"].keys() >= {"learned"}


def test_other_threads_are_told_and_agree_to_rounding(
    metasim: Command,
    smoke: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    whole: Path,
) -> None:
    threads = torch.get_num_threads()
    stop(3, *smoke)
    try:
        torch.set_num_threads(threads + 1)
        answer = metasim("train", "--resume", the_run())
    finally:
        torch.set_num_threads(threads)
    assert f"computed with {threads} threads, cpu until here" in answer.err
    assert f"goes on with {threads + 1} threads, cpu" in answer.err
    wanted = RunDir.open(whole).read_summary()
    assert answer.data["renders"] == wanted["renders"]
    assert answer.data["discrepancy"] == pytest.approx(wanted["discrepancy"], rel=0.05, abs=0.01)


@pytest.mark.parametrize("which", ["target", "task"])
def test_a_run_whose_images_were_changed_is_refused(
    metasim: Command,
    smoke: tuple[str, ...],
    stop: Stop,
    the_run: Callable[[], Path],
    tmp_path: Path,
    labelled: Path,
    which: str,
) -> None:
    if which == "target":
        words = [word for word in smoke if not word.startswith("target.")]
        words.append(f"target={{images: {labelled / 'images'}}}")
        setting, images = "target.images", labelled / "images"
    else:
        images = tmp_path / "by class"
        for name in ("3", "7"):
            (images / name).mkdir(parents=True)
            for number in range(4):
                path = labelled / "images" / f"{4 * (name == '7') + number:06d}.png"
                shutil.copy(path, images / name)
        words = [*smoke, f"task.images={images}"]
        setting = "task.images"
    stop(2, *words)
    first = sorted(images.rglob("*.png"))[0]
    kept = first.read_bytes()
    Image.new("RGB", (32, 32), "white").save(first)
    answer = metasim("train", "--resume", the_run())
    assert answer.code == 2
    assert f"must find the images of {setting} as they were" in answer.data["error"]
    first.write_bytes(kept)
    assert metasim("train", "--resume", the_run()).code == 0


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        pytest.param(Judge, "prior", "stopped before the first step", id="at the prior"),
        pytest.param(Trainer, "judge", "stopped after the last step", id="after the last step"),
        pytest.param(Judge, "judgement", "stopped at once", id="at the judgement"),
    ],
)
def test_a_stop_outside_the_loop_is_heard(
    metasim: Command,
    smoke: tuple[str, ...],
    the_run: Callable[[], Path],
    ends_as: EndsAs,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    told: str,
) -> None:
    """The prior is looked at to its end, as what was prepared is then kept; a judgement is not.

    With a slow renderer judging takes long; a stop that is asked for must not be forgotten.
    """
    method = getattr(owner, name)

    def stopped(self: Any, *given: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return method(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopped)
        answer = metasim(*smoke)
    assert (answer.code, answer.run) == (130, the_run())
    assert told in answer.data["error"]
    assert not RunDir.open(the_run()).ended
    (checkpoint,) = RunDir.open(the_run()).checkpoints()[:1]
    assert (checkpoint.name == "step-00000000.pt") == (name == "prior")
    ended = ends_as(the_run(), whole)
    assert ended.data["images_per_second"] > 0  # of the training, whenever it was


def test_a_run_that_has_ended_needs_neither_its_images_nor_its_renderer(
    metasim: Command, smoke: tuple[str, ...], labelled: Path, tmp_path: Path
) -> None:
    shutil.copytree(labelled / "images", tmp_path / "photos")
    words = [word for word in smoke if not word.startswith("target.")]
    ended = metasim(*words, f"target={{images: {tmp_path / 'photos'}}}")
    shutil.rmtree(tmp_path / "photos")
    again = metasim("train", "--resume", ended.run)
    assert (again.code, again.data) == (0, ended.data)
