"""What a feature extractor is, and how images reach it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = [
    "CLASSES",
    "READINGS",
    "Combined",
    "FeatureExtractor",
    "Standardised",
    "as_float",
    "centre_and_spread",
    "channels_first",
    "extract",
    "to_tensor",
]


# Blocks of columns that discrepancies know. No node can be called so, as there is a space in them.
# The one that holds class probabilities:
CLASSES = "shown classes"
# What the names of those end in that hold a network's readings of a node's attributes:
READINGS = " readings"


class FeatureExtractor(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to features (B, D); differentiable, in eval mode.

    Images may be on any device; the features are on the extractor's own.

    Attributes:
        blocks: column ranges that belong together, by name; they cover all D columns.
        randomised: whether it expects images of randomised appearance while training.
        chunk: how many images it is given at once where no gradient is wanted, which bounds
            the memory.
    """

    randomised = False
    chunk = 512

    @property
    def blocks(self) -> dict[str, slice]:
        """Column ranges by name."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D)."""
        raise NotImplementedError

    def readings(self, features: Tensor) -> dict[str, Tensor]:
        """What features (B, D) say of the attributes: values (B,) by label, in their units.

        Empty for features that were not taught to read any.
        """
        return {}


class Standardised(FeatureExtractor):
    """Base of extractors whose columns are standardised by their spread over wide renders.

    Subclasses implement :meth:`raw`.

    Args:
        width: D, the number of features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def raw(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D), not standardised."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D)."""
        return (self.raw(images.to(self.centre.device)) - self.centre) / self.spread

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Measure the features' mean and spread over images (B, 3, H, W), float or uint8."""
        here = self.centre.device
        parts = [self.raw(as_float(part).to(here)) for part in torch.split(images, self.chunk)]
        centre, spread = centre_and_spread(torch.cat(parts))
        self.centre.copy_(centre)
        self.spread.copy_(spread)


class Combined(FeatureExtractor):
    """Several extractors side by side."""

    def __init__(self, parts: list[FeatureExtractor]) -> None:
        super().__init__()
        self.parts: Sequence[FeatureExtractor] = nn.ModuleList(parts)  # type: ignore[assignment]
        self.randomised = any(part.randomised for part in parts)
        self.chunk = min(part.chunk for part in parts)

    @property
    def blocks(self) -> dict[str, slice]:
        """The parts' blocks, numbered in front where there are several of one name."""
        blocks: dict[str, slice] = {}
        for i, (start, part) in enumerate(self._placed()):
            for name, columns in part.blocks.items():
                key = name if name not in blocks else f"{i} {name}"
                blocks[key] = slice(start + columns.start, start + columns.stop)
        return blocks

    def _placed(self) -> Iterator[tuple[int, FeatureExtractor]]:
        """Each part, and the column that its features begin at."""
        start = 0
        for part in self.parts:
            yield start, part
            start += max(columns.stop for columns in part.blocks.values())

    def forward(self, images: Tensor) -> Tensor:
        """The parts' features, concatenated."""
        return torch.cat([part(images) for part in self.parts], dim=1)

    def readings(self, features: Tensor) -> dict[str, Tensor]:
        """Those of the first part that reads any."""
        every = (part.readings(features[:, start:]) for start, part in self._placed())
        return next((found for found in every if found), {})


def as_float(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) as floats in [0, 1]; uint8 ones count from 0 to 255."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images


def centre_and_spread(features: Tensor) -> tuple[Tensor, Tensor]:
    """What standardises features (B, D): their means (D,) and deviations (D,).

    A column that hardly acts must not be blown up into one that does: no deviation is
    less than a tenth of the mean one.
    """
    deviation = features.std(dim=0, correction=0)
    return features.mean(dim=0), deviation.clamp(min=0.1 * float(deviation.mean()) + 1e-6)


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1]."""
    return as_float(channels_first(images))


def channels_first(images: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) as a uint8 tensor (B, 3, H, W); no copy."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


@torch.no_grad()
def extract(features: FeatureExtractor, images: npt.NDArray[np.uint8]) -> Tensor:
    """Features (B, D) of many images, a chunk at a time; on the CPU."""
    starts = range(0, len(images), features.chunk)
    return torch.cat([features(to_tensor(images[i : i + features.chunk])).cpu() for i in starts])
