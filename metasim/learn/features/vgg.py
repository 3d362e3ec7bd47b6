"""VGG19, whose features are those of many losses and measures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from torch import Tensor, nn

__all__ = ["IMAGENET", "VGG19"]

IMAGENET: Final = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of each channel of ImageNet's images, from 0 to 1."""

_BLOCKS: Final = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)


class VGG19(nn.Module):
    """The convolutions of VGG19 (Simonyan and Zisserman, 2015, arXiv 1409.1556).

    Its tensors are called as torchvision calls them, so that files of theirs fit.

    Args:
        scale: of all widths; 1 is the published network.

    Attributes:
        widths: channels of each activation, by its name: "r34" is what the rectifier after the
            fourth convolution of the third block gives.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.widths: dict[str, int] = {}
        self._places: dict[str, int] = {}
        layers: list[nn.Module] = []
        inputs = 3
        for block, widths in enumerate(_BLOCKS, start=1):
            for number, width in enumerate(widths, start=1):
                outputs = max(1, round(scale * width))
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
                self.widths[f"r{block}{number}"] = outputs
                self._places[f"r{block}{number}"] = len(layers) - 1
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (B, 3, H, W), from 32 pixels on, to their mean features (B, 512)."""
        maps: Tensor = self.features(images)
        return maps.mean(dim=(2, 3))

    def maps(self, images: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Activations by name, in the order of the names; no layer after the last is evaluated.

        Args:
            images: standardised, (B, 3, H, W).
            names: from "r11" to "r54".

        Returns:
            (B, C, h, w) each, where h and w are H and W halved once for each block before.
        """
        found: dict[str, Tensor] = {}
        wanted = {self._places[name]: name for name in names}
        for place in range(max(wanted) + 1):
            images = self.features[place](images)
            if place in wanted:
                found[wanted[place]] = images
        return {name: found[name] for name in names}
