"""Features that nothing has to be taught: pixels, and a network with random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.learn.features.base import Standardised
from metasim.learn.features.layers import with_place
from metasim.learn.initial import initial_weights

__all__ = ["PixelFeatures", "RandomConvFeatures"]


class PixelFeatures(Standardised):
    """The image itself: grey values, average-pooled.

    All of them are divided by the same deviation: a corner that seldom changes is to count
    for little.

    Args:
        size: of the pooled image, which gives size x size features.
    """

    def __init__(self, size: int = 16) -> None:
        super().__init__(size * size)
        self.size = size

    @property
    def blocks(self) -> dict[str, slice]:
        """One block."""
        return {"pixels": slice(0, self.size**2)}

    def raw(self, images: Tensor) -> Tensor:
        """Grey values (B, size * size), row by row."""
        return F.adaptive_avg_pool2d(images.mean(dim=1), self.size).flatten(1)

    def standardise(self, images: Tensor) -> None:
        """Measure the pixels' means and mean deviation over images (B, 3, H, W)."""
        super().standardise(images)
        self.spread.fill_(float(self.spread.mean()))


class RandomConvFeatures(Standardised):
    """A convolutional network that is never taught, its last maps averaged and maximised.

    Two further input channels hold the place in the image, so that it tells positions apart.

    Args:
        size: D.
        seed: of the weights; they do not depend on anything else.
    """

    def __init__(self, size: int = 128, seed: int = 0) -> None:
        super().__init__(size)
        self.size = size
        channels = -(-size // 2)
        with initial_weights(seed):
            self.trunk = nn.Sequential(_layer(5, 32, 5), _layer(32, 64, 3), _layer(64, channels, 3))
        self.requires_grad_(False)
        self.eval()

    @property
    def blocks(self) -> dict[str, slice]:
        """One block."""
        return {"random_conv": slice(0, self.size)}

    def raw(self, images: Tensor) -> Tensor:
        """Means and largest values of the last maps, (B, size)."""
        maps = self.trunk(with_place(images * 2 - 1))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)[:, : self.size]


def _layer(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """A convolution of stride 2 that keeps the scale of what it is given."""
    convolution = nn.Conv2d(inputs, outputs, size, 2, size // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.ReLU())
