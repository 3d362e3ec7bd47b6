"""What the networks of paired methods are given, and which sizes of it they can halve."""

from __future__ import annotations

import torch
from torch import Tensor

from metasim.errors import DataError

__all__ = ["check_halvings", "shown"]


def shown(render: bool, sim: Tensor, condition: Tensor | None) -> Tensor:
    """Renders and their conditions as one, (B, 3 + C, H, W), or (B, C, H, W) without renders.

    Args:
        render: whether renders are part of it.
        sim: (B, 3, H, W).
        condition: (B, C, H, W); None is without.
    """
    parts = [sim] if render else []
    return torch.cat(parts if condition is None else [*parts, condition], 1)


def check_halvings(size: tuple[int, int], times: int, setting: str) -> None:
    """Refuse images that cannot be halved so often.

    Args:
        size: (H, W) of the images.
        times: how often their sides are halved.
        setting: that says so, for the message.

    Raises:
        DataError: naming the largest value of the setting that fits.
    """
    height, width = size
    factor = 2**times
    if height % factor == 0 and width % factor == 0:
        return
    both = height | width
    largest = (both & -both).bit_length() - 1  # trailing zeros: halvings without a rest
    advice = f"set {setting} to {largest} at the most" if largest else "make them even"
    raise DataError(
        f"{setting} {times} needs images whose sides are multiples of {factor}, got {height} x "
        f"{width}; {advice}, or choose another image size"
    )
