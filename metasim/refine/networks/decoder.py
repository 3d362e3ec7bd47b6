"""The decoder of Deep Translation Prior: VGG19's r34 to images (Kim et al., 2022)."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

__all__ = ["Decoder"]

_UP: Final = 0
_LAYERS: Final = (256, 256, 128, _UP, 128, 128, 128, 64, _UP, 64, 64, 32, 32, 32)
"""Channels that blocks give, from r34 on, and where maps are doubled; an image comes last."""


class Decoder(nn.Module):
    """Features (B, C, h, w), of 2 x 2 pixels or more, to images (B, 3, 4 h, 4 w), not bounded.

    The last of its 13 convolutions has neither normalisation nor rectifier, since images have
    values of both signs and means of their own.

    Args:
        channels: of the features.
        scale: of all widths; 1 is the published network.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in _LAYERS:
            if width == _UP:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
                continue
            outputs = max(1, round(scale * width))
            layers.append(_Block(channels, outputs))
            channels = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Decode features."""
        images: Tensor = self.layers(features)
        return images


class _Block(nn.Module):
    """A convolution of 3 x 3, normalised and rectified; residual where as many channels go out."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.ReLU(),
        )
        self.residual = inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.layers(maps)
        return maps + out if self.residual else out
