"""Layers that several feature networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["block", "with_place"]


def block(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    """A convolution of ``size`` x ``size`` pixels, normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def with_place(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) with two more channels: the way along and down, from -1 to 1."""
    h, w = maps.shape[-2:]
    along, down = (torch.linspace(-1, 1, n, device=maps.device) for n in (w, h))
    place = torch.stack([along.expand(h, w), down[:, None].expand(h, w)])
    return torch.cat([maps, place.expand(len(maps), -1, -1, -1)], dim=1)
