"""Shipped experiments in this process: prepared once, then trained in many ways."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metasim.config import Experiment, load_experiment
from metasim.experiment import build_renderer
from metasim.learn.codec import SceneCodec
from metasim.learn.objective import Objective
from metasim.learn.preparation import Prepared
from metasim.learn.trainer import Trainer
from metasim.progress import Silent
from metasim.render.base import Renderer
from metasim.report.statistics import wasserstein1
from metasim.session import make_preparation, make_trainer
from metasim.target import Target, load_target
from tests.benchmarks.commands import file_of, settings_of


@dataclass(frozen=True)
class Bench:
    """An experiment with its renderer and its target.

    Attributes:
        experiment: as loaded.
        renderer: draws the learner's scenes.
        target: images, and the scenes that were drawn.
        codec: of the grammar.
        truth: the target's values by label.
    """

    experiment: Experiment
    renderer: Renderer
    target: Target
    codec: SceneCodec
    truth: dict[str, np.ndarray]

    def prepare(self, **changes: Any) -> tuple[Prepared, float]:
        """Features, discrepancy and warm start under changed settings; and the seconds."""
        settings = self.experiment.model_copy(update=changes)
        began = time.perf_counter()
        made = make_preparation(settings, self.renderer, Silent()).run(self.target.images)
        return made, time.perf_counter() - began

    def objective(self, made: Prepared) -> Objective:
        """A fresh objective, which has rendered nothing yet."""
        return Objective(self.renderer, self.codec, made.extractor, made.discrepancy)

    def trainer(self, made: Prepared, **changes: Any) -> Trainer:
        """A trainer under changed settings; a cold start has no use for the pools."""
        settings = self.experiment.model_copy(update=changes)
        if not settings.training.warm_start:
            made = replace(made, pools=())
        return make_trainer(settings, self.renderer, made)

    def w1(self, values: dict[str, np.ndarray]) -> dict[str, float]:
        """Distance of learned values from the truth, by label, in the attribute's unit."""
        found = {}
        for label, spec in zip(self.codec.labels, self.codec.specs(), strict=True):
            low, high = spec.range or (0.0, 0.0)
            period = high - low if spec.periodic else None
            found[label] = wasserstein1(values[label], self.truth[label], period=period)
        return found


def load_bench(
    name: str, seed: int, out: Path, glyphs: str = "digits", more: Sequence[str] = ()
) -> Bench:
    """A shipped experiment, or a variant, ready to be prepared.

    Args:
        name: of the experiment.
        seed: of the run.
        out: where the drawn target is kept.
        glyphs: "digits" or a folder.
        more: further settings.
    """
    settings = settings_of(name, seed, glyphs, [*more, f"output.dir={out.resolve()}"])
    experiment = load_experiment(file_of(name), settings)
    renderer = build_renderer(experiment.renderer)
    codec = SceneCodec(experiment.grammar)
    target = load_target(experiment, renderer.image_size, Silent())
    truth: dict[str, list[float]] = {}
    for scene in target.scenes:
        for node in scene.nodes:
            for attribute, value in node.attributes.items():
                if f"{node.name}.{attribute}" in codec.labels:
                    truth.setdefault(f"{node.name}.{attribute}", []).append(float(value))
    values = {label: np.array(found) for label, found in truth.items()}
    return Bench(experiment, renderer, target, codec, values)


def changed(options: Any, **changes: Any) -> Any:
    """Settings with some of them changed, checked as those of a file are."""
    return type(options).model_validate({**options.model_dump(), **changes})
