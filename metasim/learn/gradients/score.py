"""The score function estimator (REINFORCE; Williams, 1992) with the witness as reward."""

from __future__ import annotations

from typing import ClassVar

from metasim.learn.gradients.base import Estimate, GradientEstimator, Step, advantage
from metasim.learn.objective import Objective

__all__ = ["ScoreFunctionEstimator"]


class ScoreFunctionEstimator(GradientEstimator):
    """One render a scene, for any renderer.

    The reward of an image is its own witness value, not the whole set's discrepancy: the
    signal is tens of times stronger. Its baseline is taken from the other images.
    """

    explores: ClassVar[bool] = True

    def estimate(self, step: Step, objective: Objective) -> Estimate:
        """Render the draw and weigh its log density by how much it was worth."""
        edit = step.distribution.sample(step.generator)
        rendered = objective.draw_edited(step.scenes, edit.latent, step.batch.name_id)
        features = objective.features_of(rendered, step.generator)
        beside = objective.discrepancy.compare(features)
        loss = (advantage(beside) * step.distribution.log_prob(edit)).mean()
        return Estimate(loss, float(beside.value()), features, edit, rendered)
