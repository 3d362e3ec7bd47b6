"""The settings of learning, one small frozen class for each component.

A setting that does not apply to a component is not a field of its class and is refused.
Nothing here imports torch, so that a configuration is checked in a fraction of a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

Share = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- editor -------------------------------------------------------------------------------


class GaussianHead(Options):
    """One normal distribution over a node's attributes, with correlations."""

    use: Literal["gaussian"] = "gaussian"


class MixtureHead(Options):
    """A mixture of normal distributions over a node's attributes, with correlations."""

    use: Literal["mixture"] = "mixture"
    components: PositiveInt = 4


class DeterministicHead(Options):
    """One new value for each attribute, as published; spread comes from the prior alone.

    Attributes:
        exploration: deviation of the sampling around the value, in half ranges, used by
            estimators that sample; the published setting is 0.02 of the range.
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


Editor = Annotated[GCNEditor | ParametricEditor, Field(discriminator="use")]

# --- features -----------------------------------------------------------------------------


class SimulatorFeatures(Options):
    """A small network that the simulator's own labels teach, over a widened prior.

    Attributes:
        renders: how many images it is taught with; a tenth of them are held out.
        epochs: how often it sees each of them.
        width: channels of its first layer; the last has four times as many.
        size: features for each grammar node that has something to learn.
        randomise_appearance: invert, blur, shade and add noise to the images it is taught
            with, so that it ignores looks.
        randomise_training: do the same to the generated images while the editor learns.
        refine: how many times it is taught again on renders near the warm start's estimate.
        refine_renders: images it is then taught with, each time.
        max_error: held-out error, as a share of that of predicting the mean, above which
            the network is taught again from another start.
    """

    use: Literal["simulator"] = "simulator"
    renders: PositiveInt = 8000
    epochs: PositiveInt = 20
    width: PositiveInt = 16
    size: PositiveInt = 64
    randomise_appearance: bool = True
    randomise_training: bool = True
    refine: NonNegativeInt = 1
    refine_renders: PositiveInt = 3000
    max_error: Share = 0.95


class PixelFeatures(Options):
    """The image itself, average-pooled to ``size`` x ``size`` grey values."""

    use: Literal["pixels"] = "pixels"
    size: PositiveInt = 16


class RandomConvFeatures(Options):
    """An untrained convolutional network with a fixed seed."""

    use: Literal["random_conv"] = "random_conv"
    size: PositiveInt = 128
    seed: NonNegativeInt = 0


class TaskNetFeatures(Options):
    """The penultimate layer of a classifier trained on labelled renders.

    Attributes:
        renders: how many images of the widened prior it is taught with.
        epochs: how often it sees each of them.
        size: units of the layer.
    """

    use: Literal["tasknet"] = "tasknet"
    renders: PositiveInt = 4000
    epochs: PositiveInt = 5
    size: PositiveInt = 64


class PretrainedFeatures(Options):
    """The features of a pretrained network of torchvision or transformers.

    Attributes:
        model: "inception_v3", "vgg19", "resnet18" (34, 50, 101, 152) or "dinov2_vits14" (b, l,
            g); all but "vgg19" with local weights need the extra ``vision``.
        weights: a local state dict (for DINOv2 a model folder); without it the usual hub is
            asked.
    """

    use: Literal["pretrained"] = "pretrained"
    model: str = "inception_v3"
    weights: Path | None = None


Features = Annotated[
    SimulatorFeatures | PixelFeatures | RandomConvFeatures | TaskNetFeatures | PretrainedFeatures,
    Field(discriminator="use"),
]

# --- discrepancy --------------------------------------------------------------------------


class MMD(Options):
    """Maximum mean discrepancy (Gretton et al., JMLR 2012).

    Attributes:
        kernel: "rbf" or "rational_quadratic".
        bandwidths: multiples of the median distance, which is measured once and frozen.
        unbiased: the U-statistic, which may be slightly negative, instead of the V-statistic.
    """

    use: Literal["mmd"] = "mmd"
    kernel: Literal["rbf", "rational_quadratic"] = "rbf"
    bandwidths: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.25, 0.5, 1.0, 2.0)
    unbiased: bool = True


class RandomFourierMMD(Options):
    """MMD by random Fourier features, linear in the number of images."""

    use: Literal["mmd_rff"] = "mmd_rff"
    frequencies: PositiveInt = 512
    bandwidths: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.25, 0.5, 1.0, 2.0)


class Energy(Options):
    """The energy distance (Szekely and Rizzo, 2013)."""

    use: Literal["energy"] = "energy"


class SlicedWasserstein(Options):
    """Squared 2-Wasserstein distance averaged over random directions."""

    use: Literal["sliced_wasserstein"] = "sliced_wasserstein"
    projections: PositiveInt = 64


class Coral(Options):
    """Distance of means and covariances (Sun and Saenko, 2016, with the means added)."""

    use: Literal["coral"] = "coral"


class JointMMD(Options):
    """MMD under the product of one kernel for each feature block (Long et al., 2017)."""

    use: Literal["jmmd"] = "jmmd"


class ClasswiseMMD(Options):
    """Mean over classes of the MMD between images of that class, by predicted class."""

    use: Literal["classwise_mmd"] = "classwise_mmd"
    bandwidths: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.25, 0.5, 1.0, 2.0)


Discrepancy = Annotated[
    MMD | RandomFourierMMD | Energy | SlicedWasserstein | Coral | JointMMD | ClasswiseMMD,
    Field(discriminator="use"),
]

# --- gradient -----------------------------------------------------------------------------


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
        step: half the distance between the two points, as a share of the range.
    """

    use: Literal["finite_difference"] = "finite_difference"
    step: PositiveFloat = 0.03


class SPSA(Options):
    """Simultaneous perturbation (Spall, 1992); 2 renders a scene."""

    use: Literal["spsa"] = "spsa"
    step: PositiveFloat = 0.03


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

Gradient = Annotated[
    AutoGradient | Pathwise | FiniteDifference | SPSA | ScoreFunction | Surrogate,
    Field(discriminator="use"),
]

# --- training and task --------------------------------------------------------------------


class Training(Options):
    """The training loop.

    Attributes:
        max_renders: stop after this many (those for the features are not counted).
        batch_size: scenes in a step.
        lr: learning rate of Adam; it falls to a fiftieth along a cosine.
        lr_halve_every: halve the rate after so many steps instead; 0 is the cosine.
        weight_decay: of Adam.
        grad_clip: largest gradient norm.
        warm_start: fit the editor by kernel mean matching before the first step.
        anneal: share of an attempt over which the smallest allowed deviation falls from
            ``noise_start`` to ``noise_end`` (in half ranges).
        noise_start: the smallest deviation at the start.
        noise_end: the smallest deviation at the end.
        epoch_steps: steps between two looks at the target (metrics, test).
        images_every: epochs between two sets of figures and images.
        p_value: at least this at the end of an attempt counts as converged.
        restarts: how often an attempt that did not converge is followed by another, from
            other weights; all attempts have an equal share of the renders.
        checkpoint_seconds: time between two checkpoints.
    """

    max_renders: PositiveInt = 20000
    batch_size: Annotated[int, Field(ge=4)] = 128
    lr: PositiveFloat = 0.01
    lr_halve_every: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 1e-5
    grad_clip: PositiveFloat = 1.0
    warm_start: bool = True
    anneal: Share = 0.5
    noise_start: PositiveFloat = 0.05
    noise_end: PositiveFloat = 0.005
    epoch_steps: PositiveInt = 10
    images_every: PositiveInt = 5
    p_value: Share = 0.05
    restarts: NonNegativeInt = 1
    checkpoint_seconds: PositiveFloat = 30.0


class Task(Options):
    """The task loss: accuracy on labelled validation images as a reward.

    Attributes:
        images: folder of images by class, or a generated dataset: the validation set.
            Without it the target's own grammar draws one, with labels.
        count: how many images are drawn then.
        weight: of the task loss beside the discrepancy's.
        groups: parts of a batch that are rewarded apart; more give a clearer signal.
        steps: gradient steps each group teaches a copy of the task network.
        lr: learning rate of the task network.
    """

    images: Path | None = None
    count: PositiveInt = 200
    weight: PositiveFloat = 0.02
    groups: Annotated[int, Field(ge=2)] = 8
    steps: PositiveInt = 3
    lr: PositiveFloat = 0.05
