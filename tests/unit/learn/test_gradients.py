"""Every estimator's mean is the exact gradient of an analytic problem.

The exact one is an integral over the distribution by quadrature, differentiated through
the renderer; the problems have one to three attributes, lines and circles, correlations,
mixtures, and scenes with several nodes, not all with the same number of them.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import KernelMMD
from metasim.learn.distribution import EditDistribution
from metasim.learn.examples import Examples, make_examples
from metasim.learn.features import PixelFeatures
from metasim.learn.features.base import to_tensor
from metasim.learn.gradients import Estimate, GradientEstimator, Step, make_estimator
from metasim.learn.gradients.make import choose
from metasim.learn.objective import Objective
from metasim.render.base import Rendered
from metasim.rng import derive, stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Attributes, Node, Scene
from metasim.testing import AnalyticRenderer

SIZE = 16
X = {"prior": 8.0, "range": [0, 16], "mutable": True}
YAW = {"prior": 0.0, "range": [0, 360], "mutable": True, "periodic": True}
ESTIMATORS: dict[str, options.Gradient] = {
    "pathwise": options.Pathwise(),
    "finite_difference": options.FiniteDifference(step=0.01),
    "spsa": options.SPSA(step=0.01),
    "score_function": options.ScoreFunction(),
}


def blob(name: str, attributes: dict[str, Any], count: Any = 1) -> dict[str, Any]:
    return {"name": name, "kind": "blob", "count": count, "attributes": attributes}


@dataclass
class Problem:
    """A target, and a distribution whose parameters are leaves.

    ``logits`` (S, K), ``mean`` (S, K, A) and ``factor`` (S, K, A, A) are for each grammar
    node; the factor's diagonal is the logarithm of the deviations.
    """

    children: list[dict[str, Any]]
    mean: list[list[list[float]]]
    target: list[dict[str, float]]
    deviation: float = 0.12
    logits: list[float] = field(default_factory=lambda: [0.0])
    coupling: float = 0.0
    points: int = 9

    def __post_init__(self) -> None:
        root = {"name": "scene", "kind": "scene", "children": self.children}
        self.grammar = SceneGrammar.model_validate({"root": root})
        self.codec = SceneCodec(self.grammar)
        self.renderer = Counting((SIZE, SIZE))
        a = len(self.codec.attributes)
        mean = torch.tensor(self.mean)
        mean = torch.cat([torch.zeros(1, *mean.shape[1:]), mean])  # the root's
        logits = torch.tensor(self.logits).expand(len(mean), -1).clone()
        factor = torch.diag_embed(torch.full((*mean.shape[:2], a), math.log(self.deviation)))
        factor = factor + self.coupling * torch.ones(a, a).tril(-1)
        self.parameters = [p.requires_grad_() for p in (logits, mean, factor)]
        self.discrepancy = self.fitted(unbiased=True)

    def fitted(self, *, unbiased: bool) -> KernelMMD:
        images = to_tensor(self.renderer.render(self.target_scenes()).images)
        discrepancy = KernelMMD((0.5, 1.0, 2.0), unbiased=unbiased)
        discrepancy.fit(PixelFeatures(SIZE)(images))
        return discrepancy

    def target_scenes(self) -> list[Scene]:
        """Each target node jittered, 40 images."""
        rng = np.random.default_rng(5)
        scenes = []
        for _ in range(40):
            jittered = [
                {k: v + rng.normal() * (20 if k == "yaw" else 1.5) for k, v in node.items()}
                for node in self.target
            ]
            blobs = [Node("t", "blob", Attributes(values), 0) for values in jittered]
            scenes.append(Scene((Node("scene", "scene", Attributes()), *blobs)))
        return scenes

    def sample(self, rng: np.random.Generator, count: int) -> list[Scene]:
        return [self.grammar.sample(rng) for _ in range(count)]

    def distribution(self, scenes: Sequence[Scene]) -> tuple[Any, EditDistribution]:
        batch = self.codec.encode(scenes)
        logits, mean, factor = (p[batch.name_id] for p in self.parameters)
        mask = self.codec.mask[batch.name_id]
        diagonal = factor.diagonal(dim1=-2, dim2=-1).exp()
        diagonal = torch.where(mask[:, None], diagonal, torch.ones_like(diagonal))
        both = (mask[:, :, None] & mask[:, None, :])[:, None]
        scale = torch.diag_embed(diagonal) + factor.tril(-1) * both
        periodic = self.codec.periodic[batch.name_id]
        return batch, EditDistribution(
            logits, mean, scale, mask, periodic, batch.batch, len(scenes)
        )

    def gradient(self, loss: Tensor) -> Tensor:
        """The parameters' gradients as one vector, zero where there is none."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        parts = [
            torch.zeros_like(p) if g is None else g
            for g, p in zip(found, self.parameters, strict=True)
        ]
        return torch.cat([part[1:].flatten() for part in parts])  # nothing is learned of the root

    def exact(self) -> Tensor:
        """By Gauss-Hermite quadrature over all nodes, components and numbers of nodes."""
        features, weights = [], []
        for share, scene in self.kinds():
            f, w = self.quadrature(scene)
            features.append(f)
            weights.append(share * w)
        discrepancy = self.fitted(unbiased=False)
        return self.gradient(discrepancy.value(torch.cat(features), torch.cat(weights)))

    def kinds(self) -> list[tuple[float, Scene]]:
        """One scene of each shape, and how often it comes up."""
        counts: dict[int, list[Scene]] = {}
        rng = np.random.default_rng(0)
        for scene in self.sample(rng, 200):
            counts.setdefault(len(scene.nodes), []).append(scene)
        return [(1 / len(counts), scenes[0]) for scenes in counts.values()]

    def quadrature(self, scene: Scene) -> tuple[Tensor, Tensor]:
        z, w = np.polynomial.hermite_e.hermegauss(self.points)
        nodes = [n for n, node in enumerate(scene.nodes) if node.kind == "blob"]
        _, one = self.distribution([scene])
        components = range(one.logits.shape[1])
        entries = [(n, int(a)) for n in nodes for a in torch.nonzero(one.mask[n])]
        grid = np.array(list(itertools.product(z, repeat=len(entries))), dtype=np.float32)
        share = np.prod(list(itertools.product(w / w.sum(), repeat=len(entries))), axis=1)
        noise = torch.zeros(len(grid), *one.mask.shape)
        for column, (n, a) in enumerate(entries):
            noise[:, n, a] = torch.from_numpy(grid[:, column])
        latents, weights = [], []
        for chosen in itertools.product(components, repeat=len(nodes)):
            pick = torch.zeros(len(scene.nodes), dtype=torch.long)
            pick[nodes] = torch.tensor(chosen)
            rows = torch.arange(len(pick))
            scale, mean = one.scale[rows, pick], one.mean[rows, pick]
            latents.append(mean + (scale @ noise.unsqueeze(-1)).squeeze(-1))
            log_weight = one.logits.log_softmax(-1)[rows, pick]
            weights.append(log_weight[nodes].sum().exp() * torch.from_numpy(share).float())
        latent = torch.cat(latents)
        scenes = [scene] * len(latent)
        name_id = self.codec.encode([scene]).name_id.repeat(len(latent))
        objective = Objective(self.renderer, self.codec, PixelFeatures(SIZE), self.discrepancy)
        generator = torch.Generator().manual_seed(0)
        features = objective.differentiable(scenes, latent.flatten(0, 1), name_id, generator)
        return features, torch.cat(weights)

    def step(self, batch_size: int, *names: int) -> Step:
        scenes = self.sample(stream(7, *names), batch_size)
        batch, distribution = self.distribution(scenes)
        return Step(scenes, batch, distribution, torch.Generator().manual_seed(derive(8, *names)))

    def objective(self) -> Objective:
        return Objective(self.renderer, self.codec, PixelFeatures(SIZE), self.discrepancy)

    def estimator(self, option: options.Gradient) -> GradientEstimator:
        return make_estimator(option, self.renderer, self.codec, SIZE * SIZE, seed=0)


class Counting(AnalyticRenderer):
    """Notes what it was asked to draw."""

    def __init__(self, image_size: Sequence[int] = (SIZE, SIZE)) -> None:
        super().__init__(image_size)
        self.calls: list[list[Scene]] = []

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        self.calls.append(list(scenes))
        return super().render(scenes)


PROBLEMS: dict[str, Any] = {
    "line": lambda: Problem([blob("b", {"x": X})], [[[-0.2]]], [{"x": 9.5}]),
    "across the cut": lambda: Problem(
        [blob("b", {"yaw": YAW})], [[[0.97]]], [{"yaw": 30.0}], deviation=0.1, points=15
    ),
    "correlated line and circle": lambda: Problem(
        [blob("b", {"x": X, "yaw": YAW})], [[[0.1, -0.1]]], [{"x": 8.0, "yaw": 20.0}], coupling=0.08
    ),
    "mixture": lambda: Problem(
        [blob("b", {"x": X})],
        [[[-0.25], [0.3]]],
        [{"x": 9.0}],
        logits=[0.4, -0.3],
    ),
    "mixture of three attributes": lambda: Problem(
        [blob("b", {"x": X, "y": X, "yaw": YAW})],
        [[[-0.1, 0.1, 0.0], [0.2, 0.0, 0.9]]],
        [{"x": 9.0, "y": 8.0, "yaw": 30.0}],
        logits=[0.3, -0.3],
        coupling=0.03,
        points=5,
    ),
    "two nodes": lambda: Problem(
        [blob("a", {"x": X}), blob("b", {"x": X, "y": X})],
        [[[-0.4, 0.0]], [[0.3, 0.2]]],
        [{"x": 4.0}, {"x": 12.0, "y": 8.0}],
        points=7,
    ),
    "one or two nodes, mixture": lambda: Problem(
        [blob("b", {"x": X}, {"choice": {"values": [1, 2]}})],
        [[[-0.4], [0.35]]],
        [{"x": 6.0}],
        logits=[0.3, -0.3],
        points=7,
    ),
}


def mean_estimate(
    problem: Problem, option: options.Gradient, batches: int, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Mean gradient and its standard error."""
    objective, estimator = problem.objective(), problem.estimator(option)
    found = torch.stack(
        [
            problem.gradient(estimator.estimate(problem.step(batch_size, i), objective).loss)
            for i in range(batches)
        ]
    )
    return found.mean(dim=0), found.std(dim=0) / math.sqrt(batches)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("use", ESTIMATORS)
def test_the_mean_estimate_is_the_exact_gradient(use: str, name: str) -> None:
    problem = PROBLEMS[name]()
    exact = problem.exact()
    batches = 250 if use == "score_function" else 60
    mean, error = mean_estimate(problem, ESTIMATORS[use], batches, 12)
    scale = float(exact.norm())
    assert float(error.norm()) < 0.35 * scale
    assert float(((mean - exact).abs() / (error + 0.005 * scale)).max()) < 4.0


def test_the_baseline_of_the_score_function_adds_no_bias() -> None:
    # The smallest batch: comparing each reward with the mean of the others, which were
    # themselves compared with this image, is off by more than 5 standard errors here.
    problem = PROBLEMS["mixture"]()
    mean, error = mean_estimate(problem, options.ScoreFunction(), 1000, 4)
    assert float(((mean - problem.exact()) / error).abs().max()) < 3.5


@pytest.mark.parametrize("name", ["line", "mixture"])
def test_an_image_s_own_witness_is_a_better_reward_than_the_set_s_discrepancy(name: str) -> None:
    problem = PROBLEMS[name]()
    objective, estimator = problem.objective(), problem.estimator(options.ScoreFunction())
    by_image, by_set, values = [], [], []
    for i in range(60):
        step = problem.step(32, i)
        estimate = estimator.estimate(step, objective)
        by_image.append(problem.gradient(estimate.loss))
        # The distribution anew: its graph is gone.
        _, distribution = problem.distribution(step.scenes)
        by_set.append(problem.gradient(distribution.log_prob(estimate.edit).sum()))
        values.append(estimate.value)
    reward = torch.tensor(values)
    set_level = torch.stack(by_set) * (reward - reward.mean())[:, None]
    assert float(set_level.var(dim=0).sum()) > 10 * float(torch.stack(by_image).var(dim=0).sum())


def entries(scene: Scene) -> int:
    return sum(len(node.attributes) for node in scene.nodes)


def changed(one: Scene, other: Scene) -> int:
    """How many attribute values differ."""
    return sum(
        a.attributes[name] != b.attributes[name]
        for a, b in zip(one.nodes, other.nodes, strict=True)
        for name in a.attributes
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_finite_differences_render_twice_for_each_attribute_in_one_call(name: str) -> None:
    problem = PROBLEMS[name]()
    step, objective = problem.step(8, 0), problem.objective()
    problem.renderer.calls.clear()
    problem.estimator(options.FiniteDifference()).estimate(step, objective)
    (drawn,) = problem.renderer.calls
    assert len(drawn) == objective.renders == sum(2 * entries(scene) for scene in step.scenes)
    for scene in step.scenes:
        mine = [copy for copy in drawn if copy.seed == scene.seed]
        assert len(mine) == 2 * entries(scene)
        # Two ends of one difference differ in one value; of two differences in two.
        distances = sorted(changed(mine[0], copy) for copy in mine)
        assert distances == [0, 1] + [2] * (len(mine) - 2)


def test_a_scene_without_learnable_attributes_is_still_part_of_the_batch() -> None:
    problem = Problem([blob("b", {"x": X}, {"choice": {"values": [0, 1]}})], [[[0.1]]], [{"x": 8}])
    step, objective = problem.step(12, 0), problem.objective()
    estimate = problem.estimator(options.FiniteDifference()).estimate(step, objective)
    assert {entries(scene) for scene in step.scenes} == {0, 1}
    assert objective.renders == 24
    assert estimate.features.shape[0] == 12
    assert bool(problem.gradient(estimate.loss).isfinite().all())


@pytest.mark.parametrize(("use", "renders"), [("spsa", 2), ("score_function", 1), ("pathwise", 1)])
def test_the_other_estimators_render_a_fixed_number_of_times(use: str, renders: int) -> None:
    problem = PROBLEMS["mixture of three attributes"]()
    objective = problem.objective()
    problem.renderer.calls.clear()
    problem.estimator(ESTIMATORS[use]).estimate(problem.step(8, 0), objective)
    assert objective.renders == 8 * renders
    assert len(problem.renderer.calls) == (0 if use == "pathwise" else 1)


@pytest.mark.parametrize("use", [*ESTIMATORS, "surrogate"])
def test_an_estimate_tells_the_value_and_the_features_of_its_batch(use: str) -> None:
    problem = PROBLEMS["correlated line and circle"]()
    option = ESTIMATORS.get(use, options.Surrogate())
    objective, step = problem.objective(), problem.step(16, 3)
    estimate = problem.estimator(option).estimate(step, objective)
    assert estimate.features.shape == (16, SIZE * SIZE)
    assert not estimate.features.requires_grad
    value = float(problem.discrepancy.value(estimate.features))
    assert estimate.value == pytest.approx(value, rel=1e-4)
    assert estimate.edit.latent.shape == step.distribution.mask.shape


@pytest.mark.parametrize("use", [*ESTIMATORS, "surrogate"])
def test_the_same_step_gives_the_same_gradient(use: str) -> None:
    problem = PROBLEMS["mixture"]()
    option = ESTIMATORS.get(use, options.Surrogate())
    first, second = (
        problem.gradient(
            problem.estimator(option).estimate(problem.step(8, 1), problem.objective()).loss
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert float(first.norm()) > 0


# --- the surrogate --------------------------------------------------------------------------


def run_surrogate(problem: Problem, steps: range, **further: int) -> tuple[Any, list[Estimate]]:
    option = options.Surrogate(**{"width": 64, "fit_steps": 6, **further})
    objective, estimator = problem.objective(), problem.estimator(option)
    found = [estimator.estimate(problem.step(32, i), objective) for i in steps]
    return (estimator, objective), found


def test_the_surrogate_s_gradient_becomes_the_exact_one() -> None:
    problem = PROBLEMS["mixture"]()
    (estimator, objective), _ = run_surrogate(problem, range(120), inner_steps=1)
    found = [
        problem.gradient(estimator.estimate(problem.step(32, i), objective).loss)
        for i in range(120, 150)
    ]
    mean, exact = torch.stack(found).mean(dim=0), problem.exact()
    assert float(torch.cosine_similarity(mean, exact, dim=0)) > 0.95
    assert 0.7 < float(mean.norm() / exact.norm()) < 1.4


def test_a_surrogate_that_studied_examples_is_right_from_its_first_steps() -> None:
    problem = PROBLEMS["mixture"]()
    objective, exact = problem.objective(), problem.exact()
    generator = torch.Generator().manual_seed(0)
    scenes = [problem.grammar.widened().sample(stream(3, i)) for i in range(1500)]
    examples = make_examples(problem.codec, scenes, objective.features(scenes, generator), 128)
    assert [len(batch) for batch in examples] == [128] * 11 + [92]

    def cosine(known: Sequence[Examples]) -> float:
        estimator = problem.estimator(options.Surrogate(inner_steps=1, fit_steps=1))
        estimator.study(known, generator)
        steps = [problem.step(32, i) for i in range(5)]
        found = [problem.gradient(estimator.estimate(s, objective).loss) for s in steps]
        return float(torch.cosine_similarity(torch.stack(found).mean(dim=0), exact, dim=0))

    assert cosine(examples) > 0.9
    assert cosine(()) < 0.7


@pytest.mark.parametrize("inner", [1, 3])
def test_the_surrogate_renders_once_in_a_number_of_steps(inner: int) -> None:
    (_, objective), found = run_surrogate(PROBLEMS["line"](), range(7), inner_steps=inner)
    assert objective.renders == 32 * math.ceil(7 / inner)
    assert all(math.isfinite(estimate.value) for estimate in found)


def test_the_surrogate_forgets_what_does_not_fit_its_buffer() -> None:
    (estimator, _), _ = run_surrogate(PROBLEMS["line"](), range(6), inner_steps=1, buffer=100)
    assert sum(len(memory.features) for memory in estimator.memory) == 96


def test_a_resumed_surrogate_goes_on_identically() -> None:
    problem = PROBLEMS["line"]()
    (whole, objective), _ = run_surrogate(problem, range(3), inner_steps=2)
    resumed = problem.estimator(options.Surrogate(width=64, fit_steps=6, inner_steps=2))
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for i in range(3, 6):
        first, second = (e.estimate(problem.step(32, i), objective) for e in (whole, resumed))
        assert torch.equal(problem.gradient(first.loss), problem.gradient(second.loss))


# --- which one ------------------------------------------------------------------------------


class Opaque(AnalyticRenderer):
    """Offers no gradient."""

    render_tensor = None  # type: ignore[assignment]


class Partly(AnalyticRenderer):
    """Offers a gradient by one attribute."""

    differentiable = frozenset({"x"})


@pytest.mark.parametrize(
    ("renderer", "attributes", "wanted"),
    [
        (AnalyticRenderer, {"x": X, "y": X, "yaw": YAW}, options.Pathwise),
        (Partly, {"x": X}, options.Pathwise),
        (Partly, {"x": X, "yaw": YAW}, options.FiniteDifference),
        (Opaque, {"x": X, "yaw": YAW}, options.FiniteDifference),
        (Opaque, {"x": X, "y": X, "yaw": YAW}, options.ScoreFunction),
    ],
)
def test_auto_takes_what_renderer_and_grammar_allow(
    renderer: type[AnalyticRenderer], attributes: dict[str, Any], wanted: type
) -> None:
    root = {"name": "scene", "kind": "scene", "children": [blob("b", attributes)]}
    codec = SceneCodec(SceneGrammar.model_validate({"root": root}))
    assert isinstance(choose(options.AutoGradient(), renderer(), codec), wanted)
    assert choose(options.SPSA(), renderer(), codec) == options.SPSA()
