"""VGG19 as the methods that change one image after the other see images."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from metasim.errors import DataError, MissingExtraError
from metasim.learn.features.pretrained import hub_weights
from metasim.learn.features.vgg import IMAGENET, VGG19
from metasim.learn.features.weights import load_into, read_weights
from metasim.learn.initial import initial_weights

__all__ = ["Encoder", "load_encoder"]

_STAND_IN_SEED: Final = 19
"""One for all, so that what is compared is always compared by the same network."""


class Encoder(nn.Module):
    """VGG19 behind the scaling that it was trained with; frozen.

    Args:
        network: takes images standardised as ImageNet's.
    """

    def __init__(self, network: VGG19) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.deviation: Tensor
        mean, deviation = (torch.tensor(part).view(3, 1, 1) for part in IMAGENET)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        self.requires_grad_(False)
        self.eval()

    @property
    def widths(self) -> dict[str, int]:
        """Channels of each activation by its name, "r11" to "r54"."""
        return self.network.widths

    def maps(self, images: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Activations by name, in the order of the names.

        Args:
            images: (B, 3, H, W) from -1 to 1.
            names: rectified convolutions, "r34" for the fourth of the third block.

        Returns:
            (B, C, h, w) each, where h and w are H and W halved once for each block before.
        """
        return self.network.maps(((images + 1) / 2 - self.mean) / self.deviation, names)


def load_encoder(
    weights: Path | None = None, stand_in: Literal["random"] | None = None, scale: float = 1.0
) -> Encoder:
    """VGG19 with weights, or what stands in its place where that is asked for by name.

    Args:
        weights: a local state dict with torchvision's names; without it torchvision is asked.
        stand_in: "random" is VGG19's layers with weights of a fixed seed, whatever the weights.
        scale: of a stand-in's widths; VGG19's own are those of its weights.

    Raises:
        MissingExtraError: when there are no local weights, and torchvision is not installed.
        DataError: when the weights cannot be had, or are another network's.
    """
    if stand_in == "random":
        return Encoder(_random(scale))
    state = read_weights(weights) if weights else _downloaded()
    with initial_weights():
        network = VGG19()
    source = str(weights or "torchvision")
    load_into(network, state, model="vgg19", source=source, unused=("classifier.",))
    return Encoder(network)


def _random(scale: float) -> VGG19:
    """VGG19 with weights that keep activations as large as they are (He et al., 2015)."""
    with initial_weights(_STAND_IN_SEED):
        network = VGG19(scale)
        for layer in network.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    return network


def _downloaded() -> dict[str, Tensor]:
    """VGG19's weights from the usual hub; where that fails, all that can be done is told."""
    try:
        return hub_weights("vgg19")
    except MissingExtraError:
        raise MissingExtraError(
            "torchvision",
            "vision",
            "VGG19 has no local weights (give weights: PATH, or ask for stand_in: random by name) "
            "and downloading them",
        ) from None
    except DataError as error:
        raise DataError(
            f"{error} (or ask for stand_in: random by name, a network that was never trained)"
        ) from None
