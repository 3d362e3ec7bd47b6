"""Every estimator's mean is the exact gradient of an analytic problem.

The exact one is an integral over the distribution by quadrature, differentiated through
the renderer; the problems have one to three attributes, lines and circles, correlations,
mixtures, and scenes with several nodes, not all with the same number of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import KernelMMD
from metasim.learn.editor import EditDistribution
from metasim.learn.features import PixelFeatures
from metasim.learn.features.base import to_tensor
from metasim.learn.gradients import Estimate, GradientEstimator, Step, make_estimator
from metasim.learn.gradients.make import choose
from metasim.learn.objective import Objective
from metasim.render.base import Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Attributes, Node, Scene
from metasim.testing import AnalyticRenderer
from torch import Tensor

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
        return Step(scenes, batch, distribution, torch.Generator().manual_seed(hash(names) % 2**31))

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
    # Small batches, so that a bias of the order of one over the batch would show.
    batches, size = (400, 12) if use == "score_function" else (100, 12)
    mean, error = mean_estimate(problem, ESTIMATORS[use], batches, size)
    scale = float(exact.norm())
    print(name, use, "exact", exact, "mean", mean, "err", error, float(error.norm())/scale)
    assert float(error.norm()) < 0.5 * scale
    assert float(((mean - exact).abs() / (error + 0.005 * scale)).max()) < 4.0
