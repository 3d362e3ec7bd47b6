"""The experiments that ship are valid and say of themselves what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from metasim import yamlfile
from metasim.config import GrammarTarget, load_experiment
from metasim.learn.options import PriorEditor
from metasim.refine.options import Paired
from metasim.rng import stream
from metasim.scene import SceneGrammar

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
METHODS = ("simgan", "cyclegan", "cut", "unit", "pix2pix", "spade", "nst", "dtp")
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
        "tabletop_1attr",
        "tabletop_2attr",
        "tabletop_3attr",
        "tabletop_5attr",
        "tabletop_multi",
        "tabletop_camera",
        "tabletop_gap",
        "unity_1attr",
        "unity_multi",
        "mnist_rot_refined",
        "mnist_rot_rounds",
        "tabletop_refined",
        *(f"refine_digits_{method}" for method in METHODS),
    }


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_an_experiment_in_which_looks_alone_differ(method: str) -> None:
    found = load_experiment(EXPERIMENTS / f"refine_digits_{method}.yaml")
    assert found.refine is not None
    assert found.refine.method == method
    assert isinstance(found.editor, PriorEditor)
    assert isinstance(found.target, GrammarTarget)
    assert found.target.grammar == found.grammar
    assert found.target.renderer.use == "metasim_mnist.gap:GapRenderer"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_experiment_is_valid(path: Path, tmp_path: Path) -> None:
    found = load_experiment(path)
    assert found.name == path.stem
    assert found.output.dir == EXPERIMENTS.parent / "results"
    assert isinstance(found.target, GrammarTarget)
    if found.renderer.use == "mnist":
        splits = (found.renderer.options["split"], found.target.renderer.options["split"])
        # No digit is in both, but where a method learns from pairs that show the same.
        paired = isinstance(found.refine, Paired)
        assert splits == ("source", "source" if paired else "target")
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


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("1attr", {"car.yaw": 90}),
        ("2attr", {"car.x": 0.22, "car.y": -0.18}),
        ("3attr", {"car.x": 0.2, "car.y": -0.15, "car.yaw": 210}),
        ("gap", {"car.x": 0.2, "car.y": -0.15, "car.yaw": 210}),
        (
            "5attr",
            {
                "light.elevation": 25,
                "car.x": -0.18,
                "car.y": 0.15,
                "car.yaw": 120,
                "car.scale": 1.35,
            },
        ),
        (
            "multi",
            {
                "left.y": 0.15,
                "left.yaw": 60,
                "middle.y": -0.15,
                "middle.yaw": 200,
                "right.y": 0.05,
                "right.yaw": 300,
            },
        ),
        ("camera", {"light.azimuth": 80, "light.elevation": 25, "camera.elevation": 65}),
    ],
)
def test_what_is_to_be_learned_of_a_table_is_what_the_readme_says(
    name: str, learned: dict[str, float]
) -> None:
    experiment = load_experiment(EXPERIMENTS / f"tabletop_{name}.yaml")
    assert isinstance(experiment.target, GrammarTarget)
    assert set(experiment.grammar.learnable) == set(learned)
    wanted, before = (
        drawn_by_label(grammar) for grammar in (experiment.target.grammar, experiment.grammar)
    )
    for label, value in learned.items():
        assert (wanted[label] == value).all(), label
        spread = experiment.grammar.learnable[label].range
        assert spread is not None
        assert abs(np.median(before[label]) - value) > 0.05 * (spread[1] - spread[0]), label


def test_the_gap_is_one_of_light_and_shading_not_of_what_is_learned() -> None:
    experiment = load_experiment(EXPERIMENTS / "tabletop_gap.yaml")
    assert isinstance(experiment.target, GrammarTarget)
    assert experiment.target.renderer.options["profile"] == "quality"
    assert experiment.renderer.options.get("profile", "fast") == "fast"
    ours, theirs = (
        drawn_by_label(grammar)["light.azimuth"]
        for grammar in (experiment.grammar, experiment.target.grammar)
    )
    assert ours.min() > theirs.max()


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


def drawn_by_label(grammar: SceneGrammar) -> dict[str, npt.NDArray[np.float64]]:
    """200 draws of every number, by ``<node>.<attribute>``."""
    found: dict[str, list[float]] = {}
    for index in range(200):
        for node in grammar.sample(stream(0, "shipped", index)).nodes:
            for key, value in node.attributes.items():
                if not isinstance(value, str):
                    found.setdefault(f"{node.name}.{key}", []).append(float(value))
    return {label: np.array(drawn) for label, drawn in found.items()}
