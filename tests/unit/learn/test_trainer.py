"""The training loop: when it stops, what its attempts share, and which it keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from metasim.errors import TrainingError
from metasim.learn import options as settings
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import make_discrepancy, scores
from metasim.learn.features.base import extract
from metasim.learn.features.simple import PixelFeatures
from metasim.learn.gradients.base import Estimate, Step
from metasim.learn.objective import Objective
from metasim.learn.outcome import Epoch, Outcome
from metasim.learn.trainer import Trainer
from metasim.render.base import Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer

GRAMMAR = SceneGrammar.model_validate(AnalyticRenderer.example)
BATCH, BUDGET, HELD_OUT = 8, 200, 20
ESTIMATORS = ("pathwise", "finite_difference", "spsa", "score_function", "surrogate")
# Renders of one step of a batch with three attributes.
AT_MOST = {"finite_difference": 6 * BATCH, "spsa": 2 * BATCH}


class Counting(AnalyticRenderer):
    """Counts all that it draws."""

    drawn = 0

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        self.drawn += len(scenes)
        return super().render(scenes)

    def render_tensor(self, scenes: Sequence[Scene], overrides: Any) -> torch.Tensor:
        self.drawn += len(scenes)
        return super().render_tensor(scenes, overrides)


def make_trainer(use: str = "score_function", held_out: int = HELD_OUT, **training: Any) -> Trainer:
    renderer, extractor = Counting(), PixelFeatures(4)
    scenes = [GRAMMAR.sample(stream(9, i)) for i in range(60)]
    features = extract(extractor, renderer.render(scenes).images)
    renderer.drawn = 0
    discrepancy = make_discrepancy(settings.MMD(), seed=0)
    discrepancy.fit(features[held_out:], reference=features, blocks=extractor.blocks)
    options = {"max_renders": BUDGET, "batch_size": BATCH, "epoch_steps": 3, **training}
    gradient: settings.Gradient = TypeAdapter(settings.Gradient).validate_python({"use": use})
    return Trainer(
        grammar=GRAMMAR,
        objective=Objective(renderer, SceneCodec(GRAMMAR), extractor, discrepancy),
        held_out=features[:held_out],
        options=settings.Training.model_validate(options),
        editor_options=settings.GCNEditor(warmup_steps=2, fit_steps=2),
        gradient=gradient,
        seed=4,
    )


def train(trainer: Trainer) -> tuple[Outcome, list[Epoch], list[int]]:
    epochs: list[Epoch] = []
    renders: list[int] = []
    outcome = trainer.train(lambda: renders.append(trainer.objective.renders), epochs.append)
    return outcome, epochs, renders


@pytest.mark.parametrize("restarts", [0, 1])
@pytest.mark.parametrize("use", ESTIMATORS)
def test_the_budget_is_used_up_and_no_step_begins_beyond_it(use: str, restarts: int) -> None:
    trainer = make_trainer(use, restarts=restarts, p_value=1.0)
    _, epochs, renders = train(trainer)
    judged = trainer.compared * (restarts + 1)
    used = trainer.objective.renders - judged
    slack = (restarts + 1) * AT_MOST.get(use, BATCH)
    assert BUDGET <= used < BUDGET + slack
    drawn = trainer.objective.renderer.drawn  # type: ignore[attr-defined]
    assert trainer.objective.renders == drawn
    assert len(renders) == trainer.step == epochs[-1].step
    assert [e.attempt for e in epochs] == sorted(e.attempt for e in epochs)
    assert {e.attempt for e in epochs} == set(range(restarts + 1))


def test_a_surrogate_takes_several_steps_for_each_batch_of_renders() -> None:
    trainer = make_trainer("surrogate", restarts=0)
    train(trainer)
    batches = (trainer.objective.renders - trainer.compared) // BATCH
    assert trainer.step == (batches - 1) * 4 + 1


def test_attempts_share_the_renders_equally() -> None:
    trainer = make_trainer(restarts=1, p_value=1.0)
    _, epochs, _ = train(trainer)
    last = [max(e.step for e in epochs if e.attempt == n) for n in (0, 1)]
    assert last[1] == 2 * last[0]


def test_a_converged_attempt_is_the_last() -> None:
    trainer = make_trainer(restarts=3, p_value=0.0)
    _, epochs, _ = train(trainer)
    assert len(trainer.outcomes) == 1
    assert trainer.objective.renders < BUDGET
    assert trainer.ended
    assert {e.attempt for e in epochs} == {0}


@pytest.mark.parametrize(("held_out", "compared"), [(2, 100), (24, 100), (25, 25), (40, 40)])
def test_few_target_images_are_tested_against_more_renders(held_out: int, compared: int) -> None:
    trainer = make_trainer(held_out=held_out)
    assert trainer.compared == compared
    trainer.held_out = trainer.held_out + 1000.0
    trainer.start()
    assert trainer.judge().p_value < 0.05
    assert trainer.objective.renders == compared


def test_the_scores_are_those_of_the_renders_that_are_tested() -> None:
    trainer = make_trainer()
    trainer.start()
    found = trainer.judge()
    assert trainer.objective.renders == trainer.compared  # they cost no further one
    features = trainer.fresh_features(trainer.compared, "judge")
    assert found.scores == scores(features, trainer.held_out)
    assert set(found.scores) == {"kid", "cmmd"}


def test_training_that_has_ended_is_not_begun_again() -> None:
    trainer = make_trainer(restarts=1, p_value=1.0)
    best, _, _ = train(trainer)
    again = make_trainer(restarts=1, p_value=1.0)
    again.load_state_dict(trainer.state_dict())
    outcome, epochs, _ = train(again)
    assert epochs == []
    assert len(again.outcomes) == 2
    assert again.objective.renders == trainer.objective.renders
    assert (outcome.attempt, outcome.discrepancy) == (best.attempt, best.discrepancy)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        pytest.param([(0.5, 0.01), (0.2, 0.01)], 1, id="none converged: the least discrepancy"),
        pytest.param([(0.2, 0.01), (0.5, 0.01)], 0, id="the same, the other way round"),
        pytest.param([(0.2, 0.01), (0.5, 0.3)], 1, id="one converged"),
    ],
)
def test_the_best_attempt_is_kept(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[float, float]], kept: int
) -> None:
    trainer = make_trainer(restarts=1, p_value=0.05)
    weights: list[dict[str, torch.Tensor]] = []

    def judge() -> Outcome:
        discrepancy, p_value = found[len(weights)]
        weights.append({k: v.clone() for k, v in trainer.editor.state_dict().items()})
        scale = 0.01 * len(weights)
        return Outcome(trainer.attempt, discrepancy, p_value, weights[-1], scale, {}, {})

    monkeypatch.setattr(trainer, "judge", judge)
    best, _, _ = train(trainer)
    assert best.attempt == kept
    assert trainer.editor.min_scale == 0.01 * (kept + 1)
    different = 0
    for name, tensor in trainer.editor.state_dict().items():
        assert torch.equal(tensor, weights[kept][name])
        different += not torch.equal(tensor, weights[1 - kept][name])
    assert different > 0  # another attempt starts from other weights


def test_the_noise_and_the_rate_fall() -> None:
    noise = {"noise_start": 0.4, "noise_end": 0.1, "anneal": 0.5}
    trainer = make_trainer(restarts=0, lr=0.003, epoch_steps=1, **noise)
    _, epochs, _ = train(trainer)
    scales, rates = [e.min_scale for e in epochs], [e.lr for e in epochs]
    assert scales[0] == pytest.approx(0.4)
    assert scales == sorted(scales, reverse=True)
    assert scales[len(scales) // 2 + 1 :] == [0.1] * (len(scales) - len(scales) // 2 - 1)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.003)


def test_the_rate_can_be_halved_in_steps() -> None:
    trainer = make_trainer(restarts=0, lr=0.08, lr_halve_every=10, epoch_steps=10)
    _, epochs, _ = train(trainer)
    assert [e.lr for e in epochs] == [0.08, 0.04, 0.02]


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1e30, 1001.0])
def test_a_step_that_ruins_one_weight_is_refused(
    monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    trainer = make_trainer(restarts=0)
    trainer.start()
    parameters = list(trainer.editor.parameters())

    def ruin() -> None:
        parameters[-1].data.view(-1)[-1] = weight

    monkeypatch.setattr(trainer.optimiser, "step", ruin)
    with pytest.raises(TrainingError, match=re.escape(f"came to {abs(weight):.3g}, where")):
        train(trainer)
    assert trainer.step == 0


def test_a_frozen_encoder_stays_as_the_warm_up_left_it() -> None:
    trainer = make_trainer(restarts=0)
    trainer.editor_options = settings.GCNEditor(warmup_steps=2, fit_steps=2, freeze_encoder=True)
    trainer.start()
    before = {k: v.clone() for k, v in trainer.editor.state_dict().items()}
    train(trainer)
    moved = {k for k, v in trainer.editor.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert not any(name.startswith("encoder") for name in moved)


def test_a_frozen_encoder_stays_frozen_after_a_resumed_run() -> None:
    def frozen() -> Trainer:
        trainer = make_trainer(restarts=0)
        trainer.editor_options = settings.GCNEditor(
            warmup_steps=2, fit_steps=2, freeze_encoder=True
        )
        return trainer

    first, resumed = frozen(), frozen()
    first.start()
    resumed.load_state_dict(first.state_dict())
    train(first)
    train(resumed)
    for name, value in first.editor.state_dict().items():
        assert torch.equal(value, resumed.editor.state_dict()[name]), name


def test_each_attempt_halves_the_rate_from_the_start() -> None:
    trainer = make_trainer(
        restarts=1, p_value=1.0, lr=0.08, lr_halve_every=5, epoch_steps=1, max_renders=2 * BUDGET
    )
    _, epochs, _ = train(trainer)
    first, second = ([e.lr for e in epochs if e.attempt == i] for i in (0, 1))
    assert first[0] == second[0] == 0.08
    assert first == second


def test_an_epoch_tells_of_renders_not_of_what_a_network_takes_them_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most steps of the surrogate render nothing; here what it predicts is far off."""
    trainer = make_trainer("surrogate", restarts=0, epoch_steps=1)
    trainer.start()
    seen: list[torch.Tensor] = []
    features_of = Objective.features_of

    def noted(self: Objective, *given: Any) -> torch.Tensor:
        seen.append(features_of(self, *given))
        return seen[-1]

    monkeypatch.setattr(Objective, "features_of", noted)
    forward = type(trainer.estimator.network).forward  # type: ignore[attr-defined]
    monkeypatch.setattr(
        type(trainer.estimator.network),  # type: ignore[attr-defined]
        "forward",
        lambda self, *given: forward(self, *given) + 50.0,
    )
    for _ in range(3):
        trainer._train_step()
    assert len(seen) == 1  # the two steps after it went by the prediction
    epoch = trainer._look()
    torch.testing.assert_close(trainer.latest, seen[0][: trainer.compared], atol=1e-4, rtol=1e-4)
    assert epoch.p_value == pytest.approx(trainer.p_value(seen[0]), abs=0.01)


def test_the_images_of_a_resumed_run_are_drawn_again_and_not_counted() -> None:
    trainer = make_trainer("surrogate", restarts=0)
    trainer.start()
    trainer._train_step()
    shown = trainer.objective.images
    again = make_trainer("surrogate", restarts=0)
    again.load_state_dict(trainer.state_dict())
    assert shown is not None
    assert again.objective.images is not None
    assert (again.objective.images == shown).all()
    assert again.objective.renders == trainer.objective.renders


def test_the_task_accuracy_told_is_that_of_the_attempt_that_is_kept() -> None:
    trainer = make_trainer(restarts=0)
    trainer.start()
    assert trainer.judge().task_accuracy is None

    class Task:
        accuracy = 0.75

    trainer.task = Task()  # type: ignore[assignment]
    assert trainer.judge().task_accuracy == 0.75


@pytest.mark.parametrize("sign", [1, -1])
def test_the_task_has_a_say_in_what_is_learned(sign: int) -> None:
    """Its loss is added to the discrepancy's, and lowered."""

    class Task:
        accuracy = 0.0

        def loss(self, step: Step, estimate: Estimate, rendered: Rendered) -> torch.Tensor:
            assert len(rendered) == BATCH
            x = step.distribution.mean[step.batch.name_id == 1, :, 0]
            return -1000.0 * sign * x.mean()

    trainer = make_trainer("pathwise", restarts=0)
    assert trainer.codec.labels[0] == "blob.x"
    trainer.start()
    trainer.task = Task()  # type: ignore[assignment]
    before = trainer.learned_values(200)["blob.x"].mean()
    for _ in range(15):
        trainer._train_step()
    assert sign * (trainer.learned_values(200)["blob.x"].mean() - before) > 1
