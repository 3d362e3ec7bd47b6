"""UNIT's networks: to a code that both domains share, and back (Liu et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from metasim.refine.networks.layers import ResidualBlock, instance_norm

__all__ = ["Encoder", "Generator", "StridedDiscriminator", "code_block"]

_WIDEST = 16  # times the width of the first layer, in discriminators
_LEAK = 0.2


def code_block(width: int) -> ResidualBlock:
    """The block next to the code, which networks of both domains may share."""
    block = ResidualBlock(4 * width, instance_norm)
    _initialise(block)
    return block


class Encoder(nn.Module):
    """Images (B, 3, H, W) from -1 to 1 to the means of their codes, (B, 4 width, H/4, W/4).

    H and W are multiples of 4, and of at least 8. The convolutions are not normalised, the
    residual blocks are, by instance.

    Args:
        width: channels of the first layer.
        blocks: residual ones, beside the last.
        last: the block next to the code.
    """

    def __init__(self, width: int, blocks: int, last: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 7, 1, 3, padding_mode="reflect"),
            nn.LeakyReLU(_LEAK),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(_LEAK),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
            nn.LeakyReLU(_LEAK),
            *(ResidualBlock(4 * width, instance_norm) for _ in range(blocks)),
        )
        _initialise(self)
        self.last = last

    def forward(self, images: Tensor) -> Tensor:
        """Encode images."""
        mean: Tensor = self.last(self.layers(images))
        return mean


class Generator(nn.Module):
    """Codes (B, 4 width, H/4, W/4) to images (B, 3, H, W) from -1 to 1: an encoder's mirror image.

    Args:
        width: channels of the last layer but one.
        blocks: residual ones, beside the first.
        first: the block next to the code.
    """

    def __init__(self, width: int, blocks: int, first: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(ResidualBlock(4 * width, instance_norm) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1),
            nn.LeakyReLU(_LEAK),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1),
            nn.LeakyReLU(_LEAK),
            nn.Conv2d(width, 3, 7, 1, 3, padding_mode="reflect"),
            nn.Tanh(),
        )
        _initialise(self)
        self.first = first

    def forward(self, codes: Tensor) -> Tensor:
        """Make images."""
        images: Tensor = self.layers(self.first(codes))
        return images


class StridedDiscriminator(nn.Module):
    """Images (B, 3, H, W) to a logit of each patch, (B, 1, h, w).

    Args:
        width: channels of the first layer; each later one has twice as many, up to 16 times.
        layers: in all; each but the last, which sees single places, has a stride of two.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        widths = [width * min(2**number, _WIDEST) for number in range(layers - 1)]
        made: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            made += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(_LEAK)]
        made.append(nn.Conv2d(widths[-1] if widths else 3, 1, 1))
        self.layers = nn.Sequential(*made)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images."""
        judged: Tensor = self.layers(images)
        return judged


def _initialise(network: nn.Module) -> None:
    """Weights that keep the scale of what comes in, whatever the width (He et al., 2015).

    GANs are mostly begun with a deviation of 0.02, which does for layers that are normalised, or as
    wide as the paper's. Most of these are not normalised: in narrow ones, images would fade.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, _LEAK)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
