"""Settings of the network that edits scenes, and of its head."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from metasim.learn.options.base import Options

__all__ = [
    "DeterministicHead",
    "Editor",
    "GCNEditor",
    "GaussianHead",
    "Head",
    "MixtureHead",
    "ParametricEditor",
    "PriorEditor",
]


class GaussianHead(Options):
    """One normal distribution over a node's attributes, with correlations."""

    use: Literal["gaussian"] = "gaussian"


class MixtureHead(Options):
    """A mixture of normal distributions over a node's attributes, with correlations."""

    use: Literal["mixture"] = "mixture"
    components: PositiveInt = 4


class DeterministicHead(Options):
    """One new value for each attribute, as published; it is spread only as far as what goes in.

    Attributes:
        exploration: deviation of the draws around the value, in half ranges, that the score
            function and the task loss learn from, and that the renders near an estimate
            are drawn with; nothing else is. The published setting is 0.02 of the range.
    """

    use: Literal["deterministic"] = "deterministic"
    exploration: PositiveFloat = 0.04


Head = Annotated[GaussianHead | MixtureHead | DeterministicHead, Field(discriminator="use")]


class GCNEditor(Options):
    """A graph convolutional encoder and decoder over the scene graph.

    Attributes:
        head: the distribution it puts over new values.
        hidden: widths of the encoder; the decoder mirrors them.
        noise: how many standard normal inputs each node is given.
        warmup_steps: steps of reconstructing its input before training.
        fit_steps: steps of fitting the warm start.
        freeze_encoder: whether only the decoder is trained after the warm-up.
    """

    use: Literal["gcn"] = "gcn"
    head: Head = GaussianHead()
    hidden: tuple[PositiveInt, ...] = (30, 18)
    noise: NonNegativeInt = 2
    warmup_steps: NonNegativeInt = 300
    fit_steps: NonNegativeInt = 300
    freeze_encoder: bool = False


class ParametricEditor(Options):
    """One learned distribution for each attribute; looks at no graph. The honest baseline."""

    use: Literal["parametric"] = "parametric"
    head: Head = GaussianHead()
    warmup_steps: NonNegativeInt = 300
    fit_steps: NonNegativeInt = 300


class PriorEditor(Options):
    """Nothing is learned: scenes stay as the grammar samples them."""

    use: Literal["prior"] = "prior"
    head: ClassVar[Head] = GaussianHead()
    warmup_steps: ClassVar[int] = 0
    fit_steps: ClassVar[int] = 0


Editor = Annotated[GCNEditor | ParametricEditor | PriorEditor, Field(discriminator="use")]
