"""Randomised appearance: the same scene under other looks.

A feature extractor taught on images drawn this way ignores inversion, contrast, blur,
shading and noise, which is what a simulator's images and a camera's differ in first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Looks", "apply_looks", "draw_looks", "randomise_appearance"]

_SHADING = 4


@dataclass(frozen=True)
class Looks:
    """Looks of B images: ``offset + gain * blend(image, blurred image)``, clipped.

    Attributes:
        blur: (B, 1, 1, 1) in [0, 1], how much of the blurred image is mixed in.
        gain: (B, 1, 1, 1), contrast; negative inverts.
        offset: (B, 1, H, W), brightness, shading and noise.
    """

    blur: Tensor
    gain: Tensor
    offset: Tensor

    def __getitem__(self, rows: Tensor) -> Looks:
        """The looks of some images."""
        return Looks(self.blur[rows], self.gain[rows], self.offset[rows])


def draw_looks(count: int, size: tuple[int, int], generator: torch.Generator) -> Looks:
    """Looks for ``count`` images of ``size`` (H, W); every random choice is ``generator``'s."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    blur = uniform(0.0, 1.0)
    sign = torch.where(uniform(0.0, 1.0) < 0.5, -1.0, 1.0)
    gain = sign * uniform(0.4, 1.0)
    coarse = torch.rand(count, 1, _SHADING, _SHADING, generator=generator) - 0.5
    shading = _upsampling(size[0]) @ coarse @ _upsampling(size[1]).T
    level = 0.5 - 0.5 * gain + uniform(-0.15, 0.15)
    noise = torch.randn(count, 1, *size, generator=generator)
    offset = noise.mul_(uniform(0.0, 0.12)).addcmul_(shading, uniform(0.0, 0.6)).add_(level)
    return Looks(blur, gain, offset)


def apply_looks(images: Tensor, looks: Looks) -> Tensor:
    """Images under the given looks; geometry is untouched.

    Args:
        images: (B, 3, H, W) in [0, 1]; differentiable with respect to it.
        looks: of B images.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    height, width = images.shape[-2:]
    # A product with a banded matrix; ten times as fast here as pooling or convolving.
    rows, columns = _blurring(height).to(images), _blurring(width).to(images)
    smooth = rows @ images @ columns.T
    mixed = torch.lerp(images, smooth, looks.blur.to(images))
    return torch.addcmul(looks.offset.to(images), mixed, looks.gain.to(images)).clamp(0.0, 1.0)


def randomise_appearance(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with looks of its own; geometry is untouched.

    Args:
        images: (B, 3, H, W) in [0, 1]; differentiable with respect to it.
        generator: every random choice comes from it; on the CPU.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    height, width = images.shape[-2:]
    return apply_looks(images, draw_looks(len(images), (height, width), generator))


@lru_cache(maxsize=16)
def _blurring(size: int) -> Tensor:
    """(size, size), two means over 3 neighbours in a row; the edge is repeated outwards."""
    matrix = torch.zeros(size, size)
    for offset, weight in zip(range(-2, 3), (1, 2, 3, 2, 1), strict=True):
        for i in range(size):
            matrix[i, min(max(i + offset, 0), size - 1)] += weight / 9
    return matrix


@lru_cache(maxsize=16)
def _upsampling(size: int) -> Tensor:
    """(size, 4), bicubic interpolation of 4 values to ``size``."""
    basis = torch.eye(_SHADING).view(_SHADING, 1, _SHADING, 1)
    up = F.interpolate(basis, size=(size, 1), mode="bicubic", align_corners=False)
    return up.view(_SHADING, size).T.contiguous()
