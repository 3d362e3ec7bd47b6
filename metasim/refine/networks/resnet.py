"""The generator of CycleGAN and CUT: down, residual blocks, up (Johnson et al., 2016)."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from metasim.errors import DataError
from metasim.refine.networks.layers import (
    ResidualBlock,
    added,
    initialise,
    instance_norm,
    silence,
)

__all__ = ["ResnetGenerator", "check_quarters"]


class ResnetGenerator(nn.Module):
    """Images (B, 3, H, W) from -1 to 1 to the same; H and W are multiples of 4.

    Args:
        width: channels of the first layer.
        blocks: residual ones.
        residual: whether what it makes is added to the images, and is nothing at first. Colours
            then stay, which normalising each image loses where all have the same layout.
    """

    def __init__(self, width: int, blocks: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 7, 1, 3, padding_mode="reflect"),
            instance_norm(width),
            nn.ReLU(),
        ]
        for factor in (1, 2):
            layers += [
                nn.Conv2d(width * factor, 2 * width * factor, 3, 2, 1),
                instance_norm(2 * width * factor),
                nn.ReLU(),
            ]
        layers += [ResidualBlock(4 * width, instance_norm) for _ in range(blocks)]
        for factor in (4, 2):
            layers += [
                nn.ConvTranspose2d(width * factor, width * factor // 2, 3, 2, 1, 1),
                instance_norm(width * factor // 2),
                nn.ReLU(),
            ]
        last = nn.Conv2d(width, 3, 7, 1, 3, padding_mode="reflect")
        self.layers = nn.ModuleList([*layers, last, nn.Tanh()])
        initialise(self)
        if residual:
            silence(last)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images."""
        maps = images
        for layer in self.layers:
            maps = layer(maps)
        return added(maps, images) if self.residual else maps

    def features(self, images: Tensor, places: Collection[int]) -> list[Tensor]:
        """What some layers give, in order; 0 is the image, n what the n-th layer gives."""
        found = [images] if 0 in places else []
        for number, layer in enumerate(self.layers[: max(places)], start=1):
            images = layer(images)
            if number in places:
                found.append(images)
        return found


def check_quarters(size: tuple[int, int]) -> None:
    """Refuse images that would not come out as large as they come in.

    Args:
        size: (H, W) of the images.

    Raises:
        DataError: when their sides are no multiples of 4.
    """
    height, width = size
    if height % 4 or width % 4:
        raise DataError(
            "the generator halves images twice, so their sides must be multiples of 4, got "
            f"{height} x {width}; choose another image size"
        )
