"""The settings of refinement, one frozen class for each method.

Every method has two presets: ``quick`` is for a processor and minutes, ``paper`` has the published
settings and is for a graphics card. A setting that is given goes before the preset's. Nothing here
imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from metasim.options import Options

__all__ = [
    "CUT",
    "DTP",
    "NST",
    "SPADE",
    "UNIT",
    "CycleGAN",
    "Encoded",
    "Paired",
    "Pix2Pix",
    "Preset",
    "Refine",
    "RefineOptions",
    "SimGAN",
    "Trained",
]

Preset = Literal["quick", "paper"]
Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[float, Field(ge=0, lt=1)]
"""A coefficient of Adam's running averages."""


def _as_tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


# What was read of YAML is Python's own data once a preset was filled in, where no list is a tuple.
_FROM_LIST: Final = BeforeValidator(_as_tuple)

Condition = Literal["classes", "edges", "depth", "normals"]
"""What a simulator knows of each pixel: its class (one channel each), whether another instance
begins there, how far away it is, and which way its surface looks."""


class RefineOptions(Options):
    """Base of the settings of a method.

    Attributes:
        preset: which settings hold where none is given.
        renders: of an experiment's scenes, that are learned from.
        judged: fresh renders of them, that the gate and the measures look at.
        wrong_passes: the share of wrong labels that each question of the gate may let pass; where
            scenes differ widely, less makes it stricter.
        rounds: how often an experiment's scenes are learned and then refined. From the second
            time on they are learned from refined images.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    of_experiments: ClassVar[frozenset[str]] = frozenset(
        ("renders", "judged", "wrong_passes", "rounds")
    )
    """Settings that say nothing where there are only folders of images."""
    preset: Preset = "quick"
    renders: PositiveInt = 2000
    judged: Annotated[int, Field(ge=16)] = 500
    wrong_passes: Annotated[float, Field(gt=0, lt=1)] = 0.05
    rounds: PositiveInt = 1

    @property
    def name(self) -> str:
        """Of the method."""
        return str(type(self).model_fields["method"].default)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        """Settings that are not given are the preset's."""
        if not isinstance(data, Mapping):
            return data
        preset = data.get("preset")
        known = preset if isinstance(preset, str) and preset in cls.presets else "quick"
        return {**cls.presets.get(known, {}), **data}  # an unknown preset is the one mistake told


class Trained(RefineOptions):
    """Base of the settings of methods that train networks once, and then apply them.

    Attributes:
        steps: of the generator.
        batch_size: images of each domain in a step.
        learning_rate: of Adam (of the generators, where discriminators have one of their own).
        betas: Adam's coefficients.
        decay: the share of the steps, at the end, over which the learning rate falls to 0.
        precision: "mixed" has layers compute with bfloat16 while training, which graphics cards do
            faster; weights, losses and the refiner stay at full precision.
        processes: that share each batch, and so divide ``batch_size``: each has a graphics card of
            its own, or its share of the processor's threads. They draw the same random numbers,
            and batch norm sees the images of one process alone.
        threads: of the processor, that training has in all; none for as many as PyTorch takes.
            Most methods train on 32 pixels sooner with one than with two.
        noise: standard deviation, in units of half the range of brightness, of noise on all images
            that a discriminator sees. It then cannot go by single pixels, where one domain has
            noise of its own that no generator can make (instance noise; Sonderby et al., 2017,
            1610.04490).
    """

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    betas: Annotated[tuple[Moment, Moment], _FROM_LIST] = (0.5, 0.999)
    decay: Share = 0.5
    precision: Literal["full", "mixed"] = "full"
    processes: PositiveInt = 1
    threads: PositiveInt | None = None
    noise: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _equal_parts(self) -> Self:
        if self.batch_size % self.processes:
            raise ValueError(
                f"batch_size must be a multiple of processes {self.processes}, got "
                f"{self.batch_size}; change one of them"
            )
        return self


class SimGAN(Trained):
    """Shrivastava et al., "Learning from simulated and unsupervised images", 2017 (1612.07828).

    Attributes:
        width: channels of the refiner.
        blocks: of the refiner, each of two convolutions.
        residual: whether what the refiner makes is added to the render, and is nothing at
            first: for looks that differ little, whose colours and details stay.
        self_regularisation: weight of the mean absolute difference between render and refined.
        refiner_warmup: steps of the refiner on that difference alone, before all else.
        discriminator_warmup: steps of the discriminator alone, after that.
        refiner_steps: of the refiner in each step.
        discriminator_steps: of the discriminator in each step.
        history: refined images that are kept; half of what the discriminator sees is of them.
    """

    presets: ClassVar = {
        "quick": {"steps": 1000, "batch_size": 16, "width": 32, "refiner_warmup": 100}
        | {"discriminator_warmup": 50, "refiner_steps": 1, "learning_rate": 2e-4}
        | {"history": 512, "self_regularisation": 0.1, "noise": 0.5},
        "paper": {"steps": 10_000, "batch_size": 32, "width": 64, "refiner_warmup": 1000}
        | {"discriminator_warmup": 200, "refiner_steps": 2, "learning_rate": 1e-4}
        | {"history": 12_800, "self_regularisation": 0.5},
    }
    method: Literal["simgan"] = "simgan"
    width: PositiveInt
    blocks: PositiveInt = 4
    residual: bool = False
    self_regularisation: NonNegativeFloat
    refiner_warmup: NonNegativeInt
    discriminator_warmup: NonNegativeInt
    refiner_steps: PositiveInt
    discriminator_steps: PositiveInt = 1
    history: PositiveInt


class CycleGAN(Trained):
    """Zhu et al., "Unpaired image-to-image translation", 2017 (1703.10593).

    Attributes:
        width: channels of the generators' first layer.
        blocks: residual ones of each generator.
        residual: whether what the generators make is added to the render, and is nothing at
            first: for looks that differ little, whose colours and details stay.
        discriminator_width: channels of the discriminators' first layer.
        layers: of the discriminators with a stride of two.
        cycle: weight of what is left of an image after there and back again, mean absolute.
        identity: weight, as a share of ``cycle``, of what a generator changes of images that are
            of its target domain already.
        pool: generated images that are kept for the discriminators.
    """

    presets: ClassVar = {
        "quick": {
            "steps": 1000,
            "batch_size": 8,
            "width": 16,
            "discriminator_width": 32,
            "blocks": 3,
            "layers": 2,
        }
        | {"identity": 0.0, "learning_rate": 2e-4},
        "paper": {
            "steps": 200_000,
            "batch_size": 1,
            "width": 64,
            "discriminator_width": 64,
            "blocks": 9,
            "layers": 3,
        }
        | {"identity": 0.5, "learning_rate": 2e-4},
    }
    method: Literal["cyclegan"] = "cyclegan"
    width: PositiveInt
    blocks: PositiveInt
    residual: bool = False
    discriminator_width: PositiveInt
    layers: PositiveInt
    cycle: NonNegativeFloat = 10.0
    identity: NonNegativeFloat
    pool: NonNegativeInt = 50


class CUT(Trained):
    """Park et al., "Contrastive learning for unpaired image-to-image translation", 2020.

    arXiv 2007.15651.

    Attributes:
        width: channels of the generator's first layer.
        blocks: residual ones of the generator.
        residual: whether what the generator makes is added to the render, and is nothing at
            first: for looks that differ little, whose colours and details stay.
        discriminator_width: channels of the discriminator's first layer.
        layers: of the discriminator with a stride of two.
        nce: weight of the contrast between patches.
        nce_identity: contrast patches of target images and their translations, too, and take the
            mean of both. Short trainings keep shapes better without it, and are faster.
        patches: of each image and layer.
        embedding: width of what patches are compared by.
        temperature: of the comparison.
        flip: show the generator half of the batches mirrored, whose translations are mirrored back
            (FastCUT).
    """

    presets: ClassVar = {
        "quick": {
            "steps": 1500,
            "batch_size": 8,
            "width": 16,
            "discriminator_width": 32,
            "blocks": 3,
            "layers": 2,
        }
        | {"nce_identity": False, "patches": 64, "embedding": 64, "learning_rate": 2e-4},
        "paper": {
            "steps": 400_000,
            "batch_size": 1,
            "width": 64,
            "discriminator_width": 64,
            "blocks": 9,
            "layers": 3,
        }
        | {"nce_identity": True, "patches": 256, "embedding": 256, "learning_rate": 2e-4},
    }
    method: Literal["cut"] = "cut"
    width: PositiveInt
    blocks: PositiveInt
    residual: bool = False
    discriminator_width: PositiveInt
    layers: PositiveInt
    nce: NonNegativeFloat = 1.0
    nce_identity: bool
    patches: PositiveInt
    embedding: PositiveInt
    temperature: PositiveFloat = 0.07
    flip: bool = False


class UNIT(Trained):
    """Liu et al., "Unsupervised image-to-image translation networks", 2017 (1703.00848).

    Attributes:
        width: channels of the first layer.
        blocks: residual ones of each encoder and each generator, beside the one that is shared.
        layers: of the discriminators.
        share: whether the encoders' last and the generators' first block are one for both domains.
        gan: weight of the discriminators' judgement.
        reconstruction: weight of the mean absolute difference to an image that was only encoded.
        divergence: weight of the codes' distance from a normal distribution.
        cycle: weight of the difference to an image that went there and back again.
        cycle_divergence: weight of the distance of the codes on the way back.
    """

    presets: ClassVar = {
        "quick": {"steps": 1000, "batch_size": 8, "width": 16, "blocks": 1, "layers": 4}
        | {"learning_rate": 5e-4},
        "paper": {"steps": 500_000, "batch_size": 1, "width": 64, "blocks": 3, "layers": 6}
        | {"learning_rate": 1e-4},
    }
    method: Literal["unit"] = "unit"
    width: PositiveInt
    blocks: PositiveInt
    layers: PositiveInt
    share: bool = True
    gan: NonNegativeFloat = 10.0
    reconstruction: NonNegativeFloat = 100.0
    divergence: NonNegativeFloat = 0.1
    cycle: NonNegativeFloat = 100.0
    cycle_divergence: NonNegativeFloat = 0.1


class Paired(Trained):
    """Base of the settings of methods that learn from pairs of a render and its target image.

    Attributes:
        condition: what is known of each pixel and shown to the networks.
        render: whether the render is shown to them, too.
    """

    condition: Annotated[tuple[Condition, ...], _FROM_LIST]
    render: bool

    @model_validator(mode="after")
    def _shown(self) -> Self:
        """There is something to make images of."""
        if not (self.render or self.condition):
            raise ValueError(
                "without the render there must be a condition: name one, or set render"
            )
        return self


class Pix2Pix(Paired):
    """Isola et al., "Image-to-image translation with conditional adversarial networks", 2017.

    arXiv 1611.07004.

    Attributes:
        condition: what is translated, beside the render or in its place.
        render: whether the render is part of it.
        width: channels of the first layer.
        depth: how often the image is halved.
        discriminator_width: channels of the discriminator's first layer.
        layers: of the discriminator with a stride of two.
        l1: weight of the mean absolute difference to the pair's other half.
        dropout: in the middle of the network, where there are more than five halvings, while
            training.
    """

    presets: ClassVar = {
        "quick": {
            "steps": 1500,
            "batch_size": 8,
            "width": 16,
            "discriminator_width": 32,
            "depth": 5,
            "layers": 2,
        },
        "paper": {
            "steps": 200_000,
            "batch_size": 1,
            "width": 64,
            "discriminator_width": 64,
            "depth": 8,
            "layers": 3,
        },
    }
    method: Literal["pix2pix"] = "pix2pix"
    learning_rate: PositiveFloat = 2e-4
    condition: Annotated[tuple[Condition, ...], _FROM_LIST] = ()
    render: bool = True
    width: PositiveInt
    depth: PositiveInt
    discriminator_width: PositiveInt
    layers: PositiveInt
    l1: NonNegativeFloat = 100.0
    dropout: Share = 0.5


class SPADE(Paired):
    """Park et al., "Semantic image synthesis with spatially-adaptive normalization", 2019.

    arXiv 1903.07291.

    Attributes:
        condition: what the images are made of.
        render: whether the render is part of it.
        width: channels of the generator's last layer, and of the discriminators' and the style
            encoder's first one.
        hidden: channels between the condition and what it modulates.
        halvings: how often the image's side is halved for the generator's first layer.
        layers: of each discriminator, before the one that judges.
        scales: discriminators, each of images half as large as those of the one before.
        discriminator_rate: the discriminators' learning rate.
        feature_matching: weight of the difference between the discriminators' features.
        perceptual: weight of the difference between VGG19's features, which needs ``weights``.
        divergence: weight of the style codes' distance from a normal distribution.
        style: width of the style code that an encoder reads from a target image; 0 is without.
        weights: a state dict of VGG19.
    """

    presets: ClassVar = {
        "quick": {"steps": 1000, "batch_size": 8, "width": 8, "hidden": 32, "halvings": 3}
        | {"layers": 3, "perceptual": 0.0, "style": 0, "noise": 0.2, "learning_rate": 4e-4},
        "paper": {"steps": 400_000, "batch_size": 32, "width": 64, "hidden": 128, "halvings": 5}
        | {"layers": 4, "perceptual": 10.0, "style": 256, "learning_rate": 1e-4},
    }
    method: Literal["spade"] = "spade"
    betas: Annotated[tuple[Moment, Moment], _FROM_LIST] = (0.0, 0.9)
    condition: Annotated[tuple[Condition, ...], _FROM_LIST] = ("classes", "edges")
    render: bool = False
    width: PositiveInt
    hidden: PositiveInt
    halvings: Annotated[int, Field(ge=1, le=6)]
    layers: PositiveInt
    scales: PositiveInt = 2
    discriminator_rate: PositiveFloat = 4e-4
    feature_matching: NonNegativeFloat = 10.0
    perceptual: NonNegativeFloat
    divergence: NonNegativeFloat = 0.05
    style: NonNegativeInt
    weights: Path | None = None


class Encoded(RefineOptions):
    """Base of the settings of methods that change one image after the other, seen by VGG19.

    Attributes:
        iterations: for each image.
        weights: a state dict of VGG19; without it the usual hub is asked.
        stand_in: a network in VGG19's place, where there are no weights: "random" has VGG19's
            layers with a fixed seed, which is good for tests, and poor otherwise.
        pairs: target images that each picture of a folder is given the look of; the first counts.
    """

    iterations: PositiveInt
    weights: Path | None = None
    stand_in: Literal["random"] | None = None
    pairs: PositiveInt = 1

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if self.weights is not None and self.stand_in is not None:
            raise ValueError(
                f"weights and stand_in exclude each other, got {str(self.weights)!r} and "
                f"{self.stand_in!r}; leave one out"
            )
        return self


class NST(Encoded):
    """Gatys et al., "Image style transfer using convolutional neural networks", 2016.

    Attributes:
        iterations: evaluations of the loss, at most.
        content: weight of the content's difference.
        style: weight of the style's difference, divided by the square of each layer's width.
    """

    presets: ClassVar = {"quick": {"iterations": 60}, "paper": {"iterations": 500}}
    method: Literal["nst"] = "nst"
    content: NonNegativeFloat = 1.0
    style: NonNegativeFloat = 1000.0


class DTP(Encoded):
    """Kim et al., "Deep translation prior", 2022 (2112.06150).

    Attributes:
        scale: of the decoder's widths, and of those of an encoder that is a stand-in; 1 is the
            paper's. Weights of VGG19 have its own widths.
        patches: of each layer, by which content and style are compared.
        temperature: of the content's comparison.
        content_style_weight: of style; content has 1 less it.
        cycle_weight: of what is left after there and back again.
        learning_rate: of Adam.
        sample_every: iterations between the samples that are kept.
    """

    presets: ClassVar = {
        "quick": {"iterations": 100, "scale": 0.25, "patches": 256, "sample_every": 50},
        "paper": {"iterations": 1000, "scale": 1.0, "patches": 2048, "sample_every": 200},
    }
    method: Literal["dtp"] = "dtp"
    scale: Annotated[float, Field(gt=0, le=1)]
    patches: PositiveInt
    temperature: PositiveFloat = 0.07
    content_style_weight: Share = 0.4
    cycle_weight: NonNegativeFloat = 1.0
    learning_rate: PositiveFloat = 1e-4
    sample_every: PositiveInt


Refine = Annotated[
    SimGAN | CycleGAN | CUT | UNIT | Pix2Pix | SPADE | NST | DTP, Field(discriminator="method")
]
"""Settings of a method."""
