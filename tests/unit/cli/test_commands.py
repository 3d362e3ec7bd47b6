"""The other commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.cli import main
from metasim.config import RendererSpec, load_experiment
from metasim.runs import RunDir

Capture = pytest.CaptureFixture[str]


def test_generate_passes_on_what_was_asked(
    starter: Path, runner: Any, capsys: Capture, tmp_path: Path
) -> None:
    runner.act = lambda: {"images": 3}
    grammar, out = starter / "grammar.yaml", tmp_path / "data"
    start = ["generate", str(grammar), "--count", "3", "--out", str(out)]
    nothing = {"seed": None, "renderer": None, "workers": None, "refined": False}
    common = {"count": 3, "out": out, "resume": False, **nothing}
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


def test_report_answers_whether_it_worked(runner: Any, capsys: Capture, tmp_path: Path) -> None:
    assert main(["report", str(tmp_path)]) == 0
    assert runner.calls == [("report", (tmp_path,), {})]
    assert capsys.readouterr().out.startswith("converged")


def test_report_of_a_run_that_has_not_ended_says_so(capsys: Capture, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "toy", 0)
    run.write_config("name: toy\n")
    assert main(["report", str(run.path)]) == 0
    assert capsys.readouterr().out.startswith("Not finished yet\n")
    run.append_metrics({"step": 10, "epoch": 1, "renders": 1280, "seconds": 2.5, "p_value": 0.01})
    assert main(["report", str(run.path)]) == 0
    assert capsys.readouterr().out.startswith("Not finished yet: 1280 renders, 2.5 s, p = 0.01\n")


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


SEEDS = """\
import sys
import numpy
from metasim.testing import AnalyticRenderer

numpy.random.seed(0)
sys.path.insert(0, "/leak")


class Seeds(AnalyticRenderer):
    pass
"""


def test_renderers_check_finds_what_importing_the_renderer_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "seeds_for_cli.py").write_text(SEEDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    state = np.random.get_state()
    try:
        assert main(["renderers", "check", "seeds_for_cli:Seeds", "--json"]) == 1
    finally:
        np.random.set_state(state)
    checks = json.loads(capsys.readouterr().out)["checks"]
    (failed,) = [check for check in checks if not check["passed"]]
    assert failed["name"] == "no_global_state"
    assert "numpy's global random state, sys.path;" in failed["message"]
    # Once it is imported nothing can be told of that.
    assert main(["renderers", "check", "seeds_for_cli:Seeds"]) == 0


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


@pytest.mark.parametrize("name", ["2024", "true", "null", "1e3", "x" * 150])
def test_init_takes_a_folder_of_any_name(tmp_path: Path, capsys: Capture, name: str) -> None:
    assert main(["init", str(tmp_path / name)]) == 0
    assert main(["validate", str(tmp_path / name / "experiment.yaml")]) == 0
