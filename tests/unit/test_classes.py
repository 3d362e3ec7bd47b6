"""The classes of a grammar are those that its renderer can draw, or nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metasim import experiment
from metasim.classes import refuse_unknown_classes
from metasim.config import Experiment
from metasim.errors import ConfigError
from metasim.progress import Silent
from metasim.render import make_renderer
from metasim.scene import SceneGrammar
from metasim.target import load_target


def digits(**attribute: Any) -> dict[str, Any]:
    """A grammar of one learnable digit, in its plain form, with this class."""
    learned = {"prior": 16.0, "range": [0, 32], "mutable": True}
    attributes = {"x": learned, **({"class": attribute} if attribute else {})}
    digit = {"name": "digit", "kind": "digit", "attributes": attributes}
    return {"root": {"name": "scene", "kind": "scene", "children": [digit]}}


def refused(grammar: dict[str, Any]) -> list[str]:
    """What is said against a grammar."""
    with make_renderer("mnist") as renderer:
        try:
            refuse_unknown_classes(SceneGrammar.model_validate(grammar), renderer, "mnist")
        except ConfigError as error:
            return [str(mistake) for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    "drawn",
    [
        {},
        {"prior": 3},
        {"prior": 3.0},
        {"prior": "3"},
        {"prior": {"choice": {"values": [3, 11], "weights": [1, 0]}}},
        {"prior": {"choice": {"values": [3, 11]}}, "range": [0, 9]},
        {"prior": {"uniform": {"low": 0, "high": 9}}},  # only drawing it can tell
    ],
)
def test_what_the_renderer_draws_or_may_draw_is_taken(drawn: dict[str, Any]) -> None:
    assert refused(digits(**drawn)) == []


def test_every_class_that_cannot_be_drawn_is_told() -> None:
    told = refused(digits(prior={"choice": {"values": [3, 11, "three", 2.5]}}))
    assert [line.partition(" of class ")[2].partition(",")[0] for line in told] == [
        "11",
        "'three'",
        "2.5",
    ]
    assert all(line.endswith("it draws 0, 1, 2, 3, 4, 5, 6, 7, 8, 9") for line in told)


def test_train_refuses_before_there_is_a_run_or_a_target(
    blobs: Callable[..., Experiment], tmp_path: Path
) -> None:
    good, wrong = digits(prior=3), digits(prior={"choice": {"values": [3, 11]}})
    mnist = {"use": "mnist"}
    learner = blobs(grammar=wrong, renderer=mnist, target={"grammar": good, "count": 10})
    with pytest.raises(ConfigError, match=r"^grammar: the renderer 'mnist' draws no"):
        experiment.train(learner, progress=Silent())
    target = blobs(grammar=good, renderer=mnist, target={"grammar": wrong, "count": 10})
    with pytest.raises(ConfigError, match=r"^target\.grammar: the renderer 'mnist' draws no"):
        load_target(target, (32, 32), Silent())
    assert not (tmp_path / "results").exists()
