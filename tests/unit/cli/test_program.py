"""What all commands share: mistakes, bugs, exit codes, what goes to stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metasim.cli import main

Capture = pytest.CaptureFixture[str]


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


def test_a_bug_is_one_line_and_keeps_its_traceback(
    starter: Path, runner: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METASIM_DEBUG", raising=False)
    runner.fail(ZeroDivisionError("oh"))
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
    starter: Path, runner: Any, capfd: pytest.CaptureFixture[str]
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


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("as_json", [False, True])
def test_half_a_character_is_told_like_any_other(
    tmp_path: Path, encoding: str, as_json: bool
) -> None:
    """A key of a JSON file may hold it, and so may the name of a file."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "metasim", *map(str, words), *["--json"][:as_json]],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )

    (tmp_path / "keys.json").write_text('{"a\\ud800": 1}')
    wrong = run("grammar", "import", tmp_path / "keys.json")
    assert wrong.returncode == 2
    assert "$.a\\ud800: unknown key" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    made = run("init", tmp_path / "folder\udcff")
    assert made.returncode == 0
    if as_json:
        assert json.loads(wrong.stdout)["mistakes"][0]["key"] == "$.a\ud800"
        assert json.loads(made.stdout)["files"][0] == f"{tmp_path}/folder\udcff/experiment.yaml"
    else:
        assert wrong.stdout == ""
        assert f"{tmp_path}/folder\\udcff/experiment.yaml" in made.stdout


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
