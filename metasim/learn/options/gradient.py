"""Settings of how the gradient of the discrepancy is estimated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from metasim.learn.options.base import Options

__all__ = [
    "SPSA",
    "AutoGradient",
    "Chosen",
    "FiniteDifference",
    "Gradient",
    "Pathwise",
    "ScoreFunction",
    "Surrogate",
]


HalfShare = Annotated[float, Field(gt=0, le=0.5)]
"""Half the distance between two points in a range, as a share of it."""


class AutoGradient(Options):
    """Pathwise where the renderer offers it; else finite differences or the score function.

    Finite differences are taken up to two learnable attributes.
    """

    use: Literal["auto"] = "auto"


class Pathwise(Options):
    """Through a differentiable renderer."""

    use: Literal["pathwise"] = "pathwise"


class FiniteDifference(Options):
    """Central differences with common random numbers; 2 A renders a scene.

    Attributes:
        step: half the distance between the two points, as a share of the range; with 0.5 they
            are a whole range apart.
    """

    use: Literal["finite_difference"] = "finite_difference"
    step: HalfShare = 0.03


class SPSA(Options):
    """Simultaneous perturbation (Spall, 1992); 2 renders a scene."""

    use: Literal["spsa"] = "spsa"
    step: HalfShare = 0.03


class ScoreFunction(Options):
    """One render a scene; the reward is the image's own witness value."""

    use: Literal["score_function"] = "score_function"


class Surrogate(Options):
    """A network from attributes to features, taught from every render so far.

    Attributes:
        buffer: how many renders are kept.
        inner_steps: gradient steps taken for each batch of renders.
        fit_steps: steps the network is taught for each batch of renders.
        width: units of its hidden layers.
    """

    use: Literal["surrogate"] = "surrogate"
    buffer: PositiveInt = 8000
    inner_steps: PositiveInt = 4
    fit_steps: PositiveInt = 8
    width: PositiveInt = 128


Chosen = Pathwise | FiniteDifference | SPSA | ScoreFunction | Surrogate

Gradient = Annotated[AutoGradient | Chosen, Field(discriminator="use")]
