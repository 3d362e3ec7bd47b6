"""A run goes on as it began, or not at all; a stand-in trains, all else is real."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from metasim import experiment
from metasim.config import Experiment, load_experiment
from metasim.errors import RunError
from metasim.progress import Silent
from metasim.provenance import digest
from metasim.resumption import renderer_code
from metasim.runs import RunDir

ROTATED = Path(__file__).parents[2] / "assets" / "grammars" / "mnist_rot.yaml"
BLOBS = "metasim.testing:AnalyticRenderer"


class Session:
    """Trains nothing; notes which settings it was given."""

    seen: list[Any]

    def __init__(self, wanted: Any, run: RunDir, *_: Any, **__: Any) -> None:
        self.seen.append(wanted)

    def carry_out(self) -> dict[str, Any]:
        return {"converged": False}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The experiments that were carried out."""
    monkeypatch.setattr(Session, "seen", [], raising=False)
    monkeypatch.setattr(experiment, "Session", Session)
    monkeypatch.setattr(experiment, "write_report", lambda run: None)
    return Session.seen


@pytest.fixture
def run(blobs: Callable[..., Experiment], seen: list[Any]) -> RunDir:
    """A run that was begun and has not ended."""
    made = experiment.train(blobs(), progress=Silent())
    seen.clear()
    return RunDir.open(Path(made["run"]))


def files(run: RunDir) -> dict[Path, bytes]:
    found = (path for path in run.path.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in found}


def go_on(run: RunDir, *settings: str, other_code: bool = False) -> None:
    experiment.resume(run.path, settings, other_code=other_code, progress=Silent())


def refused(run: RunDir, *settings: str, other_code: bool = False) -> str:
    """What was said when the run could not go on; nothing may have been touched."""
    before = files(run)
    with pytest.raises(RunError) as caught:
        go_on(run, *settings, other_code=other_code)
    assert files(run) == before
    assert Session.seen == []
    return str(caught.value)


def rewrite(run: RunDir, **other: Any) -> dict[str, Any]:
    """Have the provenance tell of other code."""
    run.write_provenance({**run.read_provenance(), **other})
    return run.read_provenance()


def test_a_run_as_it_was_begun_goes_on_and_nothing_is_noted(run: RunDir, seen: list[Any]) -> None:
    before = files(run)
    go_on(run)
    go_on(run, "training.images_every=1")
    assert [wanted.training.images_every for wanted in seen] == [5, 1]
    assert files(run) == before


def test_settings_that_matter_must_stay(run: RunDir) -> None:
    assert "seed, training.lr would change" in refused(run, "training.lr=0.5", "seed=4")


def test_the_digest_of_the_configuration_is_kept(run: RunDir) -> None:
    assert run.read_provenance()["config"] == digest(run.config_path.read_bytes())


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("seed: 0", "seed: 1"),
        lambda text: text + "# a remark\n",
        lambda text: text + "nonsense: [\n",
        lambda text: "",
    ],
    ids=["another value", "a remark", "no YAML any more", "emptied"],
)
def test_an_edited_configuration_is_refused(run: RunDir, edit: Callable[[str], str]) -> None:
    was = run.config_path.read_text()
    run.config_path.write_text(edit(was))
    for other_code in (False, True):
        told = refused(run, other_code=other_code)
        assert "undo the edit" in told
        assert f"start a new run from it: metasim train {run.config_path}" in told
    run.config_path.write_text(was)
    go_on(run)


def test_an_edited_configuration_begins_a_new_run(run: RunDir, seen: list[Any]) -> None:
    edited = run.config_path.read_text().replace("batch_size: 128", "batch_size: 64")
    run.config_path.write_text(edited)
    experiment.train(load_experiment(run.config_path), progress=Silent())
    assert [wanted.training.batch_size for wanted in seen] == [64]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"packages": {"metasim": "9.1"}}, "made with metasim 9.1, this is "),
        ({"packages": {"torch": "1.0"}}, "made with torch 1.0, this is "),
        ({"code": "0" * 64}, "files of metasim differ"),
        (
            {"renderers": {BLOBS: {"code": "0" * 64}}},
            f"files of the renderer '{BLOBS}' differ from the run's",
        ),
    ],
)
def test_other_code_is_refused_or_noted(
    run: RunDir, seen: list[Any], other: dict[str, Any], said: str
) -> None:
    made = rewrite(run, git=None, **other)
    run.drawn_dir.mkdir()
    (run.drawn_dir / f"{'0' * 32}-4.npz").touch()
    told = refused(run)
    assert said in told
    assert f"metasim train --resume {run.path} --other-code" in told
    go_on(run, other_code=True)
    assert len(seen) == 1
    noted = run.read_provenance()
    (entry,) = noted.pop("continued")
    assert noted == made, "what the run began with stays as it was"
    assert not run.drawn_dir.exists(), "other code may draw the same scenes differently"
    assert {"time", "command", "packages", "git", "code"} <= entry.keys()
    go_on(run)  # by now this code wrote it last
    assert run.read_provenance()["continued"] == [entry]


def test_a_renderer_beside_the_experiment_that_was_edited_is_refused(
    blobs: Callable[..., Experiment], seen: list[Any], tmp_path: Path
) -> None:
    for name in ("learners", "targets"):
        (tmp_path / f"metasim_{name}.py").write_text(
            "from metasim.testing import AnalyticRenderer\n\n\n"
            f"class {name.title()}(AnalyticRenderer): ...\n"
        )
    target = {"grammar": "blobs.yaml", "renderer": {"use": "metasim_targets:Targets"}}
    wanted = blobs(renderer={"use": "metasim_learners:Learners"}, target=target)
    run = RunDir.open(Path(experiment.train(wanted, progress=Silent())["run"]))
    seen.clear()
    go_on(run)
    seen.clear()
    for name in ("learners", "targets"):
        file = tmp_path / f"metasim_{name}.py"
        file.write_text(file.read_text() + "# other pixels\n")
        assert f"the renderer 'metasim_{name}:{name.title()}' differ" in refused(run)
        go_on(run, other_code=True)
        seen.clear()


def test_files_of_a_renderer_that_were_changed_are_refused_or_noted(
    blobs: Callable[..., Experiment], seen: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "metasim_drawn_from_files.py").write_text(
        "from metasim.testing import AnalyticRenderer\n\n\n"
        "class Blobs(AnalyticRenderer):\n"
        "    def __init__(self, shapes='', image_size=(16, 16)):\n"
        "        super().__init__(image_size)\n"
    )
    for name in ("learners", "targets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shape").write_text("round")
    use = "metasim_drawn_from_files:Blobs"
    target = {"grammar": "blobs.yaml", "renderer": {"options": {"shapes": "./targets"}}}
    wanted = blobs(renderer={"use": use, "options": {"shapes": "./learners"}}, target=target)
    run = RunDir.open(Path(experiment.train(wanted, progress=Silent())["run"]))
    seen.clear()
    go_on(run)
    seen.clear()
    for name, setting in (("learners", "renderer"), ("targets", "target.renderer")):
        (tmp_path / name / "shape").write_text("square")
        assert f"but what {setting}.options.shapes names holds other files" in refused(run)
        go_on(run, other_code=True)
        seen.clear()
    go_on(run)
    assert len(run.read_provenance()["continued"]) == 2


def test_an_installed_renderer_is_known_by_its_distribution(
    blobs: Callable[..., Experiment],
) -> None:
    wanted = blobs(
        renderer={"use": "mnist"}, grammar=str(ROTATED), target={"grammar": str(ROTATED)}
    )
    (about,) = renderer_code(wanted).values()
    assert about["installed"] == f"metasim {version('metasim')}"
    assert len(about["code"]) == 64


def test_another_commit_is_refused_where_the_files_are_not_known(run: RunDir) -> None:
    here = run.read_provenance()["git"]
    if here is None:
        pytest.skip("this is no checkout")
    rewrite(run, git={"commit": "f" * 40, "changed": False})
    go_on(run)  # the files are the same, and it is them that decide
    Session.seen.clear()
    rewrite(run, git={"commit": "f" * 40, "changed": False}, code=None)
    assert f"made at commit {'f' * 40}, this is {here['commit']}" in refused(run)
    go_on(run, other_code=True)


def test_other_code_is_added_to_what_was_noted(run: RunDir) -> None:
    earlier = {"code": "1" * 64}
    rewrite(run, git=None, code="0" * 64, continued=[earlier])
    go_on(run, other_code=True)
    assert run.read_provenance()["continued"][0] == earlier
    assert len(run.read_provenance()["continued"]) == 2


def test_the_leave_alone_notes_nothing(run: RunDir) -> None:
    before = files(run)
    go_on(run, other_code=True)
    assert files(run) == before


def test_a_run_that_has_ended_is_reported_whatever_the_code(run: RunDir, seen: list[Any]) -> None:
    rewrite(run, git=None, code="0" * 64)
    run.write_summary({"converged": True})
    before = files(run)
    go_on(run)
    assert seen == []
    assert files(run) == before


def test_a_run_that_noted_neither_goes_on(run: RunDir, seen: list[Any]) -> None:
    kept = {k: v for k, v in run.read_provenance().items() if k not in ("config", "code", "git")}
    (run.path / "provenance.json").write_text(json.dumps(kept))
    go_on(run)
    assert len(seen) == 1
