"""SimGAN's networks: a refiner at full size, and a judge of places (Shrivastava et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from metasim.refine.networks.layers import ResidualBlock, added, silence

__all__ = ["LocalDiscriminator", "Refiner"]


class Refiner(nn.Module):
    """Images (B, 3, H, W) from -1 to 1 to the same, pixel by pixel from what is around each.

    Nothing is normalised, and the weights begin as torch draws them. (The paper tells neither that
    nor how borders are padded; here they are mirrored.)

    Args:
        width: channels of all layers.
        blocks: residual ones, of two convolutions each.
        residual: whether what it makes is added to the images, and is nothing at first.
    """

    def __init__(self, width: int, blocks: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, padding_mode="reflect"),
            nn.ReLU(),
            *(ResidualBlock(width, None, last=True) for _ in range(blocks)),
            last := nn.Conv2d(width, 3, 1),
            nn.Tanh(),
        )
        if residual:
            silence(last)

    def forward(self, images: Tensor) -> Tensor:
        """Refine images."""
        made: Tensor = self.layers(images)
        return added(made, images) if self.residual else made


class LocalDiscriminator(nn.Module):
    """Images (B, 3, H, W) to two logits for each place, (B, 2, h, w), refined and real.

    h and w are a quarter of H and W, rounded up. Each place sees 23 x 23 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 96, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(96, 64, 3, 2, 1),
            nn.ReLU(),
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(64, 32, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 1),
            nn.ReLU(),
            nn.Conv2d(32, 2, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Judge images."""
        judged: Tensor = self.layers(images)
        return judged
