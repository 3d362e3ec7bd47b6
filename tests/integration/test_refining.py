"""A run that refines: learned, trained, judged, stopped and gone on with, and a dataset of it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from metasim import experiment
from metasim.config import load_experiment
from metasim.data import read_dataset
from metasim.errors import Interrupted
from metasim.progress import Silent
from metasim.refine.refiner import read_refiner
from metasim.runs import RunDir

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]
SMALL = {  # little more than a warm-up, after which images are nearly as they were
    "method": "simgan",
    "steps": 4,
    "batch_size": 8,
    "width": 8,
    "blocks": 1,
    "refiner_warmup": 120,
    "discriminator_warmup": 2,
    "learning_rate": 2e-3,
    "renders": 60,
    "judged": 40,
}


def digits(folder: Path, **settings: Any) -> Path:
    """An experiment of digits whose target looks otherwise, and says little otherwise."""
    written = {
        "grammar": str(ROOT / "assets/grammars/mnist_rot.yaml"),
        "renderer": {"use": "mnist", "options": {"image_size": [32, 32], "split": "source"}},
        "target": {
            "grammar": str(ROOT / "assets/grammars/mnist_rot.yaml"),
            "count": 80,
            "renderer": {"use": "metasim_mnist.gap:GapRenderer", "options": {"split": "target"}},
        },
        "editor": {"use": "prior"},
        "features": {"use": "pixels"},
        "training": {"warm_start": False, "restarts": 0},
        "refine": SMALL,
        "output": {"dir": "results"},
    } | settings
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(written))
    return file


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has refined; not to be changed."""
    wanted = load_experiment(digits(tmp_path_factory.mktemp("refined")))
    return Path(experiment.train(wanted, progress=Silent())["run"])


def test_the_summary_tells_of_the_refinement(refined: Path) -> None:
    summary = json.loads((refined / "summary.json").read_text())
    about = summary["refine"]
    assert (about["method"], about["steps"], about["renders"]) == ("simgan", 126, 60)
    assert {"fid", "fid_unrefined", "kid", "mmd", "ssim", "gate", "accuracy"} <= about.keys()
    assert {*about["accuracy"]} - {"ungated"} == {"source_only", "refined", "target"}
    assert not summary["judged"]  # nothing was to be learned
    assert "no scene parameter was to be learned" in summary["reason"]
    for attribute in summary["attributes"].values():
        assert attribute["learned"] == pytest.approx(attribute["prior"], rel=0.5, abs=3)


def test_a_refiner_that_spoils_all_images_is_told_as_a_problem(tmp_path: Path) -> None:
    untrained = {"method": "cut", "steps": 1, "batch_size": 2, "width": 4, "blocks": 1}
    wanted = load_experiment(digits(tmp_path, refine=untrained | {"renders": 60, "judged": 40}))
    about = experiment.train(wanted, progress=Silent())["refine"]
    assert about["gate"]["rate"] < 0.1
    passed = 40 - about["gate"]["rejected"]
    assert [line for line in about["problems"] if f"only {passed} of 40 refined images" in line]
    assert about["accuracy"]["ungated"] is not None


def test_a_refiner_that_keeps_labels_is_no_problem(refined: Path) -> None:
    about = json.loads((refined / "summary.json").read_text())["refine"]
    assert about["gate"]["rate"] > 0.5
    assert not [line for line in about["problems"] if "pass the gate" in line]


def test_what_it_leaves_is_where_it_is_said_to_be(refined: Path) -> None:
    assert read_refiner(refined / "refine" / "refiner.pt").form.size == (32, 32)
    assert [*(refined / "refine" / "checkpoints").glob("step-*.pt")]
    assert (refined / "progress" / "refinement.png").is_file()
    assert not (refined / "refine" / "drawn").exists()
    page = (refined / "report.html").read_text()
    assert "<h2>Refinement</h2>" in page
    assert "--refined" in page


def test_a_refined_dataset_has_the_scenes_and_labels_of_the_gate(
    metasim: Command, refined: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dataset"
    answer = metasim("generate", refined, "--count", "6", "--out", out, "--refined")
    assert answer.code == 0, answer
    assert ("rejected" in answer.data) == (refined / "refine" / "gate.json").is_file()
    found = read_dataset(out)
    images = found.images()
    plain = tmp_path / "plain"
    assert metasim("generate", refined, "--count", "6", "--out", plain).code == 0
    assert not np.array_equal(images, read_dataset(plain).images())
    assert found.manifest["refiner"]
    again = tmp_path / "again"
    assert metasim("generate", refined, "--count", "3", "--out", again, "--refined").code == 0
    for one in sorted((again / "images").iterdir()):
        same = out / "images" / one.name
        assert np.array_equal(np.asarray(Image.open(one)), np.asarray(Image.open(same)))


def test_workers_draw_the_same_refined_dataset(
    metasim: Command, refined: Path, tmp_path: Path
) -> None:
    # More than two batches, so that one is drawn while another is written.
    asked = ("generate", refined, "--count", "150", "--refined")
    assert metasim(*asked, "--out", tmp_path / "here").code == 0
    assert metasim(*asked, "--out", tmp_path / "there", "--workers", "{count: 2}").code == 0
    here, there = (read_dataset(tmp_path / name) for name in ("here", "there"))
    assert np.array_equal(here.images(), there.images())
    labels = [(tmp_path / name / "labels.jsonl").read_bytes() for name in ("here", "there")]
    assert labels[0] == labels[1]


def test_a_run_that_did_not_refine_says_so(metasim: Command, tmp_path: Path, refined: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(refined, copy)
    (copy / "refine" / "refiner.pt").unlink()
    answer = metasim("generate", copy, "--count", "2", "--out", tmp_path / "out", "--refined")
    assert answer.code == 2
    assert "has made no refiner" in answer.err
    grammar = ROOT / "assets/grammars/mnist_rot.yaml"
    answer = metasim(
        "generate", grammar, "--renderer", "mnist", "--count", "2", "--out", tmp_path / "o",
        "--refined",
    )  # fmt: skip
    assert answer.code == 2
    assert "is a grammar, and --refined needs a run" in answer.err


@pytest.mark.slow
def test_rounds_learn_from_refined_images(metasim: Command, tmp_path: Path) -> None:
    settings = {
        "editor": {"use": "parametric", "warmup_steps": 20},
        "training": {"max_renders": 600, "restarts": 0, "batch_size": 32, "warm_start": False}
        | {"images_every": 1},  # pictures and figures on the way, in each round
        "gradient": {"use": "score_function"},
        "refine": SMALL | {"rounds": 2, "steps": 10},
    }
    answer = metasim("train", digits(tmp_path, **settings))
    assert answer.code == 0, answer
    run = RunDir(Path(answer.data["run"]))
    assert len(answer.data["rounds"]) == 1
    first, last = (read_refiner(r.refiner_path) for r in (run.earlier(1), run))
    scene_images = np.zeros((1, 32, 32, 3), np.uint8)
    assert first.refine(scene_images).shape == last.refine(scene_images).shape
    assert (run.earlier(1).path / "summary.json").is_file()
    # What the second round learned from was refined: its first images differ from the first's.
    grids = [r.grids()["first"].read_bytes() for r in (run.earlier(1), run)]
    assert grids[0] != grids[1]
    # A round before the last can be looked at, and is no run of its own.
    assert run.earlier(1).report_path.is_file()
    one = run.earlier(1).path
    assert metasim("report", one).code == 0
    for refused in (
        ("train", "--resume", one),
        ("generate", one, "--count", "2", "--out", tmp_path / "d"),
    ):
        answer = metasim(*refused)
        assert answer.code == 2
        assert f"one round of the run {run.path}" in answer.err


class Impatient(Silent):
    """Asks the process to stop once refining has begun."""

    def start(self, stage: str, total: int | None) -> None:
        if stage == "refining":
            signal.raise_signal(signal.SIGINT)


def test_a_refinement_that_was_stopped_goes_on_to_the_same_refiner(
    refined: Path, tmp_path: Path
) -> None:
    wanted = load_experiment(digits(tmp_path))
    with pytest.raises(Interrupted, match=r"stopped after step 1 of 126 of the refinement") as told:
        experiment.train(wanted, progress=Impatient())
    assert told.value.run is not None
    assert f"metasim train --resume {told.value.run}" in str(told.value)
    answer = experiment.resume(told.value.run, progress=Silent())
    one, other = (
        read_refiner(path / "refine" / "refiner.pt").state_dict()["networks"]
        for path in (refined, told.value.run)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    whole = json.loads((refined / "summary.json").read_text())["refine"]
    for key in ("gate", "fid", "kid", "mmd", "ssim", "accuracy", "losses"):
        assert answer["refine"][key] == whole[key], key


def test_refine_leaves_the_scenes_to_the_prior(metasim: Command, tmp_path: Path) -> None:
    file = digits(tmp_path, editor={"use": "gcn"})
    answer = metasim("refine", file, "refine.refiner_warmup=5")
    assert answer.code == 0, answer.err
    run = RunDir(Path(answer.data["run"]))
    assert yaml.safe_load(run.read_config())["editor"] == {"use": "prior"}
    assert run.refiner_path.is_file()
    none = metasim("refine", ROOT / "experiments" / "smoke.yaml")
    assert none.code == 2
    assert "has no refine:" in none.err


def test_pairs_are_drawn_of_the_target_s_scenes(metasim: Command, tmp_path: Path) -> None:
    small = {"method": "spade", "steps": 5, "batch_size": 2, "width": 2, "hidden": 4}
    settings = {**small, "layers": 2, "renders": 20, "judged": 16}
    answer = metasim("train", digits(tmp_path, refine=settings))
    assert answer.code == 0, answer.err
    made = read_refiner(RunDir(Path(answer.data["run"])).refiner_path)
    assert made.form.condition == ("classes", "edges")
    assert made.form.classes == tuple("0123456789")


def test_a_folder_of_target_images_has_no_pairs(metasim: Command, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "a.png")
    file = digits(tmp_path, refine={"method": "pix2pix"}, target={"images": "images"})
    answer = metasim("train", file)
    assert answer.code == 2
    assert "refine.method: 'pix2pix' learns from pairs" in answer.err
