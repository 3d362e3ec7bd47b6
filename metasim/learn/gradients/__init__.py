"""Gradient estimators, chosen by name."""

from metasim.learn.gradients.base import Estimate, GradientEstimator, Step
from metasim.learn.gradients.make import make_estimator

__all__ = ["Estimate", "GradientEstimator", "Step", "make_estimator"]
