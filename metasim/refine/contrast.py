"""Contrast of patches: what is at one place belongs together (Park et al., 2020, PatchNCE)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PatchEmbedding", "contrast", "draw_places"]


def draw_places(maps: Sequence[Tensor], count: int) -> list[Tensor]:
    """Places of each layer's maps, all of them different, drawn from torch's generator.

    Args:
        maps: (B, C, H, W) of each layer.
        count: places of each layer, or all it has where they are fewer.

    Returns:
        (P,) of each layer, from 0 to H * W - 1, counted along the rows; the same for all images.
    """
    return [torch.randperm(one[0, 0].numel())[:count].to(one.device) for one in maps]


class PatchEmbedding(nn.Module):
    """Patches of maps to vectors of length 1, by a perceptron of two layers for each layer.

    Args:
        channels: of each layer's maps.
        width: of what comes out.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        # Their first weights are torch's own. Without biases, as with :func:`initialise`, what is
        # 0 (all that a new generator makes of a plain image) would have no direction.
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))
            for count in channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Embed what is at some places.

        Args:
            maps: (B, C, H, W) of each layer.
            places: (P,) of each layer, as :func:`draw_places` gives them.

        Returns:
            (B, P, width) of each layer.
        """
        return [
            F.normalize(perceptron(one.flatten(2)[:, :, at].transpose(1, 2)), dim=2)
            for perceptron, one, at in zip(self.perceptrons, maps, places, strict=True)
        ]


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Mean cross entropy of telling each query's own key from the others of the same image.

    The published code puts the positive beside all negatives, and -10 in the place of those on the
    diagonal, which are the positives again. At its temperature of 0.07 that takes them out, and
    the outcome is this.

    Args:
        queries: (B, P, D), of length 1.
        keys: (B, P, D), of length 1, each at the place of its query; no gradients flow there.
        temperature: by which similarities are divided.

    Returns:
        (B,), from 0; log(P) where all are alike.
    """
    similar = queries @ keys.detach().transpose(1, 2) / temperature
    own = torch.arange(similar.shape[2], device=similar.device).expand(similar.shape[:2])
    return F.cross_entropy(similar.transpose(1, 2), own, reduction="none").mean(1)
