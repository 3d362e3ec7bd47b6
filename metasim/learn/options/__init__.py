"""The settings of learning, one small frozen class for each component.

A setting that does not apply to a component is not a field of its class and is refused.
Nothing here imports torch, so that a configuration is checked in a fraction of a second.
"""

from __future__ import annotations

from metasim.learn.options.base import Options, Share
from metasim.learn.options.discrepancy import (
    MMD,
    ClasswiseMMD,
    Coral,
    Discrepancy,
    Energy,
    JointMMD,
    RandomFourierMMD,
    SlicedWasserstein,
)
from metasim.learn.options.editor import (
    DeterministicHead,
    Editor,
    GaussianHead,
    GCNEditor,
    Head,
    MixtureHead,
    ParametricEditor,
    PriorEditor,
)
from metasim.learn.options.features import (
    Features,
    PixelFeatures,
    PretrainedFeatures,
    RandomConvFeatures,
    SimulatorFeatures,
    TaskNetFeatures,
)
from metasim.learn.options.gradient import (
    SPSA,
    AutoGradient,
    Chosen,
    FiniteDifference,
    Gradient,
    Pathwise,
    ScoreFunction,
    Surrogate,
)
from metasim.learn.options.training import LEAST_TARGET, Task, Training

__all__ = [
    "LEAST_TARGET",
    "MMD",
    "SPSA",
    "AutoGradient",
    "Chosen",
    "ClasswiseMMD",
    "Coral",
    "DeterministicHead",
    "Discrepancy",
    "Editor",
    "Energy",
    "Features",
    "FiniteDifference",
    "GCNEditor",
    "GaussianHead",
    "Gradient",
    "Head",
    "JointMMD",
    "MixtureHead",
    "Options",
    "ParametricEditor",
    "Pathwise",
    "PixelFeatures",
    "PretrainedFeatures",
    "PriorEditor",
    "RandomConvFeatures",
    "RandomFourierMMD",
    "ScoreFunction",
    "Share",
    "SimulatorFeatures",
    "SlicedWasserstein",
    "Surrogate",
    "Task",
    "TaskNetFeatures",
    "Training",
]
