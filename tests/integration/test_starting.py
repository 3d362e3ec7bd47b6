"""What training starts from: features near the estimate, a warm start, an honest split."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from metasim.config import Experiment, load_experiment
from metasim.errors import DataError
from metasim.experiment import build_renderer
from metasim.learn.features.base import extract
from metasim.learn.features.simple import PixelFeatures
from metasim.learn.preparation import Prepared
from metasim.learn.significance import permutation_p_value
from metasim.learn.trainer import Trainer
from metasim.progress import Silent
from metasim.rng import stream
from metasim.scene.graph import Scene
from metasim.session import make_preparation, make_trainer
from metasim.target import load_target
from metasim.testing import AnalyticRenderer

Start = Callable[..., tuple[Prepared, Trainer, list[Scene]]]
PRIOR, TARGET = {"x": 8.0, "y": 8.0}, {"x": 5.0, "y": 10.5}
TAUGHT = "features={use: simulator, renders: 2000, epochs: 6, max_error: 1, refine: 1, "
TAUGHT += "refine_renders: 300}"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Prepare blobs whose target stands elsewhere, and start; with all scenes drawn so far."""
    for name, means in (("prior", PRIOR), ("target", TARGET)):
        grammar = copy.deepcopy(AnalyticRenderer.example)
        assert grammar is not None
        for key, mean in means.items():
            grammar["root"]["children"][0]["attributes"][key]["prior"]["normal"]["mean"] = mean
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(grammar))
    experiment = {
        "grammar": "prior.yaml",
        "renderer": {"use": "metasim.testing:AnalyticRenderer"},
        "target": {"grammar": "target.yaml", "count": 200},
        "output": {"dir": "results"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))

    def prepared(*words: str) -> tuple[Prepared, Trainer, list[Scene]]:
        loaded: Experiment = load_experiment(tmp_path / "experiment.yaml", words)
        drawn: list[Scene] = []
        with build_renderer(loaded.renderer) as renderer:
            target = load_target(loaded, renderer.image_size, Silent())
            render = type(renderer).render
            with monkeypatch.context() as patch:
                patch.setattr(
                    type(renderer),
                    "render",
                    lambda self, scenes: [drawn.extend(scenes), render(self, scenes)][1],
                )
                made = make_preparation(loaded, renderer, Silent()).run(target.images)
            trainer = make_trainer(loaded, renderer, made)
            trainer.start()
        return made, trainer, drawn

    return prepared


def means(trainer: Trainer) -> dict[str, float]:
    values = trainer.learned_values(500)
    return {key: float(np.mean(values[f"blob.{key}"])) for key in PRIOR}


@pytest.mark.parametrize("editor", ["gcn", "parametric"])
def test_with_a_warm_start_the_first_step_is_taken_near_the_target(
    start: Start, editor: str
) -> None:
    made, trainer, drawn = start(TAUGHT, f"editor.use={editor}", "training.warm_start=true")
    assert len(made.pools) == 1
    for key, mean in means(trainer).items():
        assert abs(mean - TARGET[key]) < 0.4 * abs(PRIOR[key] - TARGET[key])
    # The features were taught again with renders near the estimate.
    assert made.renders == len(drawn) == 2300
    near = np.array([[scene.nodes[1].attributes[key] for key in PRIOR] for scene in drawn[2000:]])
    wide = np.array([[scene.nodes[1].attributes[key] for key in PRIOR] for scene in drawn[:2000]])
    assert np.abs(near.mean(axis=0) - [*TARGET.values()]).max() < 1.2
    assert (near.std(axis=0) < 0.7 * wide.std(axis=0)).all()


@pytest.mark.parametrize("editor", ["gcn", "parametric"])
def test_without_one_it_is_taken_at_the_prior(start: Start, editor: str) -> None:
    """The editor has learned to give back what it is given."""
    made, trainer, drawn = start(TAUGHT, f"editor.use={editor}", "training.warm_start=false")
    assert made.pools == ()
    assert made.renders == len(drawn) == 2000
    for key, mean in means(trainer).items():
        assert abs(mean - PRIOR[key]) < 0.3 * abs(PRIOR[key] - TARGET[key])


def test_images_that_are_held_out_are_none_of_those_learned_from(start: Start) -> None:
    made, _, _ = start("features={use: pixels, size: 8}")
    learned = {tuple(row) for row in made.discrepancy.state_dict()["terms"]["target"].tolist()}
    held_out = {tuple(row) for row in made.held_out.tolist()}
    assert (len(learned), len(held_out)) == (150, 50)
    assert not learned & held_out


def test_by_no_seed_are_they_set_apart_by_chance(start: Start) -> None:
    """With one split at random some of these would be: the median of several is taken."""
    for seed in range(5):
        made, _, _ = start(
            "features={use: pixels, size: 4}", f"seed={seed}", "training.warm_start=false"
        )
        learned = made.discrepancy.state_dict()["terms"]["target"]
        p_value = permutation_p_value(
            learned,
            made.held_out,
            generator=stream(seed, "split"),
            kernel=made.discrepancy.kernel,
        )
        assert 0.15 < p_value < 0.9


def test_features_that_are_no_numbers_are_told_as_such(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = PixelFeatures.raw
    monkeypatch.setattr(PixelFeatures, "raw", lambda self, images: raw(self, images) / 0.0)
    with pytest.raises(DataError, match="must be finite numbers"):
        start("features={use: pixels, size: 4}")


def test_many_images_are_seen_a_few_at_a_time(start: Start) -> None:
    _, trainer, _ = start("features={use: pixels, size: 4}")
    extractor, sizes = trainer.objective.extractor, []
    extractor.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    extractor.chunk = 10
    trainer.fresh_features(25, "judge")
    scenes = trainer.edited(25, "values")
    extract(extractor, trainer.objective.draw(scenes).images)
    assert sizes == [10, 10, 5, 10, 10, 5]
