"""The experiments that ship are valid and say of themselves what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from metasim import yamlfile
from metasim.config import GrammarTarget, load_experiment
from metasim.rng import stream
from metasim.scene import SceneGrammar

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
FILES = sorted(EXPERIMENTS.rglob("*.yaml"))


def test_all_of_them_are_here() -> None:
    assert {path.stem for path in FILES} >= {
        "smoke",
        "mnist_rot",
        "mnist_rot_trans",
        "mnist_spread",
        "mnist_bimodal",
        "mnist_correlated",
        "mnist_gap",
        "mnist_multi",
        "mnist_task",
        "paper",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_experiment_is_valid(path: Path, tmp_path: Path) -> None:
    found = load_experiment(path)
    assert found.name == path.stem
    assert found.output.dir == EXPERIMENTS.parent / "results"
    assert isinstance(found.target, GrammarTarget)
    splits = (found.renderer.options["split"], found.target.renderer.options["split"])
    assert splits == ("source", "target")  # no digit is in both
    copy = tmp_path / "config.yaml"
    copy.write_text(yamlfile.dump(found.resolved()))
    assert load_experiment(copy) == found


@pytest.mark.parametrize(
    ("name", "prior", "target"),
    [
        ("mnist_rot", {"yaw": (0, 10)}, {"yaw": 90}),
        (
            "mnist_rot_trans",
            {"x": (32, None), "y": (32, None), "yaw": (0, 10)},
            {"x": 16, "y": 48, "yaw": 270},
        ),
        ("mnist_spread", {"yaw": (0, 10)}, {"yaw": (90, 25)}),
        ("mnist_gap", {"yaw": (0, 10)}, {"yaw": 90}),
    ],
)
def test_what_is_to_be_learned_is_what_the_readme_says(
    name: str, prior: dict[str, Any], target: dict[str, Any]
) -> None:
    experiment = load_experiment(EXPERIMENTS / f"{name}.yaml")
    assert isinstance(experiment.target, GrammarTarget)
    for grammar, wanted in ((experiment.grammar, prior), (experiment.target.grammar, target)):
        for key, about in wanted.items():
            mean, std = about if isinstance(about, tuple) else (about, 0)
            drawn = values(grammar, key)
            off = (drawn - mean + 180) % 360 - 180  # pixels are as far from it without a circle
            assert off.mean() == pytest.approx(0, abs=1.5), (name, key)
            if std is not None:
                assert off.std() == pytest.approx(std, abs=1.5), (name, key)


def test_the_two_modes_and_the_correlation_are_as_the_readme_says() -> None:
    bimodal = load_experiment(EXPERIMENTS / "mnist_bimodal.yaml").target
    assert isinstance(bimodal, GrammarTarget)
    yaw = values(bimodal.grammar, "yaw")
    near = [float((abs(yaw - mode) < 30).mean()) for mode in (90, 200)]
    assert near == pytest.approx([0.5, 0.5], abs=0.05)
    correlated = load_experiment(EXPERIMENTS / "mnist_correlated.yaml").target
    assert isinstance(correlated, GrammarTarget)
    x, yaw = (values(correlated.grammar, key) for key in ("x", "yaw"))
    assert np.corrcoef(x, yaw)[0, 1] == pytest.approx(0.8, abs=0.05)


def test_the_targets_of_several_digits_differ_by_their_place() -> None:
    multi = load_experiment(EXPERIMENTS / "mnist_multi.yaml").target
    assert isinstance(multi, GrammarTarget)
    scene = multi.grammar.sample(stream(0, "one"))
    digits = [node for node in scene.nodes if node.kind == "digit"]
    assert len(digits) == 3
    assert len({round(float(node.attributes["yaw"])) for node in digits}) == 3


def values(grammar: SceneGrammar, key: str) -> npt.NDArray[np.float64]:
    """2,000 draws of the one digit's attribute."""
    scenes = (grammar.sample(stream(0, "shipped", i)) for i in range(2000))
    return np.array([float(scene.nodes[-1].attributes[key]) for scene in scenes])
