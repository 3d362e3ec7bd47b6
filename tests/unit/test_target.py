"""The target: drawn once and kept, or read from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metasim.config import Experiment, load_experiment
from metasim.data import save_images
from metasim.errors import DataError
from metasim.progress import Silent
from metasim.target import load_target
from metasim.testing import AnalyticRenderer

SIZE = (16, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blobs.yaml").write_text(yaml.safe_dump(AnalyticRenderer.example))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (9, *SIZE, 3)).astype(np.uint8)
    save_images(tmp_path / "images", images, [f"{i}" for i in range(9)])
    return tmp_path


def experiment(folder: Path, **target: Any) -> Experiment:
    settings = {
        "grammar": "blobs.yaml",
        "renderer": {"use": "metasim.testing:AnalyticRenderer"},
        "target": target or {"grammar": "blobs.yaml", "count": 10},
        "output": {"dir": "results"},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(settings))
    return load_experiment(folder / "experiment.yaml")


def test_a_target_of_a_grammar_comes_with_its_truth(folder: Path) -> None:
    target = load_target(experiment(folder), SIZE, Silent())
    assert target.images.shape == (10, *SIZE, 3)
    drawn = AnalyticRenderer().render(target.scenes)
    assert np.array_equal(drawn.images, target.images)
    assert len({scene.seed for scene in target.scenes}) == 10


def test_it_is_drawn_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_target(experiment(folder), SIZE, Silent())

    def refuse(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(AnalyticRenderer, "render", refuse)
    again = load_target(experiment(folder), SIZE, Silent())
    assert np.array_equal(first.images, again.images)
    assert list(first.scenes) == list(again.scenes)


def test_another_description_is_another_target(folder: Path) -> None:
    one = load_target(experiment(folder), SIZE, Silent())
    other = load_target(experiment(folder, grammar="blobs.yaml", count=10, seed=1), SIZE, Silent())
    assert not np.array_equal(one.images, other.images)
    assert len([*(folder / "results" / "targets").iterdir()]) == 2


def test_a_larger_target_begins_as_the_smaller(folder: Path) -> None:
    few = load_target(experiment(folder), SIZE, Silent())
    more = load_target(experiment(folder, grammar="blobs.yaml", count=14), SIZE, Silent())
    assert np.array_equal(few.images, more.images[:10])


def test_half_a_target_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("metasim.data.dataset._finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load_target(experiment(folder), SIZE, Silent())
    assert load_target(experiment(folder), SIZE, Silent()).images.shape[0] == 10


def test_images_have_no_truth(folder: Path) -> None:
    target = load_target(experiment(folder, images="images"), SIZE, Silent())
    assert target.images.shape == (9, *SIZE, 3)
    assert len(target.scenes) == 0
    assert not (folder / "results").exists()


def test_images_of_another_size_are_refused_or_fitted(folder: Path) -> None:
    with pytest.raises(DataError, match=r"set resize"):
        load_target(experiment(folder, images="images"), (8, 8), Silent())
    fitted = load_target(experiment(folder, images="images", resize=True), (8, 8), Silent())
    assert fitted.images.shape == (9, 8, 8, 3)


def test_images_of_one_colour_are_refused(folder: Path) -> None:
    save_images(folder / "grey", np.full((9, *SIZE, 3), 77, np.uint8), [f"{i}" for i in range(9)])
    with pytest.raises(DataError, match="must show something"):
        load_target(experiment(folder, images="grey"), SIZE, Silent())
