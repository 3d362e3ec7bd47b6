from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import metasim
from metasim import yamlfile
from metasim.cli import main
from metasim.config import Experiment, RendererSpec, load_experiment
from metasim.errors import Interrupted, RenderError
from metasim.runs import RunDir
from metasim.starter import write_starter

Capture = pytest.CaptureFixture[str]
SUMMARY = {
    "run": "results/x/1",
    "converged": True,
    "renders": 12800,
    "seconds": 9.1,
    "discrepancy": 0.0004,
    "p_value": 0.31,
    "attributes": {
        "digit.yaw": {
            "unit": "deg",
            "periodic": True,
            "prior": {"mean": 0.0, "std": 10.0},
            "learned": {"mean": 90.4, "std": 3.1},
            "target": {"mean": 90.0, "std": 0.0},
            "w1": 2.2,
            "sensitivity": 0.8,
        }
    },
}


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """The folder that ``metasim init`` writes."""
    folder = tmp_path / "first try"
    write_starter(folder)
    return folder


class Runner(types.ModuleType):
    """Stands in for the composition root, so that no test here trains; notes its calls."""

    def __init__(self, act: Callable[[], dict[str, Any]]) -> None:
        super().__init__("metasim.experiment")
        self.act = act
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def _called(self, name: str, *args: Any, progress: Any = None, **kwargs: Any) -> dict[str, Any]:
        if progress is not None:
            progress.start("training", 10)
            progress.advance(5, loss=0.25)
            progress.finish()
        self.calls.append((name, args, kwargs))
        return self.act()

    def train(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("train", *args, **kwargs)

    def resume(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("resume", *args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("generate", *args, **kwargs)

    def report(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("report", *args, **kwargs)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    found = Runner(lambda: dict(SUMMARY))
    monkeypatch.setitem(sys.modules, "metasim.experiment", found)
    monkeypatch.setattr(metasim, "experiment", found, raising=False)
    return found


def raises(error: BaseException) -> Callable[[], dict[str, Any]]:
    def act() -> dict[str, Any]:
        raise error

    return act


# --- train ----------------------------------------------------------------------------------


def test_train_gives_the_experiment_with_its_settings(
    starter: Path, runner: Runner, capsys: Capture
) -> None:
    file = str(starter / "experiment.yaml")
    assert main(["train", file, "training.lr=1e-3", "seed=4", "--json"]) == 0
    ((name, (experiment,), _),) = runner.calls
    assert name == "train"
    assert isinstance(experiment, Experiment)
    assert (experiment.training.lr, experiment.seed) == (0.001, 4)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == SUMMARY
    assert captured.out.count("\n") == 1
    assert "training ..." in captured.err  # progress, but not on stdout


def test_train_tells_people_what_came_out(starter: Path, runner: Runner, capsys: Capture) -> None:
    assert main(["train", str(starter / "experiment.yaml")]) == 0
    told = capsys.readouterr().out
    assert "converged: 12800 renders, 9.1 s, discrepancy 0.0004, p = 0.31" in told
    assert "digit.yaw" in told
    assert "90.4 +- 3.1" in told
    assert "run: results/x/1" in told
    runner.act = lambda: {"run": "r", "converged": False, "attributes": {}}
    assert main(["train", str(starter / "experiment.yaml")]) == 0
    assert capsys.readouterr().out.splitlines() == ["did NOT converge", "run: r"]


def made_run(starter: Path, settings: tuple[str, ...] = ()) -> Path:
    experiment = load_experiment(starter / "experiment.yaml", settings)
    run = RunDir.create(starter / "runs", "x", 0)
    run.write_config(yamlfile.dump(experiment.resolved()))
    return run.path


def test_train_resumes_without_an_experiment(starter: Path, runner: Runner) -> None:
    run = made_run(starter)
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["train", "training.max_renders=9", "--resume", str(run)]) == 0
    assert [call[:2] for call in runner.calls] == [
        ("resume", (run, [])),
        ("resume", (run, ["training.max_renders=9"])),
    ]


def test_train_refuses_to_resume_under_other_settings(
    starter: Path, runner: Runner, capsys: Capture
) -> None:
    run = made_run(starter, ("seed=3",))
    file = str(starter / "experiment.yaml")
    assert main(["train", file, "--resume", str(run)]) == 2
    assert "other settings than the experiment has now: seed;" in capsys.readouterr().err
    assert runner.calls == []
    longer = ["seed=3", "training.max_renders=9", "output.dir=elsewhere"]
    assert main(["train", file, *longer, "--resume", str(run)]) == 0
    assert runner.calls[0][:2] == ("resume", (run, longer))


def test_an_interrupted_run_exits_with_130(starter: Path, runner: Runner, capsys: Capture) -> None:
    runner.act = raises(Interrupted("stopped; go on with: metasim train --resume r"))
    file = str(starter / "experiment.yaml")
    assert main(["train", file]) == 130
    assert capsys.readouterr().err.endswith("stopped; go on with: metasim train --resume r\n")
    runner.act = raises(KeyboardInterrupt())
    assert main(["train", file, "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted"}


def test_a_failure_of_a_run_exits_with_1(starter: Path, runner: Runner, capsys: Capture) -> None:
    runner.act = raises(RenderError("images must be uint8"))
    assert main(["train", str(starter / "experiment.yaml")]) == 1
    assert capsys.readouterr().err.endswith("error: images must be uint8\n")


def test_a_bug_is_one_line_and_keeps_its_traceback(
    starter: Path, runner: Runner, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METASIM_DEBUG", raising=False)
    runner.act = raises(ZeroDivisionError("oh"))
    file = str(starter / "experiment.yaml")
    assert main(["train", file]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("internal")]
    assert line.startswith("internal error: ZeroDivisionError: oh; traceback: ")
    log = Path(line.split("traceback: ")[1].split(" (or")[0])
    assert "Traceback (most recent call last)" in log.read_text()
    log.unlink()
    monkeypatch.setenv("METASIM_DEBUG", "1")
    assert main(["train", file]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_json_stays_alone_on_stdout_whatever_a_plugin_writes(
    starter: Path, runner: Runner, capfd: pytest.CaptureFixture[str]
) -> None:
    def noisy() -> dict[str, Any]:
        print("from python")
        os.write(1, b"from c\n")
        subprocess.run([sys.executable, "-c", "print('from a process')"], check=True)
        return {"run": "r", "value": float("nan")}

    runner.act = noisy
    assert main(["train", str(starter / "experiment.yaml"), "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"run": "r", "value": None}
    for where in ("python", "c", "a process"):
        assert f"from {where}" in captured.err
    print("afterwards")
    os.write(1, b"and beneath\n")
    assert {"afterwards", "and beneath"} <= set(capfd.readouterr().out.splitlines())


# --- mistakes -------------------------------------------------------------------------------


def test_every_mistake_is_listed_and_exits_with_2(starter: Path, capsys: Capture) -> None:
    file = starter / "experiment.yaml"
    file.write_text(file.read_text() + "nmae: x\ndevise: cpu\n")
    assert main(["validate", str(file), "training.lr=fast"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert "nmae: unknown key; did you mean 'name'?" in lines[0]
    assert "devise: unknown key; did you mean 'device'?" in lines[1]
    assert lines[2] == "command line: training.lr: must be a number, got 'fast'"
    assert lines[3] == "3 mistakes"
    assert main(["validate", str(file), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["mistakes"]
    assert [(m["key"], m["column"]) for m in found] == [("nmae", 1), ("devise", 1)]
    assert {m["file"] for m in found} == {str(file)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["trian"], "train"),
        (["train"], "name an EXPERIMENT.yaml, or --resume RUN_DIR"),
        (["train", "seed=3"], "name an EXPERIMENT.yaml"),
        (["train", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["train", "--resume", "nowhere", "--bogus"], "--bogus"),
        (["generate", "x"], "--count"),
        (["generate", "x", "--count", "0", "--out", "y"], "Invalid value for '--count'"),
        (["generate", "nowhere", "--count", "1", "--out", "y"], "it does not exist"),
        (["generate", "x", "coco", "--count", "1", "--out", "y"], "given with --format"),
        (["generate", "x", "a=1", "--count", "1", "--out", "y"], "give --renderer"),
        (["generate", "x", "--count", "1", "--out", "y", "--renderer", "mnits"], "'mnist'?"),
        (["validate"], "name an EXPERIMENT.yaml"),
        (["renderers", "check", "mnits"], "did you mean 'mnist'?"),
        (["renderers", "check", "mnist", "glyfs=x"], "did you mean 'glyphs'?"),
        (["grammar", "import", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_without_a_traceback(
    arguments: list[str], said: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


# --- the other commands ---------------------------------------------------------------------


def test_generate_passes_on_what_was_asked(
    starter: Path, runner: Runner, capsys: Capture, tmp_path: Path
) -> None:
    runner.act = lambda: {"images": 3}
    grammar, out = starter / "grammar.yaml", tmp_path / "data"
    start = ["generate", str(grammar), "--count", "3", "--out", str(out)]
    common = {"count": 3, "out": out, "seed": None, "renderer": None, "resume": False}
    assert main([*start, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": 3}
    assert runner.calls.pop() == ("generate", (grammar,), {**common, "formats": ("coco",)})
    assert main([*start, "--format", "coco", "yolo", "--format", "kitti,voc", "--seed", "7"]) == 0
    (_, _, given) = runner.calls.pop()
    assert set(given["formats"]) == {"coco", "yolo", "kitti", "voc"}
    assert given["seed"] == 7
    assert main([*start, "--renderer", "mnist", "image_size=[8, 8]", "--resume"]) == 0
    (_, _, given) = runner.calls.pop()
    assert given["renderer"] == RendererSpec(use="mnist", options={"image_size": [8, 8]})
    assert given["resume"] is True


def test_report_answers_whether_it_worked(runner: Runner, capsys: Capture, tmp_path: Path) -> None:
    assert main(["report", str(tmp_path)]) == 0
    assert runner.calls == [("report", (tmp_path,), {})]
    assert capsys.readouterr().out.startswith("converged")


def test_validate_says_what_will_be_learned(starter: Path, capsys: Capture) -> None:
    assert main(["validate", str(starter / "experiment.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is True
    assert found["learns"] == ["digit.yaw"]
    assert main(["validate", str(starter / "experiment.yaml")]) == 0
    assert capsys.readouterr().out.startswith("valid\n")


def test_validate_prints_the_schema(capsys: Capture) -> None:
    assert main(["validate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "metasim experiment"


def test_init_writes_a_valid_experiment_and_overwrites_nothing(
    tmp_path: Path, capsys: Capture
) -> None:
    starter = tmp_path / "first try"
    assert main(["init", str(starter)]) == 0
    assert str(starter / "experiment.yaml") in capsys.readouterr().out
    experiment = load_experiment(starter / "experiment.yaml")
    assert experiment.name == "first_try"
    assert experiment.output.dir == starter / "results"
    before = {path: path.read_text() for path in starter.iterdir()}
    assert {path.name for path in before} == {
        "experiment.yaml",
        "grammar.yaml",
        "target.yaml",
        "README.md",
    }
    assert main(["init", str(starter)]) == 2
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert {path: path.read_text() for path in starter.iterdir()} == before


def test_renderers_list_names_the_plugins_and_what_they_draw(capsys: Capture) -> None:
    assert main(["renderers", "list", "--json"]) == 0
    found = {r["name"]: r for r in json.loads(capsys.readouterr().out)["renderers"]}
    assert found["mnist"]["class"] == "metasim_mnist:MnistRenderer"
    assert "yaw" in found["mnist"]["kinds"]["digit"]
    assert main(["renderers", "list"]) == 0
    assert "mnist" in capsys.readouterr().out


BROKEN = """\
from metasim.render import Renderer
from metasim_mnist import MnistRenderer


class Broken(MnistRenderer):
    def render(self, scenes):
        self.drawn = getattr(self, "drawn", 0) + 1
        rendered = super().render(scenes)
        rendered.images[:] += self.drawn  # not the same picture twice
        return rendered
"""


def test_renderers_check_passes_the_good_and_fails_the_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["renderers", "check", "mnist", "image_size=[16, 16]", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True
    assert len(found["checks"]) >= 3
    (tmp_path / "broken_for_cli.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["renderers", "check", "broken_for_cli:Broken"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_grammar_import_writes_a_new_file_only(tmp_path: Path, capsys: Capture) -> None:
    source, out = tmp_path / "g.json", tmp_path / "g.yaml"
    digit = {"class": ["Random", [1, 2]], "attributes": {"yaw": ["Gaussian", 0, 10, 360]}}
    top = {"mutable": ["yaw"], "size": [32, 32], "directed": True}
    root = {"class": ["Deterministic", "Scene"], "attributes": top, "child": [digit]}
    source.write_text(json.dumps(root))
    assert main(["grammar", "import", str(source)]) == 0
    text = capsys.readouterr().out
    assert main(["grammar", "import", str(source), "--out", str(out), "--json"]) == 0
    assert out.read_text() == text
    found = json.loads(capsys.readouterr().out)
    assert found["grammar"] == str(out)
    assert any("directed" in note for note in found["notes"])
    assert main(["grammar", "import", str(source), "--out", str(out)]) == 2
    assert "must be a new file" in capsys.readouterr().err
    assert out.read_text() == text
    source.write_text('{"class": 3, "attributes": {"yaw": [1]}}')
    assert main(["grammar", "import", str(source)]) == 2
    told = capsys.readouterr().err
    assert "$.class: " in told
    assert "$.attributes.yaw: " in told


def test_doctor_answers_for_programs_and_people(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    assert "cpu" in json.loads(capsys.readouterr().out)["devices"]
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    for heading in ("packages", "extras", "problems"):
        assert f"\n{heading}\n" in told


# --- the program ----------------------------------------------------------------------------


def test_help_imports_nothing_that_takes_long() -> None:
    code = (
        "import sys; from metasim.cli import main; code = main(['--help'])\n"
        "slow = {'torch', 'numpy', 'pydantic', 'yaml', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("train", "generate", "report", "validate", "renderers", "doctor", "init"):
        assert command in done.stdout


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "metasim", "validate", "--schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    told = program.stderr.read()
    program.stderr.close()
    program.wait()
    assert told == b""
