"""Black-box search over the parameters of a distribution: Optuna's TPE and CMA-ES.

Both look for the mean and the log deviation of every learnable attribute. What they are
given is what the learner is given: the same renderer, features and discrepancy, the prior
as a first guess, and so many renders.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cma
import numpy as np
import optuna
import torch

from metasim.learn.codec import SceneCodec
from metasim.learn.objective import Objective
from metasim.report.statistics import summarise
from metasim.rng import derive, stream

Floats = np.ndarray
Curve = list[tuple[int, dict[str, Floats]]]
_LOG_LOW, _LOG_HIGH = math.log(0.005), math.log(0.6)  # deviations, in half ranges
_VALUES = 2000


@dataclass
class Problem:
    """The unbiased discrepancy of a batch as a function of means and log deviations.

    Attributes:
        codec: of the grammar; its labels are the attributes, in order.
        objective: renders and compares; it counts the renders.
        seed: of the scenes and the draws.
        batch: renders for each evaluation.
    """

    codec: SceneCodec
    objective: Objective
    seed: int
    batch: int
    evaluations: int = 0

    @property
    def periodic(self) -> list[bool]:
        """Which attributes lie on a circle."""
        return [spec.periodic for spec in self.codec.specs()]

    def prior(self) -> tuple[Floats, Floats]:
        """Mean and log deviation (A,) of the grammar's own samples, latent units."""
        rng = stream(self.seed, "peer prior")
        scenes = [self.codec.grammar.sample(rng) for _ in range(500)]
        batch = self.codec.encode(scenes)
        means, logs = [], []
        for (s, a), spec in zip(self.codec.entries, self.codec.specs(), strict=True):
            low, high = spec.range or (-1.0, 1.0)
            values = batch.value[batch.name_id == s, a].numpy()
            told = summarise(values, spec.periodic, low, high)
            means.append(2 * (told["mean"] - low) / (high - low) - 1)
            logs.append(math.log(2 * max(told["std"], 1e-6) / (high - low)))
        return np.array(means), np.clip(logs, _LOG_LOW, _LOG_HIGH)

    @torch.no_grad()
    def value(self, mean: Floats, log_deviation: Floats) -> float:
        """The discrepancy of one fresh batch drawn with these parameters."""
        number, self.evaluations = self.evaluations, self.evaluations + 1
        rng = stream(self.seed, "peer", number)
        scenes = [self.codec.grammar.sample(rng) for _ in range(self.batch)]
        name_id = self.codec.encode(scenes).name_id
        latent = torch.zeros(len(name_id), len(self.codec.attributes))
        for i, (s, a) in enumerate(self.codec.entries):
            rows = torch.nonzero(name_id == s).squeeze(-1)
            draws = mean[i] + math.exp(log_deviation[i]) * rng.standard_normal(len(rows))
            latent[rows, a] = torch.from_numpy(draws).float()
        generator = torch.Generator().manual_seed(derive(self.seed, "peer looks", number))
        features = self.objective.edited(scenes, latent, name_id, generator)
        return float(self.objective.discrepancy.value(features))

    def values(self, mean: Floats, log_deviation: Floats) -> dict[str, Floats]:
        """Many attribute values with these parameters, by label; nothing is rendered."""
        rng = stream(self.seed, "peer values")
        found = {}
        for i, (label, spec) in enumerate(zip(self.codec.labels, self.codec.specs(), strict=True)):
            low, high = spec.range or (-1.0, 1.0)
            draws = mean[i] + math.exp(log_deviation[i]) * rng.standard_normal(_VALUES)
            draws = (draws + 1) % 2 - 1 if spec.periodic else np.clip(draws, -1, 1)
            found[label] = low + (draws + 1) / 2 * (high - low)
        return found


def search_tpe(problem: Problem, budgets: Sequence[int]) -> Curve:
    """Optuna's TPE over angles, places and log deviations; the best trial so far counts."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    sampler = optuna.samplers.TPESampler(
        seed=derive(problem.seed, "tpe") % 2**32, multivariate=True
    )
    study = optuna.create_study(sampler=sampler)
    mean, logs = problem.prior()
    count = len(mean)
    guess = {f"mean{i}": float(mean[i]) for i in range(count)}
    study.enqueue_trial({**guess, **{f"log{i}": float(logs[i]) for i in range(count)}})

    def vectors(parameters: dict[str, float]) -> tuple[Floats, Floats]:
        return (
            np.array([parameters[f"mean{i}"] for i in range(count)]),
            np.array([parameters[f"log{i}"] for i in range(count)]),
        )

    def once() -> None:
        trial = study.ask()
        for i in range(count):
            trial.suggest_float(f"mean{i}", -1.0, 1.0)
            trial.suggest_float(f"log{i}", _LOG_LOW, _LOG_HIGH)
        study.tell(trial, problem.value(*vectors(trial.params)))

    return _until(problem, budgets, problem.batch, once, lambda: vectors(study.best_params))


def search_cmaes(problem: Problem, budgets: Sequence[int]) -> Curve:
    """CMA-ES, circular means as points of the plane; the distribution's mean counts."""
    periodic = problem.periodic
    mean, logs = problem.prior()
    start: list[float] = []
    for i, circle in enumerate(periodic):
        start += [math.cos(math.pi * mean[i]), math.sin(math.pi * mean[i])] if circle else [mean[i]]
    # Log deviations are scaled to about the size of the means, as one step size serves all.
    start += [float(log) / 2 for log in logs]
    seed = derive(problem.seed, "cma") % (2**31 - 1) + 1
    strategy = cma.CMAEvolutionStrategy(
        start, 0.5, {"seed": seed, "verbose": -9, "maxiter": 10**9, "tolflatfitness": 10**9}
    )

    def vectors(x: Floats) -> tuple[Floats, Floats]:
        found, place = [], 0
        for circle in periodic:
            found.append(math.atan2(x[place + 1], x[place]) / math.pi if circle else x[place])
            place += 2 if circle else 1
        return np.clip(found, -1, 1), np.clip(2 * np.asarray(x[place:]), _LOG_LOW, _LOG_HIGH)

    def once() -> None:
        asked = strategy.ask()
        strategy.tell(asked, [problem.value(*vectors(x)) for x in asked])

    cost = strategy.popsize * problem.batch
    return _until(problem, budgets, cost, once, lambda: vectors(strategy.result.xfavorite))


def _until(
    problem: Problem,
    budgets: Sequence[int],
    cost: int,
    once: Callable[[], None],
    best: Callable[[], tuple[Floats, Floats]],
) -> Curve:
    """Search on, and note what is thought best just before a budget would be exceeded."""
    curve: Curve = []
    for budget in sorted(budgets):
        while not problem.objective.renders or problem.objective.renders + cost <= budget:
            once()
        curve.append((problem.objective.renders, problem.values(*best())))
    return curve
