"""One run, from preparing to the summary, with everything it leaves in its directory."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.config import Experiment
from metasim.errors import Interrupted, RunError
from metasim.labelled import load_validation
from metasim.learn.checkpoint import read_checkpoint, write_checkpoint
from metasim.learn.codec import SceneCodec
from metasim.learn.device import resolve_device
from metasim.learn.discrepancies import make_discrepancy
from metasim.learn.evaluation import attribute_values, sensitivities
from metasim.learn.features import describe_features, restore_features
from metasim.learn.gradients.make import choose
from metasim.learn.objective import Objective
from metasim.learn.preparation import Preparation, Prepared
from metasim.learn.task import TaskReward
from metasim.learn.trainer import Epoch, Outcome, Trainer
from metasim.learn.warmstart import Pool
from metasim.progress import Progress
from metasim.render.base import Renderer
from metasim.report.figures import write_figures
from metasim.report.plots import comparison, save_grid
from metasim.report.statistics import circular_difference, summarise, wasserstein1
from metasim.rng import derive
from metasim.runs import RunDir
from metasim.target import load_target

__all__ = ["Session", "make_preparation", "make_trainer"]

_SHOWN = 64
_EVALUATED = 500
_SENSITIVE = 256


def make_preparation(experiment: Experiment, renderer: Renderer, progress: Progress) -> Preparation:
    """What prepares an experiment's features, discrepancy and warm start."""
    return Preparation(
        SceneCodec(experiment.grammar),
        renderer,
        experiment.features,
        experiment.discrepancy,
        experiment.editor,
        experiment.training,
        experiment.seed,
        progress,
        resolve_device(experiment.device),
    )


def make_trainer(
    experiment: Experiment, renderer: Renderer, made: Prepared, task: TaskReward | None = None
) -> Trainer:
    """What trains an experiment's editor from what was prepared; it has rendered nothing yet."""
    codec = SceneCodec(experiment.grammar)
    return Trainer(
        grammar=experiment.grammar,
        objective=Objective(renderer, codec, made.extractor, made.discrepancy),
        held_out=made.held_out,
        options=experiment.training,
        editor_options=experiment.editor,
        gradient=experiment.gradient,
        seed=experiment.seed,
        pools=made.pools,
        task=task,
    )


class Session:
    """Carries out one run in its directory, or goes on with it.

    Args:
        experiment: what to do.
        run: where.
        renderer: draws the learner's scenes.
        progress: told how far it is.
    """

    def __init__(
        self, experiment: Experiment, run: RunDir, renderer: Renderer, progress: Progress
    ) -> None:
        self.experiment, self.run, self.renderer, self.progress = (
            experiment,
            run,
            renderer,
            progress,
        )
        self.codec = SceneCodec(experiment.grammar)
        self.device = resolve_device(experiment.device)
        self.stop_asked = False
        self.seconds_before = self.rate = 0.0
        self.started = time.monotonic()

    def carry_out(self) -> dict[str, Any]:
        """Prepare, train, judge; returns the summary.

        Raises:
            Interrupted: after a checkpoint, when the process was asked to stop.
        """
        if self.run.ended:
            return self.run.read_summary()
        with self._listening():
            self.target = load_target(self.experiment, self.renderer.image_size, self.progress)
            state = self._saved_state()
            if state is None:
                self.run.truncate_metrics(0)
                self.prepared = self._prepare()
                self.trainer = self._make_trainer()
                self.prior = self._look_at_prior()
                self.trainer.start()
                self._save()  # what was prepared took long; a crash must not cost it
            else:
                self.prepared = self._restore(state)
                self.trainer = self._make_trainer()
                self.trainer.load_state_dict(state["trainer"])
                self.prior, self.seconds_before = state["prior"], state["seconds"]
                self.run.truncate_metrics(self.trainer.step)
            return self._conclude(self._train())

    # --- the parts of a run ----------------------------------------------------------------

    def _prepare(self) -> Prepared:
        preparation = make_preparation(self.experiment, self.renderer, self.progress)
        return preparation.run(self.target.images)

    def _make_trainer(self) -> Trainer:
        return make_trainer(self.experiment, self.renderer, self.prepared, self._make_task())

    def _make_task(self) -> TaskReward | None:
        task = self.experiment.task
        if task is None:
            return None
        images, labels, classes = load_validation(self.experiment, task, self.renderer.image_size)
        return TaskReward(images, labels, classes, task, derive(self.experiment.seed, "task"))

    def _look_at_prior(self) -> dict[str, Any]:
        """Discrepancy and p-value of the prior, and its attribute values; the first files."""
        trainer = self.trainer
        scenes = trainer.sample(max(len(trainer.held_out), _EVALUATED), "prior")
        features = trainer.objective.features(
            scenes[: len(trainer.held_out)], trainer.generator("prior")
        )
        if trainer.objective.images is not None:
            save_grid(self.run, "first", trainer.objective.images[:_SHOWN])
        save_grid(self.run, "target", self.target.images[:_SHOWN])
        prior: dict[str, Any] = {
            "discrepancy": float(trainer.objective.discrepancy.value(features)),
            "p_value": trainer.p_value(features),
            "values": _as_lists(attribute_values(self.codec, scenes[:_EVALUATED])),
        }
        self.run.write_evaluation(self._evaluation(prior["values"], None))
        return prior

    def _train(self) -> Outcome:
        trainer, every = self.trainer, self.experiment.training.checkpoint_seconds
        saved = began = time.monotonic()
        before = trainer.objective.renders
        self.progress.start("training", self.experiment.training.max_renders)

        def on_step() -> None:
            nonlocal saved
            if self.stop_asked:
                self._save()
                raise Interrupted(
                    f"stopped after step {trainer.step}, all of it kept; "
                    f"go on with: metasim train --resume {self.run.path}"
                )
            if time.monotonic() - saved >= every:
                self._save()
                saved = time.monotonic()

        try:
            return trainer.train(on_step, self._on_epoch)
        finally:
            self.rate = (trainer.objective.renders - before) / (time.monotonic() - began)
            self.progress.finish()

    def _on_epoch(self, epoch: Epoch) -> None:
        specs = dict(zip(self.codec.labels, self.codec.specs(), strict=True))
        line: dict[str, Any] = {
            "step": epoch.step,
            "epoch": epoch.epoch,
            "attempt": epoch.attempt,
            "renders": epoch.renders,
            "seconds": round(self._seconds(), 3),
            "discrepancy": epoch.discrepancy,
            "p_value": epoch.p_value,
            "lr": epoch.lr,
            "min_scale": epoch.min_scale,
            "grad_norm": epoch.grad_norm,
            "attributes": {
                label: _summary_of(values, specs[label]) for label, values in epoch.values.items()
            },
        }
        if epoch.task_accuracy is not None:
            line["task_accuracy"] = epoch.task_accuracy
        self.run.append_metrics(line)
        self.progress.advance(
            min(epoch.renders, self.experiment.training.max_renders),
            discrepancy=epoch.discrepancy,
            p=epoch.p_value,
        )
        if epoch.epoch % self.experiment.training.images_every == 0 and epoch.images is not None:
            for name in ("most_recent", self.run.epoch_name(epoch.epoch)):
                save_grid(self.run, name, epoch.images[:_SHOWN])
            write_figures(self.run)

    def _conclude(self, best: Outcome) -> dict[str, Any]:
        trainer, made = self.trainer, self.prepared
        renders = trainer.objective.renders
        self._save()  # before the evaluation's renders, which are none of the training's
        scenes = trainer.edited(_EVALUATED, "learned")
        found = sensitivities(trainer.objective, scenes[:_SENSITIVE], self.experiment.seed)
        latest = trainer.objective.draw(scenes[:_SHOWN]).images
        first = trainer.objective.draw(trainer.sample(_SHOWN, "prior")).images
        save_grid(self.run, "most_recent", latest)
        self.run.write_figure("comparison", comparison(self.target.images, first, latest))
        values = attribute_values(self.codec, scenes)
        evaluation = self._evaluation(self.prior["values"], values)
        self.run.write_evaluation(evaluation)
        converged = best.p_value >= self.experiment.training.p_value
        attributes = _attribute_table(evaluation["attributes"])
        for label, sensitivity in found.items():
            attributes[label]["sensitivity"] = sensitivity.size
            attributes[label]["identifiable"] = sensitivity.identifiable
        summary: dict[str, Any] = {
            "converged": converged,
            "renders": renders,
            "feature_renders": made.renders,
            "evaluation_renders": trainer.objective.renders - renders,
            "seconds": 0.0,
            "discrepancy": best.discrepancy,
            "discrepancy_prior": self.prior["discrepancy"],
            "p_value": best.p_value,
            "p_value_prior": self.prior["p_value"],
            "steps": trainer.step,
            "attempts": len(trainer.outcomes),
            "reason": _reason(converged, best, self.experiment.training.p_value),
            "gradient": choose(self.experiment.gradient, self.renderer, self.codec).use,
            "images_per_second": self.rate,
            "features": {
                "use": [part.use for part in self.experiment.features],
                "error": made.error,
            },
            "unidentifiable": [name for name, s in found.items() if not s.identifiable],
            "attributes": attributes,
        }
        if trainer.task is not None:
            summary["task_accuracy"] = trainer.task.accuracy
        write_figures(self.run)
        summary["seconds"] = round(self._seconds(), 3)
        self.run.write_summary(summary)
        return summary

    def _evaluation(
        self, prior: Mapping[str, Any], learned: Mapping[str, npt.NDArray[np.float64]] | None
    ) -> dict[str, Any]:
        truth = self._truth()
        table: dict[str, Any] = {}
        for label, spec in zip(self.codec.labels, self.codec.specs(), strict=True):
            low, high = spec.range or (0.0, 0.0)
            table[label] = {
                "unit": spec.unit,
                "periodic": spec.periodic,
                "low": low,
                "high": high,
                "prior": prior[label],
            }
            if learned is not None:
                table[label]["learned"] = learned[label].tolist()
            if label in truth:
                table[label]["target"] = truth[label]
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

    # --- stopping and going on -----------------------------------------------------------------

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _save(self) -> None:
        made = self.prepared
        write_checkpoint(
            self.run,
            self.trainer.step,
            {
                "features": describe_features(made.extractor),
                "discrepancy": made.discrepancy.state_dict(),
                "held_out": made.held_out,
                "pools": [[p.node, p.weights, p.latent] for p in made.pools],
                "feature_renders": made.renders,
                "error": made.error,
                "prior": self.prior,
                "seconds": self._seconds(),
                "trainer": self.trainer.state_dict(),
            },
        )

    def _saved_state(self) -> dict[str, Any] | None:
        return read_checkpoint(self.run)[0] if self.run.checkpoints() else None

    def _restore(self, state: Mapping[str, Any]) -> Prepared:
        settings = self.experiment
        discrepancy = make_discrepancy(
            settings.discrepancy, seed=derive(settings.seed, "discrepancy")
        )
        try:
            discrepancy.load_state_dict(state["discrepancy"])
            return Prepared(
                restore_features(state["features"], self.codec, settings.features).to(self.device),
                discrepancy,
                state["held_out"],
                tuple(Pool(node, weights, latent) for node, weights, latent in state["pools"]),
                state["feature_renders"],
                state["error"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the newest checkpoint of {self.run.path} must fit its settings, but does not "
                f"({error!r}); start a new run"
            ) from None

    def _left(self) -> str:
        """What a run that is stopped at once leaves, and how to go on."""
        again = f"metasim train --resume {self.run.path}"
        latest = self.run.latest_checkpoint()
        if latest is None:
            return f"stopped before anything was learned that could be kept; begin with: {again}"
        return f"stopped at once, {latest.name} is kept; go on from it with: {again}"

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM; the loop stops after its step. A second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            if self.stop_asked or not hasattr(self, "trainer"):
                raise Interrupted(self._left())
            self.stop_asked = True
            self.progress.log("stopping after this step; once more to stop at once")

        before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


def _as_lists(values: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    return {label: found.tolist() for label, found in values.items()}


def _summary_of(values: Any, spec: Any) -> dict[str, float]:
    low, high = spec.range or (0.0, 0.0)
    return summarise(values, spec.periodic, low, high)


def _attribute_table(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary's attributes: means and deviations, distances where the truth is known."""
    table = {}
    for label, about in evaluation.items():
        periodic, low, high = about["periodic"], about["low"], about["high"]
        period = high - low if periodic else None
        row: dict[str, Any] = {"unit": about["unit"], "periodic": periodic}
        for which in ("prior", "learned", "target"):
            if about.get(which):
                row[which] = summarise(about[which], periodic, low, high)
        if about.get("target") and about.get("learned"):
            row["w1"] = wasserstein1(about["learned"], about["target"], period=period)
            off = row["learned"]["mean"] - row["target"]["mean"]
            if period is not None:
                off = float(
                    circular_difference(row["learned"]["mean"], row["target"]["mean"], period)
                )
            row["mean_error"] = abs(off)
        table[label] = row
    return table


def _reason(converged: bool, best: Outcome, threshold: float) -> str:
    if converged:
        return (
            "fresh renders cannot be told from held-out target images "
            f"(p = {best.p_value:.3g}, at least {threshold:g} was asked for)"
        )
    return (
        "the renders were used up and fresh renders can still be told from held-out target "
        f"images (p = {best.p_value:.3g}, at least {threshold:g} was asked for)"
    )
