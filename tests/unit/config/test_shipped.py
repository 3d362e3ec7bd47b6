"""The experiments that ship are valid and say of themselves what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from metasim import yamlfile
from metasim.config import GrammarTarget, load_experiment

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
