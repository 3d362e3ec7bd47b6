"""A refiner of networks that were trained once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.learn.device import computing_on
from metasim.refine.base import Form, Refiner
from metasim.refine.method import Method
from metasim.refine.options import Trained
from metasim.refine.tensors import from_tensor, to_tensor

__all__ = ["CHUNK", "TrainedRefiner", "whole"]

CHUNK: Final = 8
"""Images that go through the networks at once: always as many, since convolutions of other
numbers of images may round otherwise, and equal scenes must give equal pixels."""


class TrainedRefiner(Refiner):
    """Refines renders with networks that were trained for it.

    Args:
        options: of the method.
        method: the networks.
        form: of what it takes.
        device: that it runs on.
    """

    def __init__(
        self, options: Trained, method: Method, form: Form, device: torch.device | None = None
    ) -> None:
        self.options = options
        self.form = form
        self.device = torch.device("cpu") if device is None else device
        self.method = method.to(self.device).eval()

    def refine(
        self,
        images: npt.NDArray[np.uint8],
        condition: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """See :meth:`metasim.refine.base.Refiner.refine`.

        Threads of the processor have a chunk each: they need not wait for each other, and what
        comes out does not depend on how many they are.
        """
        self._check_size(images)
        out = np.empty_like(images)

        @torch.no_grad()
        def fill(start: int) -> None:
            rows = slice(start, start + CHUNK)
            sim = whole(to_tensor(images[rows], self.device))
            told = None
            if condition is not None:
                told = whole(torch.from_numpy(condition[rows]).to(self.device))
            out[rows] = from_tensor(self.method.refine(sim, told)[: len(images[rows])])

        starts = range(0, len(images), CHUNK)
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        with (
            computing_on(1),
            ThreadPoolExecutor(threads, "metasim-refine", partial(torch.set_num_threads, 1)) as at,
        ):
            for _ in at.map(fill, starts):
                pass
        return out

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain data."""
        return {**self._about(), "networks": self.method.state_dict()}


def whole(images: Tensor) -> Tensor:
    """Images (B, C, H, W), of which there are 8 at most, filled up to 8 with copies of the last."""
    missing = CHUNK - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
