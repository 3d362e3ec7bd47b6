"""What an editor gives for each node: a mixture of normal distributions, and draws from it.

Letters: B scenes, N nodes in all, K components, A learnable attribute names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasim.learn.codec import wrap

__all__ = ["Edit", "EditDistribution"]

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Edit:
    """A draw from an :class:`EditDistribution`.

    Attributes:
        component: int64 (N,), the mixture component of each node.
        latent: float32 (N, A), new latent positions before clipping or wrapping;
            differentiable in the distribution's parameters.
    """

    component: Tensor
    latent: Tensor


@dataclass(frozen=True)
class EditDistribution:
    """For each node a mixture of K normal distributions over its latent attributes.

    Attributes:
        logits: (N, K), unnormalised log weights.
        mean: (N, K, A).
        scale: (N, K, A, A), lower triangular; identity rows where ``mask`` is False.
        mask: bool (N, A), the entries that exist.
        periodic: bool (N, A).
        scene: int64 (N,), the scene each node belongs to.
        scenes: B.
    """

    logits: Tensor
    mean: Tensor
    scale: Tensor
    mask: Tensor
    periodic: Tensor
    scene: Tensor
    scenes: int

    def with_deviation(self, deviation: float) -> EditDistribution:
        """The same means under independent deviations of one size, in latent units."""
        eye = torch.eye(self.mask.shape[1])
        return replace(self, scale=torch.where(self.mask[:, None, :, None], deviation * eye, eye))

    def sample(self, generator: torch.Generator) -> Edit:
        """One draw for each node."""
        share = self.logits.softmax(dim=-1).cumsum(dim=-1)
        u = torch.rand(len(share), 1, generator=generator)
        component = (u > share[:, :-1].detach()).sum(dim=-1)
        noise = torch.randn(self.mask.shape, generator=generator) * self.mask
        rows = torch.arange(len(component))
        scale = self.scale[rows, component]
        latent = self.mean[rows, component] + (scale @ noise.unsqueeze(-1)).squeeze(-1)
        return Edit(component, latent)

    def log_prob(self, edit: Edit) -> Tensor:
        """Log density (B,) of the joint draw of component and latent position.

        The position is taken as given (detached): differentiating through it as well would
        cancel the score and give a gradient of exactly zero.
        """
        rows = torch.arange(len(edit.component))
        mean, scale = self.mean[rows, edit.component], self.scale[rows, edit.component]
        density = self._normal(edit.latent.detach() - mean, scale)
        return self._by_scene(density + self._log_weight(edit.component))

    def log_density(self, latent: Tensor, component: Tensor | None = None) -> Tensor:
        """Log density (B,) at positions (N, A), summed over components and nodes.

        On a circle the nearest image of each mean counts; for a deviation of a sixth of the
        circle that leaves out 0.3 % of the mass, for smaller ones less.

        Args:
            latent: the positions.
            component: int64 (N,), the components they came from, for the joint density of
                both; None where that is not known.
        """
        difference = latent.unsqueeze(1) - self.mean
        difference = torch.where(self.periodic.unsqueeze(1), wrap(difference), difference)
        density = self._normal(difference, self.scale)
        if component is not None:
            joint = density.gather(1, component.unsqueeze(1)).squeeze(1)
            return self._by_scene(joint + self._log_weight(component))
        return self._by_scene(torch.logsumexp(density + self.logits.log_softmax(dim=-1), dim=-1))

    def component_log_prob(self, edit: Edit) -> Tensor:
        """Log weight (B,) of the drawn components alone."""
        return self._by_scene(self._log_weight(edit.component))

    def _log_weight(self, component: Tensor) -> Tensor:
        """Of each node's component (N,); zero where a node has nothing to learn."""
        weight = self.logits.log_softmax(dim=-1).gather(1, component.unsqueeze(1)).squeeze(1)
        return weight * self.mask.any(dim=-1)

    def _normal(self, difference: Tensor, scale: Tensor) -> Tensor:
        mask = self.mask if difference.dim() == self.mask.dim() else self.mask.unsqueeze(1)
        difference = (difference * mask).unsqueeze(-1)
        white = torch.linalg.solve_triangular(scale, difference, upper=False).squeeze(-1)
        log_diagonal = scale.diagonal(dim1=-2, dim2=-1).log()
        density: Tensor = -0.5 * white.square() - log_diagonal - 0.5 * _LOG_2PI
        return (density * mask).sum(dim=-1)

    def _by_scene(self, per_node: Tensor) -> Tensor:
        return per_node.new_zeros(self.scenes).index_add(0, self.scene, per_node)
