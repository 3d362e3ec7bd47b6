"""Settings of what images are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from metasim.learn.options.base import Options, Share

__all__ = [
    "Features",
    "PixelFeatures",
    "PretrainedFeatures",
    "PretrainedModel",
    "RandomConvFeatures",
    "SimulatorFeatures",
    "TaskNetFeatures",
]


class SimulatorFeatures(Options):
    """A small network that the simulator's own labels teach, over a widened prior.

    Attributes:
        renders: how many images it is taught with; a tenth of them are held out.
        epochs: how often it sees each of them.
        width: channels of its closer look's first layer, which end as four times as many;
            the layers that find where to look have half as many.
        size: features for each grammar node that has something to learn.
        randomise_appearance: invert, blur, shade and add noise to the images it is taught
            with, so that it ignores looks.
        randomise_training: do the same to all images that are compared while the editor learns.
        refine: how many times it is taught again on renders near the warm start's estimate.
        refine_renders: images that are added each time to those it is taught with.
        max_error: held-out error, as a share of that of predicting the mean, above which
            the network is taught again from another start.
    """

    use: Literal["simulator"] = "simulator"
    renders: Annotated[int, Field(ge=10)] = 8000
    epochs: PositiveInt = 10
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

    def mistake(self, image_size: tuple[int, int]) -> str:
        """Why images of (H, W) pixels cannot be pooled to this size; empty where they can."""
        side = max(image_size)
        if self.size <= side:
            return ""
        return (
            f"must be at most {side}, as the renderer's images are {image_size[0]} x "
            f"{image_size[1]} pixels (H x W), got {self.size}"
        )


class RandomConvFeatures(Options):
    """An untrained convolutional network with a fixed seed."""

    use: Literal["random_conv"] = "random_conv"
    size: PositiveInt = 128
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


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


PretrainedModel = Literal[
    "inception_v3",
    "vgg19",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "dinov2_vits14",
    "dinov2_vitb14",
    "dinov2_vitl14",
    "dinov2_vitg14",
]
"""The networks that can be asked for."""


class PretrainedFeatures(Options):
    """The features of a pretrained network of torchvision or transformers.

    Attributes:
        model: all but "vgg19" with local weights need the extra ``vision``.
        weights: a local state dict (for DINOv2 a model folder); without it the usual hub is
            asked.
    """

    use: Literal["pretrained"] = "pretrained"
    model: PretrainedModel = "inception_v3"
    weights: Path | None = None


Features = Annotated[
    SimulatorFeatures | PixelFeatures | RandomConvFeatures | TaskNetFeatures | PretrainedFeatures,
    Field(discriminator="use"),
]
