"""Where one image shows what another shows: features are compared, and values are warped."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["correspondence", "descriptors", "directions", "nearest", "warp"]

_TEMPERATURE: Final = 0.01
_NOTHING: Final = 60
"""By so much less than the largest, an exponent adds nothing that single precision would keep."""
_PATCH: Final = 3
_SIMILARITIES: Final = 2**21
"""That are held at once, 8 MiB of them; a pass back through a warp needs about four times that.

At 512 x 384 pixels r34 has 12,288 places, and all similarities of two images would take 576 MiB."""


def directions(maps: Tensor) -> Tensor:
    """What is at each place, (1, C, H, W), as vectors of length 1 (or 0), (H * W, C)."""
    return F.normalize(maps[0].flatten(1).T, dim=1, eps=1e-6)


def descriptors(maps: Tensor) -> Tensor:
    """Each place and its neighbours, less their mean, as vectors of length 1 (or 0).

    Args:
        maps: (1, C, H, W); around it there are zeros.

    Returns:
        (H * W, 9 C).
    """
    patches = F.unfold(maps, _PATCH, padding=_PATCH // 2)[0].T
    return F.normalize(patches - patches.mean(dim=1, keepdim=True), dim=1, eps=1e-6)


def correspondence(content: Tensor, style: Tensor) -> Tensor:
    """How much each place of the content (N, D) takes of each of the style (M, D): (N, M).

    Rows add up to 1: the softmax of cosines over a temperature of 0.01.
    """
    similar = content @ style.T / _TEMPERATURE
    # Exponentials down to exp(-200) are subnormal numbers, which make processors ten times slower.
    least = similar.detach().amax(dim=1, keepdim=True) - _NOTHING
    return similar.masked_fill(similar < least, -torch.inf).softmax(dim=1)


def warp(content: Tensor, style: Tensor, values: Tensor) -> Tensor:
    """Bring what belongs to the style to where the content shows the like.

    Similarities are made anew on the way back, and never more of them are held than the bound of
    this module, or one row, whatever the images' sizes.

    Args:
        content: features (1, C, H, W).
        style: features (1, C, h, w).
        values: (1, V, h, w), at the style's places.

    Returns:
        (1, V, H, W).
    """
    own, other = descriptors(content), descriptors(style)
    given = values[0].flatten(1).T
    rows = _rows(len(other))
    if len(own) <= rows:
        warped = correspondence(own, other) @ given
    else:
        warped = torch.cat([_chunk(part, other, given) for part in torch.split(own, rows)])
    return warped.T.reshape(1, -1, *content.shape[2:])


def nearest(vectors: Tensor, among: Tensor) -> Tensor:
    """Which of (M, D) has the largest product with each of (N, D): (N,), from 0 to M - 1."""
    with torch.no_grad():
        parts = torch.split(vectors, _rows(len(among)))
        return torch.cat([(part @ among.T).argmax(dim=1) for part in parts])


def _rows(columns: int) -> int:
    """How many rows of similarities are made at once."""
    return max(1, _SIMILARITIES // columns)


def _chunk(own: Tensor, other: Tensor, given: Tensor) -> Tensor:
    """Some rows of a warp, whose similarities are not kept."""
    warped: Tensor = checkpoint(
        lambda *parts: correspondence(*parts[:2]) @ parts[2],
        own,
        other,
        given,
        use_reentrant=False,
        preserve_rng_state=False,
    )
    return warped
