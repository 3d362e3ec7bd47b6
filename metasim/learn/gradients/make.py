"""From settings to gradient estimators."""

from __future__ import annotations

from metasim.learn import options as settings
from metasim.learn.codec import SceneCodec
from metasim.learn.gradients.base import GradientEstimator
from metasim.learn.gradients.finite import FiniteDifferenceEstimator, SPSAEstimator
from metasim.learn.gradients.pathwise import PathwiseEstimator
from metasim.learn.gradients.score import ScoreFunctionEstimator
from metasim.learn.gradients.surrogate import SurrogateEstimator
from metasim.learn.objective import DifferentiableRenderer
from metasim.render.base import Renderer

__all__ = ["choose", "make_estimator"]


def choose(options: settings.Gradient, renderer: Renderer, codec: SceneCodec) -> settings.Chosen:
    """The same options, or what ``auto`` stands for with this renderer and grammar."""
    if not isinstance(options, settings.AutoGradient):
        return options
    if isinstance(renderer, DifferentiableRenderer):
        # A renderer may say that it is differentiable in some of its attributes only.
        known = getattr(renderer, "differentiable", codec.attributes)
        if set(codec.attributes) <= set(known):
            return settings.Pathwise()
    if len(codec.labels) <= 2:
        return settings.FiniteDifference()
    return settings.ScoreFunction()


def make_estimator(
    options: settings.Gradient, renderer: Renderer, codec: SceneCodec, width: int, seed: int
) -> GradientEstimator:
    """The estimator that ``options`` ask for.

    Args:
        options: one of the classes in :mod:`metasim.learn.options`.
        renderer: what draws; ``auto`` is decided by it and the codec.
        codec: of the grammar.
        width: D, the number of features.
        seed: of whatever the estimator draws at its start.
    """
    chosen = choose(options, renderer, codec)
    match chosen:
        case settings.Pathwise():
            return PathwiseEstimator()
        case settings.FiniteDifference():
            return FiniteDifferenceEstimator(chosen.step)
        case settings.SPSA():
            return SPSAEstimator(chosen.step)
        case settings.ScoreFunction():
            return ScoreFunctionEstimator()
        case settings.Surrogate():
            return SurrogateEstimator(
                codec.width,
                width,
                buffer=chosen.buffer,
                inner_steps=chosen.inner_steps,
                fit_steps=chosen.fit_steps,
                width=chosen.width,
                seed=seed,
            )
