"""One run, from preparing to the summary, with everything it leaves in its directory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from metasim.config import Experiment, ImagesTarget
from metasim.errors import Interrupted, RenderError, RunError
from metasim.judgement import SHOWN, Judge, metrics_line
from metasim.labelled import Labelled, load_validation
from metasim.learn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from metasim.learn.codec import SceneCodec
from metasim.learn.device import arithmetic, resolve_device
from metasim.learn.gradients.make import choose
from metasim.learn.kept import KeptRenders, clear
from metasim.learn.objective import Objective
from metasim.learn.options import Surrogate
from metasim.learn.outcome import Epoch, Outcome
from metasim.learn.preparation import Preparation, Prepared
from metasim.learn.task import TaskReward
from metasim.learn.trainer import Trainer
from metasim.progress import Progress
from metasim.provenance import digest
from metasim.refinement import Refinement
from metasim.render.base import Renderer
from metasim.report.events import EventLog
from metasim.report.figures import write_figures
from metasim.report.findings import read_findings
from metasim.report.grids import comparison, save_grid
from metasim.rng import derive
from metasim.runs import RunDir
from metasim.signals import on_signal
from metasim.target import load_target

__all__ = ["Session", "make_preparation", "make_trainer"]

# Each time between two checkpoints over the one before. None is ever removed, so a run of days
# is to leave hundreds of them and not thousands; a crash costs about a fiftieth of its time.
_GROWTH = 1.02


def make_preparation(experiment: Experiment, renderer: Renderer, progress: Progress) -> Preparation:
    """What prepares an experiment's features, discrepancy and warm start."""
    codec = SceneCodec(experiment.grammar)
    gradient = choose(experiment.gradient, renderer, codec)
    return Preparation(
        codec,
        renderer,
        experiment.features,
        experiment.discrepancy,
        experiment.editor,
        experiment.training,
        experiment.seed,
        progress,
        resolve_device(experiment.device),
        examples=gradient.buffer if isinstance(gradient, Surrogate) else 0,
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
        examples=made.examples,
        task=task,
    )


class Session:
    """Carries out one run in its directory, or goes on with it.

    Args:
        experiment: what to do.
        run: where.
        renderer: draws the learner's scenes.
        progress: told how far it is.
        plain: draws them where ``renderer`` refines what it draws; the same otherwise.
        top: the run that this is a round of; itself otherwise.
        rounds: the summaries of the rounds before.

    Raises:
        MissingExtraError: when TensorBoard is asked for and not installed.
        ConfigError: when the device that is asked for is not there.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: RunDir,
        renderer: Renderer,
        progress: Progress,
        *,
        plain: Renderer | None = None,
        top: RunDir | None = None,
        rounds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.experiment, self.run, self.renderer, self.progress = (
            experiment,
            run,
            renderer,
            progress,
        )
        self.plain, self.again = plain or renderer, f"metasim train --resume {(top or run).path}"
        self.rounds = rounds
        resolve_device(experiment.device)  # refused before anything is drawn
        self.codec = SceneCodec(experiment.grammar)
        self.kept = KeptRenders(renderer, run.drawn_dir, progress)
        self.events = EventLog(run.tensorboard_dir) if experiment.output.tensorboard else None
        self.phase, self.stop_asked = "preparing", False
        self.seconds_before = 0.0
        self.trained = (0, 0.0)
        self.started = time.monotonic()

    def carry_out(self) -> dict[str, Any]:
        """Prepare, train, judge; returns the summary. The figures at the end are the report's.

        Raises:
            Interrupted: when the process was asked to stop; it says what is kept.
        """
        if self.run.ended:
            return self.run.read_summary()
        with (
            self._listening(),
            closing(self.events) if self.events else nullcontext(),
            self._keeping_scenes(),
        ):
            target = load_target(self.experiment, self.renderer.image_size, self.progress)
            self.target, self.judge = target, Judge(self.experiment, self.codec, target)
            if self.refinement is not None:
                self.refinement.check()
            # Before hours of rendering, as it may be unfit.
            self.validation = self._load_validation()
            if self.run.checkpoints():
                self._go_on(read_checkpoint(self.run))
            else:
                self._begin()
            clear(self.kept.folder)  # the checkpoint holds what they were drawn for
            return self._conclude(self._train())

    @contextmanager
    def _keeping_scenes(self) -> Iterator[None]:
        """Write the scenes that end their renderer's processes, for whoever is to find out why."""
        try:
            yield
        except RenderError as error:
            for scene in error.scenes:
                text = json.dumps(scene, sort_keys=True)
                path = self.run.write_quarantined(digest(text.encode())[:16], scene, str(error))
                error.args = (f"{error}\nthe scene is kept in {path}",)
            raise

    # --- the parts of a run ----------------------------------------------------------------

    def _begin(self) -> None:
        self.run.truncate_metrics(0)
        if kept := self.kept.count():
            self.progress.log(f"{kept} images that were drawn before are used again")
        # Kept here alone: what training draws is not drawn twice.
        preparation = make_preparation(self.experiment, self.kept, self.progress)
        self.prepared = preparation.run(self.target.images)
        self.trainer = self._make_trainer()
        self.phase = "beginning"
        self.prior = self._look_at_prior()
        self.trainer.start()
        self._save()  # what was prepared took long; a crash must not cost it
        if self.stop_asked:
            raise Interrupted(
                "stopped before the first step, all that was prepared is kept; go on with: "
                f"{self.again}"
            )

    def _go_on(self, found: Checkpoint) -> None:
        if told := found.passed_over:
            self.progress.log(told)
        preparation = make_preparation(self.experiment, self.renderer, self.progress)
        with found.fitting():
            self.prepared = preparation.restore(found.state)
            self.prior, self.seconds_before = found.state["prior"], found.state["seconds"]
            data, computed = found.state["data"], found.state["arithmetic"]
            renders, seconds = found.state["trained"]
            self.trained = (int(renders), float(seconds))
        if computed != (here := arithmetic(preparation.device)):
            self.progress.log(
                f"the run was computed with {computed} until here, and goes on with {here}: its "
                "numbers agree with those of an uninterrupted run to rounding only"
            )
        self.trainer = self._make_trainer()
        self._refuse_changed(data)
        with found.fitting():
            self.trainer.load_state_dict(found.state["trainer"])
        self.run.truncate_metrics(self.trainer.step)

    def _make_trainer(self) -> Trainer:
        return make_trainer(self.experiment, self.renderer, self.prepared, self._make_task())

    def _load_validation(self) -> Labelled | None:
        task = self.experiment.task
        if task is None:
            return None
        return load_validation(self.experiment, task, self.renderer.image_size)

    def _make_task(self) -> TaskReward | None:
        task = self.experiment.task
        if task is None or self.validation is None:
            return None
        images, labels, classes = self.validation
        seed = derive(self.experiment.seed, "task")
        return TaskReward(images, labels, classes, task, seed, self.progress)

    def _look_at_prior(self) -> dict[str, Any]:
        """What the prior looks like, as numbers; and the first files."""
        prior = self.judge.prior(self.trainer)
        if self.trainer.objective.images is not None:
            save_grid(self.run, "first", self.trainer.objective.images[:SHOWN])
        save_grid(self.run, "target", self.target.images[:SHOWN])
        self.run.write_evaluation(self.judge.evaluation(self.trainer, prior=prior["values"]))
        return prior

    def _train(self) -> Outcome:
        trainer = self.trainer
        there = len(self.run.checkpoints())
        wait = self.experiment.training.checkpoint_seconds * _GROWTH**there
        saved = time.monotonic()
        self._resumed, self._began = trainer.objective.renders, saved
        self.phase = "training"
        self.progress.start("training", self.experiment.training.max_renders)
        if self.events is not None:
            self.events.begin(trainer.step)

        def on_step() -> None:
            nonlocal saved, wait
            if self.stop_asked:
                self._save()
                raise Interrupted(
                    f"stopped after step {trainer.step}, all of it kept; go on with: {self.again}"
                )
            if time.monotonic() - saved >= wait:
                self._save()
                saved, wait = time.monotonic(), wait * _GROWTH

        try:
            return trainer.train(on_step, self._on_epoch)
        finally:
            self.progress.finish()

    def _on_epoch(self, epoch: Epoch) -> None:
        line = metrics_line(self.codec, epoch, self._seconds())
        self.run.append_metrics(line)
        if self.events is not None:
            self.events.add_metrics(line)
        self.progress.advance(
            min(epoch.renders, self.experiment.training.max_renders),
            discrepancy=epoch.discrepancy,
            p=epoch.p_value,
        )
        if epoch.epoch % self.experiment.training.images_every == 0 and epoch.images is not None:
            for name in ("most_recent", self.run.epoch_name(epoch.epoch)):
                save_grid(self.run, name, epoch.images[:SHOWN])
            if self.events is not None:
                self.events.add_images(epoch.images, epoch.step)
            samples = {"prior": self.prior["values"], "learned": epoch.values}
            self.run.write_evaluation(self.judge.evaluation(self.trainer, **samples))
            write_figures(read_findings(self.run))

    def _conclude(self, best: Outcome) -> dict[str, Any]:
        self._save()  # before the evaluation's renders, which are none of the training's
        self.trained, self.phase = self._trained(), "judging"
        if self.stop_asked:
            raise Interrupted(
                f"stopped after the last step, all of it kept; judge it with: {self.again}"
            )
        renders, seconds = self.trained
        rate = renders / seconds if seconds else 0.0
        found = self.judge.judgement(self.trainer, self.prepared, self.prior, best, rate)
        save_grid(self.run, "most_recent", found.latest)
        if self.events is not None:
            # After the last step: a run that is killed now draws them again when it goes on.
            self.events.add_images(found.latest, self.trainer.step + 1)
        shown = (
            ("Target", "", self.target.images),
            ("Generated", "before learning", found.first),
            ("Generated", "now", found.latest),
        )
        self.run.write_figure("comparison", comparison(shown))
        self.run.write_evaluation(found.evaluation)
        refined = self._refine()
        summary = {**found.summary, **refined, "seconds": round(self._seconds(), 3)}
        if self.rounds:
            summary["rounds"] = list(self.rounds)
        self.run.write_summary(summary)
        return summary

    @cached_property
    def refinement(self) -> Refinement | None:
        """What makes the images look like the target's, where that is asked for."""
        options = self.experiment.refine
        if options is None:
            return None
        return Refinement(
            self.experiment,
            options,
            self.run,
            self.plain,
            self.target,
            self.codec,
            self.progress,
        )

    def _refine(self) -> dict[str, Any]:
        if self.refinement is None:
            return {}
        self.phase = "refining"
        try:
            told = self.refinement.carry_out(
                self.trainer.edited,
                self.prepared.extractor,
                stop=lambda: self.stop_asked,
                again=self.again,
            )
        finally:
            self.phase = "judging"
        return {"refine": told}

    # --- stopping and going on -----------------------------------------------------------------

    @cached_property
    def _data(self) -> dict[str, str]:
        """A digest of the images in each folder that the experiment names, by its setting."""
        found = {}
        if isinstance(self.experiment.target, ImagesTarget):
            found["target.images"] = digest(self.target.images.tobytes())
        task, labelled = self.experiment.task, self.trainer.task
        if labelled is not None and task is not None and task.images is not None:
            found["task.images"] = labelled.digest
        return found

    def _refuse_changed(self, data: Mapping[str, str]) -> None:
        """Refuse to go on with other images than the run began with."""
        for setting, before in data.items():
            if self._data.get(setting) != before:
                raise RunError(
                    f"a resumed run must find the images of {setting} as they were, but they "
                    "changed since; bring them back, or start a new run"
                )

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _trained(self) -> tuple[int, float]:
        """Renders of the training, and the seconds it took: before the last stop and since."""
        renders, seconds = self.trained
        if self.phase != "training":
            return renders, seconds
        since = self.trainer.objective.renders - self._resumed
        return renders + since, seconds + time.monotonic() - self._began

    def _save(self) -> None:
        write_checkpoint(
            self.run,
            self.trainer.step,
            {
                **self.prepared.state_dict(),
                "prior": self.prior,
                "seconds": self._seconds(),
                "trained": self._trained(),
                "data": self._data,
                "arithmetic": arithmetic(resolve_device(self.experiment.device)),
                "trainer": self.trainer.state_dict(),
            },
        )

    def _left(self) -> str:
        """What a run that is stopped at once leaves, and how to go on."""
        again = self.again
        latest = self.run.latest_checkpoint()
        if latest is not None:
            return f"stopped at once, {latest.name} is kept; go on from it with: {again}"
        if kept := self.kept.count():
            return f"stopped while preparing, the {kept} images drawn are kept; go on with: {again}"
        return f"stopped before anything was drawn that could be kept; begin with: {again}"

    def _listening(self) -> AbstractContextManager[None]:
        """Note SIGINT and SIGTERM: where much would be lost, what goes on is finished first.

        A second one ends at once.
        """
        first = {
            "beginning": "once the prior was looked at",
            "training": "after this step",
            "refining": "after this step",
        }

        def note() -> None:
            if self.stop_asked or self.phase not in first:
                raise Interrupted(self._left())
            self.stop_asked = True
            self.progress.log(f"stopping {first[self.phase]}; once more to stop at once")

        return on_signal(note)
