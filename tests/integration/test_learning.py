"""Learning learns: from the first scene to the summary, and with whatever a grammar may hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metasim.config import load_experiment
from metasim.learn.options import PriorEditor, SimulatorFeatures
from metasim.refine.options import Refine
from metasim.testing import AnalyticRenderer

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "experiments").rglob("*.yaml"))
ESTIMATORS = ("pathwise", "finite_difference", "spsa", "score_function", "surrogate")


def blobs(folder: Path, **target: float) -> Path:
    """An experiment of blobs in ``folder``, whose target has other means."""
    prior = copy.deepcopy(AnalyticRenderer.example)
    assert prior is not None
    wanted = copy.deepcopy(prior)
    (blob,) = wanted["root"]["children"]
    for name, mean in target.items():
        blob["attributes"][name]["prior"]["normal"]["mean"] = mean
    (folder / "prior.yaml").write_text(yaml.safe_dump(prior))
    (folder / "target.yaml").write_text(yaml.safe_dump(wanted))
    experiment = {
        "grammar": "prior.yaml",
        "renderer": {"use": "metasim.testing:AnalyticRenderer"},
        "target": {"grammar": "target.yaml", "count": 120},
        "features": {"use": "pixels"},
        "training": {"batch_size": 32, "restarts": 0, "warm_start": False, "images_every": 1000},
        "output": {"dir": "results"},
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment))
    return file


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_gradient_brings_the_scenes_to_the_target(
    metasim: Command, tmp_path: Path, estimator: str
) -> None:
    """A sign that is wrong, or lost on its way to the optimiser, would lead away."""
    file = blobs(tmp_path, x=5, y=10.5)
    renders = {"finite_difference": 9600, "spsa": 6400}.get(estimator, 3200)
    settings = ("editor.use=parametric", "training.lr=0.02", f"training.max_renders={renders}")
    answer = metasim("train", file, f"gradient.use={estimator}", *settings)
    assert answer.code == 0
    for name, away in (("blob.x", 3.0), ("blob.y", 2.5)):
        found = answer.data["attributes"][name]
        assert abs(found["prior"]["mean"] - found["target"]["mean"]) == pytest.approx(away, abs=0.8)
        assert found["mean_error"] < 0.3 * away


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("weight", [0, 1])
def test_a_node_that_is_seldom_or_never_there(
    metasim: Command, tmp_path: Path, estimator: str, weight: int
) -> None:
    file = blobs(tmp_path)
    for name in ("prior.yaml", "target.yaml"):
        grammar = yaml.safe_load((tmp_path / name).read_text())
        rare = copy.deepcopy(grammar["root"]["children"][0])
        rare["name"] = "rare"
        rare["count"] = {"choice": {"values": [0, 1], "weights": [199, weight]}}
        grammar["root"]["children"] = [rare]
        fixed = copy.deepcopy(rare) | {"name": "blob", "count": 1}
        for key, attribute in fixed["attributes"].items():
            # Where nothing could be learned at all, that would be refused.
            attribute["mutable"] = not weight and key == "x"
        grammar["root"]["children"].append(fixed)
        (tmp_path / name).write_text(yaml.safe_dump(grammar))
    settings = ("training.max_renders=256", "editor.warmup_steps=5", "editor.fit_steps=5")
    settings += ("training.epoch_steps=2", "training.images_every=1")
    words = (*settings, "training.warm_start=true", "editor.head={use: mixture, components: 2}")
    answer = metasim("train", file, f"gradient.use={estimator}", *words)
    assert answer.code == 0
    rare = ["rare.x", "rare.y", "rare.yaw"]
    assert set(answer.data["attributes"]) == {*rare, *([] if weight else ["blob.x"])}
    if not weight:
        assert answer.data["unidentifiable"] == rare


def _marked(file: Path) -> Any:
    """A case for pytest, with what it needs."""
    marks = [pytest.mark.blender] if file.stem.startswith("tabletop_") else []
    return pytest.param(file, id=file.stem, marks=marks)


@pytest.mark.parametrize("file", [*map(_marked, SHIPPED)])
def test_every_experiment_that_ships_runs_from_end_to_end(
    metasim: Command, tmp_path: Path, file: Path
) -> None:
    settings = ["target.count=60", "training.max_renders=300", "training.images_every=1000"]
    settings += ["training.batch_size=25", f"output.dir={tmp_path}"]
    experiment = load_experiment(file)
    if not isinstance(experiment.editor, PriorEditor):
        settings += ["editor.warmup_steps=3", "editor.fit_steps=3"]
    if any(isinstance(features, SimulatorFeatures) for features in experiment.features):
        settings += ["features.renders=150", "features.refine_renders=50", "features.epochs=1"]
        settings += ["features.max_error=1"]
    if experiment.renderer.use == "blender":  # which is slow
        settings += ["target.count=32", "training.max_renders=75", "features.renders=100"]
        settings += ["training.warm_start=false", "target.renderer.options.samples=1"]
        settings += ["renderer.options={image_size: [32, 32], samples: 1}"]
        settings += ["target.renderer.options.image_size=[32, 32]"]
    if experiment.task is not None:
        settings += ["task.count=40", "task.groups=2"]
    settings += _little(experiment.refine)
    answer = metasim("train", file, *settings)
    assert answer.code == 0
    assert answer.data["attributes"]
    assert ("refine" in answer.data) == (experiment.refine is not None)
    assert ("task_accuracy" in answer.data) == (experiment.task is not None)


def _little(refine: Refine | None) -> list[str]:
    """Settings with which a refinement is done in a moment."""
    if refine is None:
        return []
    few = {"renders": 16, "judged": 16, "steps": 2, "batch_size": 2, "iterations": 1, "width": 4}
    few |= {"discriminator_width": 4, "refiner_warmup": 1, "discriminator_warmup": 1}
    known = type(refine).model_fields
    return [f"refine.{name}={value}" for name, value in few.items() if name in known]


INVERTED = """\
from dataclasses import replace

from metasim.testing import AnalyticRenderer


class Inverted(AnalyticRenderer):
    def render(self, scenes):
        drawn = super().render(scenes)
        return replace(drawn, images=220 - drawn.images // 2)
"""


def test_randomised_looks_bridge_a_gap_in_the_looks(metasim: Command, tmp_path: Path) -> None:
    """The target is inverted and pale; the learner never sees such a picture of its own."""
    file = blobs(tmp_path, x=5, y=10.5)
    (tmp_path / "inverted_blobs.py").write_text(INVERTED)
    features = "use: simulator, renders: 3000, epochs: 8, refine: 0, max_error: 1"
    off = {}
    for randomised in ("true", "false"):
        answer = metasim(
            "train",
            file,
            "target.renderer.use=inverted_blobs:Inverted",
            f"features={{{features}, randomise_appearance: {randomised}}}",
            "training.warm_start=true",
            "training.max_renders=1600",
        )
        assert answer.code == 0
        found = answer.data["attributes"]
        off[randomised] = max(found[name]["mean_error"] for name in ("blob.x", "blob.y"))
    assert off["true"] < 1.6  # of 3
    assert off["false"] > 2 * off["true"]


CHOICES = {
    "mmd_rff": "discrepancy.use=mmd_rff",
    "energy": "discrepancy.use=energy",
    "sliced_wasserstein": "discrepancy.use=sliced_wasserstein",
    "coral": "discrepancy.use=coral",
    "jmmd": "discrepancy.use=jmmd",
    "random_conv": "features.use=random_conv",
    "joined": "features=[{use: pixels}, {use: random_conv}]",
    "mixture": "editor={use: gcn, head: {use: mixture}}",
    "deterministic": "editor={use: parametric, head: {use: deterministic}}",
    "frozen": "editor={use: gcn, freeze_encoder: true}",
}


@pytest.mark.parametrize("choice", CHOICES)
def test_whatever_is_chosen_brings_the_scenes_to_the_target(
    metasim: Command, tmp_path: Path, choice: str
) -> None:
    file = blobs(tmp_path, x=5, y=10.5)
    answer = metasim(
        "train", file, CHOICES[choice], "training.lr=0.02", "training.max_renders=3200"
    )
    assert answer.code == 0
    for name, away in (("blob.x", 3.0), ("blob.y", 2.5)):
        assert answer.data["attributes"][name]["mean_error"] < 0.4 * away


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["features={use: tasknet}", "discrepancy={use: classwise_mmd}"])
def test_what_needs_classes_finds_the_angle_of_digits(
    metasim: Command, tmp_path: Path, choice: str
) -> None:
    answer = metasim("train", ROOT / "experiments" / "smoke.yaml", choice, f"output.dir={tmp_path}")
    assert answer.code == 0
    yaw = answer.data["attributes"]["digit.yaw"]
    assert yaw["mean_error"] < 10
    assert yaw["w1"] < 15
