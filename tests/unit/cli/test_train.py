"""``metasim train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metasim import yamlfile
from metasim.cli import main
from metasim.config import Experiment, load_experiment
from metasim.errors import DataError, Interrupted, RenderError
from metasim.provenance import digest
from metasim.runs import RunDir

Capture = pytest.CaptureFixture[str]


def test_train_gives_the_experiment_with_its_settings(
    starter: Path, runner: Any, capsys: Capture
) -> None:
    file = str(starter / "experiment.yaml")
    assert main(["train", file, "training.lr=1e-3", "seed=4", "--json"]) == 0
    ((name, (experiment,), _),) = runner.calls
    assert name == "train"
    assert isinstance(experiment, Experiment)
    assert (experiment.training.lr, experiment.seed) == (0.001, 4)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == runner.summary
    assert captured.out.count("\n") == 1
    assert "training ..." in captured.err  # progress, but not on stdout


def test_train_tells_people_what_came_out(starter: Path, runner: Any, capsys: Capture) -> None:
    assert main(["train", str(starter / "experiment.yaml")]) == 0
    told = capsys.readouterr().out
    assert "converged: 12800 renders, 9.1 s, discrepancy 0.0004, p = 0.31" in told
    assert "digit.yaw" in told
    assert "90.4 +- 3.1" in told
    assert "run: results/x/1" in told
    runner.act = lambda: {"run": "r", "converged": False, "reason": "why", "attributes": {}}
    assert main(["train", str(starter / "experiment.yaml")]) == 0
    assert capsys.readouterr().out.splitlines() == ["did NOT converge", "why", "run: r"]


@pytest.mark.parametrize("start", ["renderer", "target.renderer"])
def test_what_a_renderer_says_of_its_options_is_told_where_they_were_written(
    starter: Path, runner: Any, capsys: Capture, start: str
) -> None:
    file = starter / "experiment.yaml"
    written = [
        number
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.strip().startswith("options:")
    ]
    error = DataError("no such lamp")
    error.place, error.run = (*start.split("."), "options"), Path("runs/1")
    runner.fail(error)
    assert main(["train", str(file), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    line = written[start != "renderer"]
    assert told["error"].startswith(f"{file}:{line}:")
    assert told["error"].endswith(f": {start}.options: no such lamp")
    assert told["run"] == "runs/1"
    error.args = ("no such lamp",)
    assert main(["train", str(file), f"{start}.options={{split: source}}"]) == 2
    assert f"error: command line: {start}.options: no such lamp\n" in capsys.readouterr().err


def test_a_renderer_that_cannot_be_built_is_told_before_there_is_a_run(
    starter: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "empty").mkdir()
    glyphs = f"renderer.options.glyphs={tmp_path / 'empty'}"
    assert (
        main(
            [
                "train",
                str(starter / "experiment.yaml"),
                glyphs,
                "target.renderer.options.glyphs=digits",
            ]
        )
        == 2
    )
    told = capsys.readouterr().err
    assert f"{starter / 'experiment.yaml'}:" in told
    assert ": renderer.options: " in told
    assert "must hold IDX files" in told


def made_run(starter: Path, settings: tuple[str, ...] = ()) -> Path:
    experiment = load_experiment(starter / "experiment.yaml", settings)
    run = RunDir.create(starter / "runs", "x", 0)
    config = yamlfile.dump(experiment.resolved())
    run.write_provenance({"config": digest(config.encode())})
    run.write_config(config)
    return run.path


def test_train_resumes_without_an_experiment(starter: Path, runner: Any) -> None:
    run = made_run(starter)
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["train", "training.max_renders=9", "--resume", str(run)]) == 0
    assert [call[:2] for call in runner.calls] == [
        ("resume", (run, [])),
        ("resume", (run, ["training.max_renders=9"])),
    ]


def test_train_refuses_to_resume_under_other_settings(
    starter: Path, runner: Any, capsys: Capture
) -> None:
    run = made_run(starter, ("seed=3",))
    file = str(starter / "experiment.yaml")
    assert main(["train", file, "--resume", str(run)]) == 2
    assert "other settings than the experiment has now: seed;" in capsys.readouterr().err
    assert runner.calls == []
    longer = ["seed=3", "training.max_renders=9", "output.dir=elsewhere"]
    assert main(["train", file, *longer, "--resume", str(run)]) == 0
    assert runner.calls[0][:2] == ("resume", (run, longer))
    (run / "config.yaml").write_text("nonsense: [")
    assert main(["train", file, "--resume", str(run)]) == 2
    assert "was edited; undo the edit" in capsys.readouterr().err


def test_other_code_is_for_a_run_that_goes_on(starter: Path, runner: Any, capsys: Capture) -> None:
    run = made_run(starter)
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["train", "--resume", str(run), "--other-code"]) == 0
    assert [call[2]["other_code"] for call in runner.calls] == [False, True]
    assert main(["train", str(starter / "experiment.yaml"), "--other-code"]) == 2
    assert "give --resume RUN_DIR" in capsys.readouterr().err
    assert len(runner.calls) == 2


def test_an_interrupted_run_exits_with_130(starter: Path, runner: Any, capsys: Capture) -> None:
    runner.fail(Interrupted("stopped; go on with: metasim train --resume r"))
    file = str(starter / "experiment.yaml")
    assert main(["train", file]) == 130
    assert capsys.readouterr().err.endswith("stopped; go on with: metasim train --resume r\n")
    runner.fail(KeyboardInterrupt())
    assert main(["train", file, "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted"}


def test_a_failure_of_a_run_exits_with_1(starter: Path, runner: Any, capsys: Capture) -> None:
    runner.fail(RenderError("images must be uint8"))
    assert main(["train", str(starter / "experiment.yaml")]) == 1
    assert capsys.readouterr().err.endswith("error: images must be uint8\n")
