"""A refiner as TorchScript: images in, refined images out, without metasim."""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor, nn

from metasim.refine.conditions import channels
from metasim.refine.trained import TrainedRefiner

__all__ = ["export_refiner"]


class _Whole(nn.Module):
    """The networks with what is done to images before and after."""

    def __init__(self, refiner: TrainedRefiner) -> None:
        super().__init__()
        self.method = refiner.method

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """uint8 (B, H, W, 3) to the same, refined."""
        seen = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        refined = self.method.refine(seen, condition)
        levels = ((refined.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous()


def export_refiner(refiner: TrainedRefiner) -> bytes:
    """A TorchScript module's file.

    It takes uint8 (B, H, W, 3) images of the refiner's size, any number of them, and where the
    refiner wants one a condition float32 (B, C, H, W), and gives uint8 (B, H, W, 3):
    ``torch.jit.load(file)(images)``.
    """
    form = refiner.form
    images = torch.randint(0, 256, (2, *form.size, 3), generator=torch.Generator().manual_seed(0))
    given = [images.to(torch.uint8)]
    if form.condition:
        told = channels(form.condition, form.classes)
        given.append(torch.zeros(2, told, *form.size))
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # Layers compare the number of channels with their own, which never changes.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            _Whole(refiner).eval(), tuple(given), check_trace=False
        )
        torch.jit.save(traced, buffer)
    return buffer.getvalue()
