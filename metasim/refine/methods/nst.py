"""Neural style transfer: the image itself is what is optimised (Gatys et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from metasim.errors import TrainingError
from metasim.refine.encoder import Encoder
from metasim.refine.options import NST
from metasim.refine.transfer import OnSample, Transfer, check_sides

__all__ = ["NSTMethod", "gram", "style_difference"]

_STYLE: Final = ("r11", "r21", "r31", "r41", "r51")
_CONTENT: Final = "r42"


class NSTMethod(Transfer):
    """Changes a render until VGG19 sees its content in the style of the target image.

    Args:
        options: its settings.
        encoder: VGG19, on the images' device.
    """

    def __init__(self, options: NST, encoder: Encoder) -> None:
        self.options, self.encoder = options, encoder

    def refine(
        self, sim: Tensor, real: Tensor, seed: int = 0, on_sample: OnSample | None = None
    ) -> Tensor:
        """Refine one render; nothing is random, and the one sample is the result."""
        check_sides(sim, real)
        with torch.no_grad():
            content = self.encoder.maps(sim, (_CONTENT,))[_CONTENT]
            style = {name: gram(maps) for name, maps in self.encoder.maps(real, _STYLE).items()}
        search = _Search(sim, lambda image: self.loss(image, content, style))
        refined = search.run(self.options.iterations)
        if on_sample is not None:
            on_sample(search.evaluations, refined)
        return refined

    def loss(self, image: Tensor, content: Tensor, style: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of both differences.

        Args:
            image: (1, 3, H, W) from -1 to 1.
            content: (1, C, h, w), r42 of the render.
            style: (1, C, C), Gram matrices of the target image by activation.
        """
        maps = self.encoder.maps(image, (*style, _CONTENT))
        kept = F.mse_loss(maps[_CONTENT], content)
        return self.options.content * kept + self.options.style * style_difference(maps, style)


def gram(maps: Tensor) -> Tensor:
    """Products of channels, mean over places: (B, C, H, W) to (B, C, C)."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def style_difference(maps: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> Tensor:
    """Mean squared differences of Gram matrices over C^2, summed over activations.

    Args:
        maps: (B, C, H, W) by activation.
        style: (B, C, C) by activation, the wanted Gram matrices; other activations do not count.
    """
    each = [F.mse_loss(gram(maps[name]), one) / one.shape[1] ** 2 for name, one in style.items()]
    return torch.stack(each).sum()


class _Spent(Exception):
    """All evaluations were made."""


class _Search:
    """L-BFGS on an image, with a line search: without one a flat image may never be left.

    Args:
        start: (1, 3, H, W).
        loss: of an image.

    Attributes:
        evaluations: of the loss, until now.
    """

    def __init__(self, start: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
        self.loss = loss
        # The optimiser takes it apart row by row, whatever way it lies in memory.
        self.image = start.clone(memory_format=torch.contiguous_format).requires_grad_()
        self.best, self.least = start, inf
        self.evaluations = 0

    def run(self, limit: int) -> Tensor:
        """The best image seen in so many evaluations, from -1 to 1.

        Raises:
            TrainingError: when no loss was a number.
        """

        def evaluate() -> Tensor:
            if self.evaluations == limit:
                raise _Spent  # the optimiser's own limit lets it end a line search
            return self._evaluate()

        # A mean over many pixels has gradients that the usual tolerances take for none.
        optimiser = torch.optim.LBFGS(
            [self.image],
            max_iter=limit,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        with suppress(_Spent):
            optimiser.step(evaluate)  # type: ignore[no-untyped-call]
        if self.least == inf:
            raise TrainingError(
                "the loss must be a number, but it never was one; look at the weights of VGG19, or "
                "lower refine.style and refine.content"
            )
        return self.best.clamp(-1, 1)

    def _evaluate(self) -> Tensor:
        self.image.grad = None
        loss = self.loss(self.image)
        loss.backward()  # type: ignore[no-untyped-call]
        self.evaluations += 1
        if (value := loss.item()) < self.least:
            self.best, self.least = self.image.detach().clone(), value
        return loss.detach()
