"""PatchGAN: a discriminator that judges patches (Isola et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from metasim.errors import DataError
from metasim.refine.networks.layers import Norm, initialise, instance_norm

__all__ = ["PatchDiscriminator", "check_patches"]

_WIDEST = 8  # times the width of the first layer


class PatchDiscriminator(nn.Module):
    """Images (B, C, H, W) to a judgement of each patch, (B, 1, h, w).

    Args:
        width: channels of the first layer; each later one has twice as many, up to 8 times.
        layers: with a stride of two; one of stride one and the last follow.
        channels: of the images.
        norm: after all convolutions but the first and the last.
    """

    def __init__(
        self, width: int, layers: int, channels: int = 3, norm: Norm = instance_norm
    ) -> None:
        super().__init__()
        made: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        inputs = width
        for number in range(1, layers + 1):
            outputs = width * min(2**number, _WIDEST)
            stride = 2 if number < layers else 1
            made += [nn.Conv2d(inputs, outputs, 4, stride, 1), norm(outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        made.append(nn.Conv2d(inputs, 1, 4, 1, 1))
        self.layers = nn.Sequential(*made)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images."""
        judged: Tensor = self.layers(images)
        return judged


def check_patches(size: tuple[int, int], layers: int) -> None:
    """Refuse images that are too small to be judged.

    Args:
        size: (H, W) of the images.
        layers: of the discriminator with a stride of two.

    Raises:
        DataError: when less than one patch is left of them.
    """
    least = 3 * 2**layers  # the layers of stride one take a pixel each
    if min(size) < least:
        raise DataError(
            f"layers {layers} needs images of at least {least} pixels, got {size[0]} x {size[1]}; "
            "set layers lower, or choose another image size"
        )
