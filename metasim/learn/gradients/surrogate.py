"""A learned surrogate of renderer and features, for slow renderers (cf. ZeroGrads, 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metasim.errors import TrainingError
from metasim.learn.examples import Examples
from metasim.learn.gradients.base import Estimate, GradientEstimator, Step, advantage, along
from metasim.learn.initial import initial_weights
from metasim.learn.objective import Objective

__all__ = ["SurrogateEstimator"]

_PASSES = 20  # over the examples known before the first step


class _Surrogate(nn.Module):
    """Node inputs (N, F) summed over each scene after one network, to features (B, D)."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.node = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.scene = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, nodes: Tensor, scene: Tensor, scenes: int) -> Tensor:
        hidden = self.node(nodes)
        pooled = hidden.new_zeros(scenes, hidden.shape[1]).index_add(0, scene, hidden)
        out: Tensor = self.scene(pooled)
        return out


class SurrogateEstimator(GradientEstimator):
    """Gradients of a network that has learned what renderer and extractor make of a scene.

    One step in ``inner_steps`` renders: its features are exact, only their derivative is
    the network's. The steps between take the network's prediction for new draws, with the
    errors it made on the last renders added back, so that the spread of features that no
    attribute explains is kept.

    Args:
        inputs: F, columns of the encoded nodes.
        outputs: D, features.
        buffer, inner_steps, fit_steps, width: see :class:`metasim.learn.options.Surrogate`.
        seed: of the network's weights.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        buffer: int,
        inner_steps: int,
        fit_steps: int,
        width: int,
        seed: int,
    ) -> None:
        with initial_weights(seed):
            self.network = _Surrogate(inputs, width, outputs)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)
        self.buffer, self.inner_steps, self.fit_steps = buffer, inner_steps, fit_steps
        self.memory: list[Examples] = []
        self.calls = 0

    def study(self, examples: Sequence[Examples], generator: torch.Generator) -> None:
        """Learn what is known: else the first steps, by a network that knows nothing, lead away."""
        for batch in examples:
            self.remember(batch)
        self.fit(_PASSES * len(self.memory), generator)

    def estimate(self, step: Step, objective: Objective) -> Estimate:
        """Render and learn from it, or go by what was learned."""
        edit = step.distribution.sample(step.generator)
        latent = edit.latent.detach().requires_grad_()
        inputs = objective.codec.replaced(step.batch, latent)
        scenes = len(step.scenes)
        if self.calls % self.inner_steps == 0:
            rendered = objective.draw_edited(step.scenes, latent, step.batch.name_id)
            features = objective.features_of(rendered, step.generator)
            self.remember(Examples(inputs.detach(), step.batch.batch, features))
            self.fit(self.fit_steps, step.generator)
            predicted = self.network(inputs, step.batch.batch, scenes)
            residual = features - predicted.detach()
        else:
            last, rendered = self.memory[-1], None
            predicted = self.network(inputs, step.batch.batch, scenes)
            with torch.no_grad():
                missed = last.features - self.network(last.nodes, last.scene, len(last))
            pick = torch.randint(len(missed), (scenes,), generator=step.generator)
            residual = missed[pick]
        self.calls += 1
        features = predicted + residual
        value = objective.discrepancy.value(features)
        (slope,) = torch.autograd.grad(value, latent)
        features = features.detach()
        compare = objective.discrepancy.compare
        loss = along(edit, slope, step.distribution, lambda: advantage(compare(features)))
        return Estimate(loss, float(value.detach()), features, edit, rendered, rendered is None)

    def remember(self, batch: Examples) -> None:
        """Keep a batch of renders, and forget the oldest that there is no room for."""
        self.memory.append(batch)
        while sum(len(m) for m in self.memory) > self.buffer and len(self.memory) > 1:
            del self.memory[0]

    def fit(self, steps: int, generator: torch.Generator) -> None:
        """Teach the network with batches drawn from what is remembered, the newest first."""
        for i in range(steps):
            pick = -1 if i == 0 else int(torch.randint(len(self.memory), (), generator=generator))
            past = self.memory[pick]
            predicted = self.network(past.nodes, past.scene, len(past))
            loss = (predicted - past.features).square().mean()
            # Of features that are no numbers the trainer tells.
            if not bool(loss.isfinite()) and bool(past.features.isfinite().all()):
                raise TrainingError(
                    "the surrogate of the renderer must stay finite, but what it predicts is not: "
                    "choose another gradient"
                )
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, memory and counter."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "memory": [(m.nodes, m.scene, m.features) for m in self.memory],
            "calls": self.calls,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.memory = [Examples(*parts) for parts in state["memory"]]
        self.calls = state["calls"]
