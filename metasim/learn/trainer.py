"""Learning the editor: one loop, from the first scene to the last step.

``Trainer`` holds everything that changes while a run goes on, and nothing that can be
rebuilt from the configuration. All randomness of a step follows from the seed and the
step's number, so a resumed run goes on exactly as an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.errors import TrainingError
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import scores
from metasim.learn.editor import SceneEditor, edit_scenes, make_editor
from metasim.learn.evaluation import attribute_values
from metasim.learn.examples import Examples
from metasim.learn.gradients import Estimate, GradientEstimator, Step, make_estimator
from metasim.learn.objective import Objective
from metasim.learn.options import Editor, Gradient, Training
from metasim.learn.outcome import Epoch, Outcome, step_trouble, weight_trouble
from metasim.learn.pools import Pool
from metasim.learn.schedule import learning_rate, smallest_scale
from metasim.learn.significance import permutation_p_value
from metasim.learn.task import TaskReward
from metasim.learn.warmstart import warm_up
from metasim.render.base import Rendered
from metasim.rng import derive, stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["Trainer"]

_FEW, _MANY = 25, 100  # fewer target images than this are tested against so many renders


@dataclass
class Trainer:
    """Trains an editor against an objective.

    Attributes:
        grammar: scenes are sampled from it.
        objective: renderer, features and discrepancy, fitted to the target.
        held_out: (N, D), features of target images that training never sees.
        options: the training loop's.
        editor_options: the editor's.
        gradient: which estimator.
        seed: of the run.
        pools: the warm start; empty where there is none.
        examples: what was rendered before training, for estimators that learn from it.
        task: the task reward, where there is one.
        attempt, epoch, step: where the run stands; epochs and steps count over all attempts.
        values: the discrepancy at each step of the epoch that is going on.
        latest: (M, D), features of the latest renders of this attempt, newest first.
        norm: of the last step's gradient.
        renders_before, step_before: renders and steps when this attempt began.
        outcomes: of the attempts that have ended.
    """

    grammar: SceneGrammar
    objective: Objective
    held_out: Tensor
    options: Training
    editor_options: Editor
    gradient: Gradient
    seed: int
    pools: Sequence[Pool] = ()
    examples: Sequence[Examples] = ()
    task: TaskReward | None = None
    attempt: int = 0
    step: int = 0
    epoch: int = 0
    renders_before: int = 0
    step_before: int = 0
    norm: float = 0.0
    values: list[float] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codec: SceneCodec = self.objective.codec
        self.latest, self.value = self.held_out[:0], 0.0
        self._started = False

    # --- the loop --------------------------------------------------------------------------

    def train(self, on_step: Callable[[], None], on_epoch: Callable[[Epoch], None]) -> Outcome:
        """Run attempts until one converges or none is left; returns the best.

        Args:
            on_step: called after each step; it may raise
                :class:`metasim.errors.Interrupted` after saving :meth:`state_dict`.
            on_epoch: called every ``epoch_steps`` steps.

        Raises:
            TrainingError: when the loss stops being a number, or the editor's weights diverge;
                neither ``on_step`` nor ``on_epoch`` is called with such.
        """
        while not self.ended:
            if not self._started:
                self.start()
            while self.progress < 1.0:
                self._train_step()
                if len(self.values) == self.options.epoch_steps or self.progress >= 1.0:
                    self.epoch += 1
                    on_epoch(self._look())
                    self.values.clear()
                on_step()
            self.outcomes.append(self.judge())
            if not self.ended:
                self.attempt, self._started = self.attempt + 1, False
        best = min(self.outcomes, key=lambda o: (o.p_value < self.options.p_value, o.discrepancy))
        self.editor.load_state_dict(best.editor)
        self.editor.min_scale = best.min_scale
        return best

    def start(self) -> None:
        """Build editor, optimiser and estimator for this attempt, and warm up."""
        seed = derive(self.seed, "attempt", self.attempt)
        self.renders_before, self.step_before = self.objective.renders, self.step
        self.latest = self.held_out[:0]
        if self.task is not None:
            self.task.begin()
        generator = torch.Generator().manual_seed(derive(seed, "warm-up"))
        self._build(seed)
        self.estimator.study(self.examples, self.generator("examples", self.attempt))
        warm_up(
            self.editor,
            self.grammar,
            self.pools,
            self.editor_options,
            stream(seed, "warm-up"),
            generator,
        )
        self.editor.min_scale = self.options.noise_end
        self._freeze()

    def _freeze(self) -> None:
        """After the warm-up the encoder stays as it is, where that is asked for."""
        if getattr(self.editor_options, "freeze_encoder", False):
            self.editor.freeze_encoder()

    def _build(self, seed: int) -> None:
        self.editor: SceneEditor = make_editor(
            self.codec, self.editor_options, derive(seed, "editor")
        )
        self.optimiser = torch.optim.Adam(
            self.editor.parameters(),
            lr=self.options.lr,
            weight_decay=self.options.weight_decay,
            fused=True,
        )
        self.estimator: GradientEstimator = make_estimator(
            self.gradient,
            self.objective.renderer,
            self.codec,
            self.held_out.shape[1],
            derive(seed, "estimator"),
        )
        self._started = True

    def _train_step(self) -> None:
        """One optimiser step."""
        lr = learning_rate(self.options, self.step - self.step_before, self.progress)
        self.editor.min_scale = smallest_scale(self.options, self.progress)
        scenes = self.sample(self.options.batch_size, "train", self.attempt, self.step)
        generator = self.generator("train", self.attempt, self.step)
        batch = self.codec.encode(scenes)
        explores = self.estimator.explores or self.task is not None
        edit = self.editor if explores else self.editor.made
        step = Step(scenes, batch, edit(batch, generator), generator)
        estimate = self.estimator.estimate(step, self.objective)
        loss = estimate.loss
        if self.task is not None:
            loss = loss + self.task.loss(step, estimate, self._drawn(step, estimate))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.editor.parameters(), self.options.grad_clip)
        )
        self._refuse(step_trouble(estimate.value, norm, estimate.features))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self._refuse(weight_trouble(self.editor))  # before they are looked at, or saved
        self.step += 1
        self._note(estimate, norm)

    def _note(self, estimate: Estimate, norm: float) -> None:
        """Keep what the next look at the target tells; what is predicted tells nothing of it."""
        if not estimate.predicted:
            self.value = estimate.value
            self.latest = torch.cat([estimate.features, self.latest])[: self.compared]
        self.values.append(self.value)
        self.norm = norm

    def _refuse(self, trouble: str) -> None:
        if trouble:
            raise TrainingError(
                f"training must stay finite, but at step {self.step} of attempt {self.attempt} "
                f"{trouble}"
            )

    def _drawn(self, step: Step, estimate: Estimate) -> Rendered:
        """The step's draw with its labels; an estimator that needs no such images made none."""
        if estimate.rendered is not None:
            return estimate.rendered
        return self.objective.draw_edited(step.scenes, estimate.edit.latent, step.batch.name_id)

    # --- looking at where it stands ----------------------------------------------------------

    def _look(self) -> Epoch:
        return Epoch(
            attempt=self.attempt,
            epoch=self.epoch,
            step=self.step,
            renders=self.objective.renders,
            discrepancy=sum(self.values) / len(self.values),
            p_value=self.p_value(self.latest),
            lr=self.optimiser.param_groups[0]["lr"],
            min_scale=self.editor.min_scale,
            grad_norm=self.norm,
            values=self.learned_values(400),
            task_accuracy=self.task.accuracy if self.task is not None else None,
            images=self.objective.images,
        )

    def judge(self) -> Outcome:
        """Compare fresh renders with held-out target images."""
        features = self.fresh_features(self.compared, "judge")
        state = {name: value.clone() for name, value in self.editor.state_dict().items()}
        value = float(self.objective.discrepancy.value(features))
        return Outcome(
            self.attempt,
            value,
            self.p_value(features),
            state,
            self.editor.min_scale,
            scores(features, self.held_out),
            self.objective.extractor.readings(features),
            self.task.accuracy if self.task is not None else None,
        )

    @property
    def compared(self) -> int:
        """How many renders the held-out target images are tested against.

        As many; but with few of both a test notices little, and renders can be had.
        """
        return len(self.held_out) if len(self.held_out) >= _FEW else _MANY

    def p_value(self, features: Tensor) -> float:
        """Of features (M, D) against those of the held-out target images."""
        return permutation_p_value(
            features,
            self.held_out,
            generator=stream(self.seed, "permutations"),
            kernel=self.objective.discrepancy.kernel,
        )

    @torch.no_grad()
    def fresh_features(self, count: int, purpose: str) -> Tensor:
        """Features (count, D) of fresh scenes as the editor makes them now."""
        generator = self.generator(purpose, self.attempt, self.step)
        return self.objective.features(self.edited(count, purpose), generator)

    @torch.no_grad()
    def edited(self, count: int, purpose: str) -> list[Scene]:
        """Fresh scenes as the editor makes them now."""
        scenes = self.sample(count, purpose, self.attempt, self.step)
        return edit_scenes(
            self.editor, scenes, derive(self.seed, purpose, "edit", self.attempt, self.step)
        )

    def learned_values(self, count: int) -> dict[str, npt.NDArray[np.float64]]:
        """Attribute values of fresh edited scenes, by label."""
        return attribute_values(self.codec, self.edited(count, "values"))

    # --- randomness and state ----------------------------------------------------------------

    @property
    def progress(self) -> float:
        """Share of this attempt's renders that are used up; an attempt ends at 1."""
        if not self.editor.edits:
            return 1.0
        return (self.objective.renders - self.renders_before) / self.attempt_renders

    @property
    def ended(self) -> bool:
        """Whether the last attempt has converged, or none is left."""
        if not self.outcomes or self.outcomes[-1].attempt != self.attempt:
            return False
        converged = self.outcomes[-1].p_value >= self.options.p_value
        return converged or self.attempt == self.options.restarts or not self.editor.edits

    @property
    def attempt_renders(self) -> int:
        """How many renders an attempt may use."""
        return max(1, self.options.max_renders // (self.options.restarts + 1))

    def sample(self, count: int, *names: str | int) -> list[Scene]:
        """``count`` scenes of the prior, from the stream called ``names``."""
        rng = stream(self.seed, "scenes", *names)
        return [self.grammar.sample(rng) for _ in range(count)]

    def generator(self, *names: str | int) -> torch.Generator:
        """The torch generator of the stream called ``names``."""
        return torch.Generator().manual_seed(derive(self.seed, *names))

    def state_dict(self) -> dict[str, Any]:
        """Everything that :meth:`load_state_dict` needs to go on from here."""
        return {
            "attempt": self.attempt,
            "epoch": self.epoch,
            "step": self.step,
            "value": self.value,
            "values": self.values,
            "latest": self.latest,
            "norm": self.norm,
            "renders": self.objective.renders,
            "shown": self.objective.shown_scenes(),
            "renders_before": self.renders_before,
            "step_before": self.step_before,
            "editor": self.editor.state_dict(),
            "min_scale": self.editor.min_scale,
            "optimiser": self.optimiser.state_dict(),
            "estimator": self.estimator.state_dict(),
            "task": self.task.state_dict() if self.task is not None else {},
            "outcomes": [dict(vars(outcome)) for outcome in self.outcomes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.attempt, self.epoch, self.step = state["attempt"], state["epoch"], state["step"]
        self.value, self.values = state["value"], list(state["values"])
        self.latest, self.norm = state["latest"], state["norm"]
        self.objective.resume(state["renders"], state["shown"])
        self.renders_before, self.step_before = state["renders_before"], state["step_before"]
        self._build(derive(self.seed, "attempt", self.attempt))
        self.editor.load_state_dict(state["editor"])
        self.editor.min_scale = state["min_scale"]
        self._freeze()
        self.optimiser.load_state_dict(state["optimiser"])
        self.estimator.load_state_dict(state["estimator"])
        if self.task is not None:
            self.task.load_state_dict(state["task"])
        self.outcomes = [Outcome(**outcome) for outcome in state["outcomes"]]
