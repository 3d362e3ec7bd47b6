"""Between images as they are kept and as networks see them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["from_tensor", "to_tensor"]


def to_tensor(images: npt.NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """uint8 (B, H, W, 3) as float32 (B, 3, H, W) from -1 to 1."""
    found = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return found.permute(0, 3, 1, 2).float() / 127.5 - 1


def from_tensor(images: Tensor) -> npt.NDArray[np.uint8]:
    """(B, 3, H, W) from -1 to 1 as uint8 (B, H, W, 3), rounded; what lies beyond is cut off."""
    found = ((images.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    out: npt.NDArray[np.uint8] = found.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return out
