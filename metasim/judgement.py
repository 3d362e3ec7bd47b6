"""What is told of a run: of each epoch, of the prior before it, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.config import Experiment
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import scores
from metasim.learn.evaluation import attribute_values, sensitivities
from metasim.learn.gradients.make import choose
from metasim.learn.outcome import Epoch, Outcome
from metasim.learn.preparation import Prepared
from metasim.learn.significance import smallest_p_value
from metasim.learn.trainer import Trainer
from metasim.report.attributes import read_attributes
from metasim.report.statistics import summarise
from metasim.target import Target

__all__ = ["SHOWN", "Judge", "Judgement", "metrics_line"]

SHOWN = 64
"""Images of a grid."""

_EVALUATED = 500
_FEWEST = 5  # held-out images: three of pure noise pass for digits, five do not
_SENSITIVE = 256


@dataclass(frozen=True)
class Judgement:
    """What a run came to.

    Attributes:
        summary: for ``summary.json``; its "seconds" are for the run to tell.
        evaluation: for ``evaluation.json``.
        first: images of the prior, uint8 (SHOWN, H, W, 3).
        latest: images as learned, likewise.
    """

    summary: dict[str, Any]
    evaluation: dict[str, Any]
    first: npt.NDArray[np.uint8]
    latest: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Judge:
    """Compares what an experiment's scenes were, have become, and should be."""

    experiment: Experiment
    codec: SceneCodec
    target: Target

    def prior(self, trainer: Trainer) -> dict[str, Any]:
        """Discrepancy, p-value and scores of the prior, and its attribute values by label."""
        scenes = trainer.sample(max(trainer.compared, _EVALUATED), "prior")
        features = trainer.objective.features(
            scenes[: trainer.compared], trainer.generator("prior")
        )
        values = attribute_values(self.codec, scenes[:_EVALUATED])
        return {
            "discrepancy": float(trainer.objective.discrepancy.value(features)),
            "p_value": trainer.p_value(features),
            "scores": scores(features, trainer.held_out),
            "values": {label: found.tolist() for label, found in values.items()},
        }

    def judgement(
        self, trainer: Trainer, made: Prepared, prior: Mapping[str, Any], best: Outcome, rate: float
    ) -> Judgement:
        """Draw what was learned afresh, and compare.

        Args:
            trainer: at its end, with the best attempt's editor.
            made: what it started from.
            prior: what :meth:`prior` gave.
            best: the best attempt's outcome.
            rate: images per second of the training.
        """
        renders = trainer.objective.renders
        scenes = trainer.edited(_EVALUATED, "learned")
        found = sensitivities(trainer.objective, scenes[:_SENSITIVE], self.experiment.seed)
        latest = trainer.objective.draw(scenes[:SHOWN]).images
        first = trainer.objective.draw(trainer.sample(SHOWN, "prior")).images
        evaluation = self.evaluation(
            trainer,
            prior=prior["values"],
            learned=attribute_values(self.codec, scenes),
            learned_read=best.readings,
        )
        attributes = _attribute_table(evaluation)
        for label, sensitivity in found.items():
            attributes[label]["sensitivity"] = sensitivity.size
            attributes[label]["identifiable"] = sensitivity.identifiable
        threshold = self.experiment.training.p_value
        doubt = _doubt(trainer.compared, len(trainer.held_out), threshold)
        learns = trainer.editor.edits
        summary: dict[str, Any] = {
            "converged": learns and best.p_value >= threshold and not doubt,
            "judged": learns and (best.p_value < threshold or not doubt),
            "renders": renders,
            "feature_renders": made.renders,
            "evaluation_renders": trainer.objective.renders - renders,
            "seconds": 0.0,
            "discrepancy": best.discrepancy,
            "discrepancy_prior": prior["discrepancy"],
            "p_value": best.p_value,
            "p_value_prior": prior["p_value"],
            **best.scores,
            **{f"{name}_prior": score for name, score in prior["scores"].items()},
            "held_out": len(trainer.held_out),
            "steps": trainer.step,
            "attempts": len(trainer.outcomes),
            "reason": _reason(best.p_value, prior["p_value"], threshold, doubt)
            if learns
            else "no scene parameter was to be learned (editor: {use: prior})",
            "gradient": choose(
                self.experiment.gradient, trainer.objective.renderer, self.codec
            ).use,
            "images_per_second": rate,
            "features": {
                "use": [part.use for part in self.experiment.features],
                "error": made.error,
            },
            "unidentifiable": [name for name, s in found.items() if not s.identifiable],
            "attributes": attributes,
        }
        if best.task_accuracy is not None:
            summary["task_accuracy"] = best.task_accuracy
        return Judgement(summary, evaluation, first, latest)

    def evaluation(self, trainer: Trainer, **samples: Mapping[str, Any]) -> dict[str, Any]:
        """Values of each attribute: as given, of the target, and as read from its images.

        Args:
            trainer: whose features read the held-out target images.
            samples: by label each, "prior", "learned" and "learned_read"; "target" (where the
                truth is known) and "target_read" (where features read it) are added.
        """
        read = trainer.objective.extractor.readings(trainer.held_out)
        samples = {**samples, "target": self._truth(), "target_read": read}
        table: dict[str, Any] = {}
        for label, spec in zip(self.codec.labels, self.codec.specs(), strict=True):
            low, high = spec.range or (0.0, 0.0)
            table[label] = {
                "unit": spec.unit,
                "periodic": spec.periodic,
                "low": low,
                "high": high,
            }
            for which, values in samples.items():
                if label in values:
                    table[label][which] = [float(v) for v in values[label][:_EVALUATED]]
        return {"attributes": table}

    def _truth(self) -> dict[str, list[float]]:
        """Values of the target's attributes by label, where the target's scenes are known."""
        found: dict[str, list[float]] = {}
        for scene in self.target.scenes[:_EVALUATED]:
            for node in scene.nodes:
                for name, value in node.attributes.items():
                    label = f"{node.name}.{name}"
                    if label in self.codec.labels and isinstance(value, (int, float)):
                        found.setdefault(label, []).append(float(value))
        return found


def metrics_line(codec: SceneCodec, epoch: Epoch, seconds: float) -> dict[str, Any]:
    """What ``metrics.jsonl`` tells of an epoch.

    Args:
        codec: of the grammar.
        epoch: what it showed.
        seconds: of the run so far.
    """
    specs = dict(zip(codec.labels, codec.specs(), strict=True))
    line: dict[str, Any] = {
        "step": epoch.step,
        "epoch": epoch.epoch,
        "attempt": epoch.attempt,
        "renders": epoch.renders,
        "seconds": round(seconds, 3),
        "discrepancy": epoch.discrepancy,
        "p_value": epoch.p_value,
        "lr": epoch.lr,
        "min_scale": epoch.min_scale,
        "grad_norm": epoch.grad_norm,
        "attributes": {
            label: _summary_of(values, specs[label])
            for label, values in epoch.values.items()
            if len(values)  # of a rare node, a sample may hold none
        },
    }
    if epoch.task_accuracy is not None:
        line["task_accuracy"] = epoch.task_accuracy
    return line


def _summary_of(values: Any, spec: Any) -> dict[str, float]:
    low, high = spec.range or (0.0, 0.0)
    return summarise(values, spec.periodic, low, high)


def _attribute_table(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary's attributes: means, deviations, and distances where both are known."""
    table = {}
    for one in read_attributes(evaluation):
        row: dict[str, Any] = {"unit": one.unit, "periodic": one.periodic}
        row |= {w: found for w in ("prior", "learned", "target") if (found := one.moments(w))}
        if (w1 := one.distance("learned")) is not None:
            row["w1"] = w1
            row["mean_error"] = one.apart(row["learned"]["mean"], row["target"]["mean"])
        if (w1 := one.distance("learned_read")) is not None:
            row["read"] = {w: one.moments(f"{w}_read") for w in ("learned", "target")} | {"w1": w1}
        table[one.name] = row
    return table


def _doubt(renders: int, held_out: int, threshold: float) -> str:
    """Why it would mean nothing to pass the test; empty where that means something."""
    if held_out < _FEWEST:
        return (
            f"{held_out} held-out target images are too few, as nearly anything matches them; "
            f"give at least {4 * _FEWEST} target images"
        )
    smallest = smallest_p_value(renders, held_out)
    if threshold <= smallest:
        return (
            f"training.p_value is {threshold:g}, and no test goes below {smallest:.2g}; set "
            "training.p_value higher"
        )
    return ""


def _reason(p_value: float, before: float, threshold: float, doubt: str) -> str:
    if p_value >= threshold and doubt:
        return f"it cannot be judged: {doubt}"
    if p_value >= threshold:
        idle = f", but neither could the prior's (p = {before:.3g})" if before >= threshold else ""
        return (
            "fresh renders cannot be told from held-out target images "
            f"(p = {p_value:.3g}, at least {threshold:g} was asked for){idle}"
        )
    return (
        "the renders were used up and fresh renders can still be told from held-out target "
        f"images (p = {p_value:.3g}, at least {threshold:g} was asked for)"
    )
