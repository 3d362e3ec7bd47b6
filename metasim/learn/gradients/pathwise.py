"""The pathwise estimator: through a differentiable renderer."""

from __future__ import annotations

import torch

from metasim.learn.gradients.base import Estimate, GradientEstimator, Step, advantage, along
from metasim.learn.objective import Objective

__all__ = ["PathwiseEstimator"]


class PathwiseEstimator(GradientEstimator):
    """Differentiates the discrepancy through features, renderer and draw."""

    def estimate(self, step: Step, objective: Objective) -> Estimate:
        """One differentiable render a scene."""
        edit = step.distribution.sample(step.generator)
        latent = edit.latent.detach().requires_grad_()
        features = objective.differentiable(step.scenes, latent, step.batch.name_id, step.generator)
        value = objective.discrepancy.value(features)
        slope = torch.zeros_like(latent)
        if value.requires_grad:  # not where no scene of the batch has anything to learn
            (found,) = torch.autograd.grad(value, latent, allow_unused=True)
            slope = slope if found is None else found
        features = features.detach()
        compare = objective.discrepancy.compare
        loss = along(edit, slope, step.distribution, lambda: advantage(compare(features)))
        return Estimate(loss, float(value.detach()), features, edit)
