"""Layers that generators and discriminators are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "Norm", "ResidualBlock", "added", "initialise", "instance_norm", "silence"]

Mode = Literal["zeros", "reflect", "replicate", "circular"]

Norm = Callable[[int], nn.Module]
"""Makes a normalisation of so many channels."""


class Dropout(nn.Dropout):
    """Dropout drawn on the processor, whose generator is seeded for each step, for any device."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of any shape, some values 0 and the others as much larger while training."""
        if not self.training:
            return maps
        kept = (torch.rand(maps.shape) >= self.p).to(maps)
        return maps * kept / ((1 - self.p) or 1)


def instance_norm(channels: int) -> nn.Module:
    """Each channel of each image to mean 0 and variance 1, without anything learned."""
    return nn.InstanceNorm2d(channels)


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 pixels, whose outcome is added to what came in.

    Args:
        channels: that come in and go out.
        norm: after each convolution; None is without.
        mode: how borders are padded, as torch calls it.
        last: whether the sum is rectified.
    """

    def __init__(
        self, channels: int, norm: Norm | None, mode: Mode = "reflect", last: bool = False
    ) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            made: list[nn.Module] = [nn.Conv2d(channels, channels, 3, 1, 1, padding_mode=mode)]
            return made if norm is None else [*made, norm(channels)]

        self.layers = nn.Sequential(*convolution(), nn.ReLU(), *convolution())
        self.last: nn.Module = nn.ReLU() if last else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        out: Tensor = self.last(maps + self.layers(maps))
        return out


def added(change: Tensor, images: Tensor) -> Tensor:
    """Images (B, C, H, W) from -1 to 1 with a change from -1 to 1 on them, which can reach all.

    What lies beyond -1 and 1 is not cut off, so that gradients flow; a discriminator sees it.
    """
    return images + 2 * change


def silence(layer: nn.Conv2d) -> None:
    """Have a network's last layer begin with 0 everywhere."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise(network: nn.Module, deviation: float = 0.02) -> None:
    """Weights of convolutions from N(0, deviation), as GANs are begun; biases are 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
