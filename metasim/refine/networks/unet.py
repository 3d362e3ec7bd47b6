"""U-Net: down and up again, with what each scale saw handed across (Isola et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metasim.refine.networks.layers import Dropout, initialise

__all__ = ["UNet"]

_WIDEST = 8  # times the width of the first layer


class UNet(nn.Module):
    """Maps (B, C, H, W) to images (B, 3, H, W) from -1 to 1.

    All convolutions have 4 x 4 pixels and a stride of two. There is batch norm but on the outermost
    layers and the innermost one on the way down, which may be down to a single pixel. Dropout is on
    the way up, where maps have 8 times the first layer's channels before and after, but for the
    innermost layer: ``depth`` - 5 layers.

    Args:
        width: channels of the first layer; each later one has twice as many, up to 8 times.
        depth: how often maps are halved; H and W are multiples of 2**depth.
        channels: of the maps that come in.
        dropout: the share of values that is dropped in training.
    """

    def __init__(self, width: int, depth: int, channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [width * min(2**level, _WIDEST) for level in range(depth)]
        inner = depth - 1
        self.downs = nn.ModuleList(
            _down(before, after, first=level == 0, norm=0 < level < inner)
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        ups: list[nn.Module] = []
        for level in range(inner, -1, -1):
            before = widths[level] if level == inner else 2 * widths[level]
            if level == 0:
                ups += [_last(before)]
            else:
                middle = widths[level - 1] == width * _WIDEST and level < inner
                ups += [_up(before, widths[level - 1], dropout if middle else 0.0)]
        self.ups = nn.ModuleList(ups)
        initialise(self)

    def forward(self, maps: Tensor) -> Tensor:
        """Translate maps."""
        across: list[Tensor] = []
        for down in self.downs:
            maps = down(maps)
            across.append(maps)
        maps = across.pop()
        for up in self.ups:
            maps = up(maps)
            if across:
                maps = torch.cat([across.pop(), maps], 1)
        return maps


def _down(before: int, after: int, *, first: bool, norm: bool) -> nn.Module:
    """A layer on the way down; norm takes the place of a bias, which it would remove."""
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=not norm))
    return nn.Sequential(*layers, nn.BatchNorm2d(after)) if norm else nn.Sequential(*layers)


def _up(before: int, after: int, dropout: float) -> nn.Module:
    """A layer on the way up."""
    layers: list[nn.Module] = [
        nn.ReLU(),
        nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, Dropout(dropout)) if dropout else nn.Sequential(*layers)


def _last(before: int) -> nn.Module:
    """The outermost layer on the way up."""
    return nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(before, 3, 4, 2, 1), nn.Tanh())
