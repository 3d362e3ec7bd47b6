"""What methods have in common that change one render after the other, each for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from torch import Tensor

from metasim.errors import DataError

__all__ = ["OnSample", "Transfer", "check_sides"]

OnSample = Callable[[int, Tensor], None]
"""Told how many iterations were done, and what they made, (1, 3, H, W) from -1 to 1."""

_SMALLEST: Final = 16
"""Pixels of a side of which VGG19's last block still sees one."""


class Transfer(ABC):
    """Gives a render the look of one target image; nothing is kept from pair to pair.

    The render is the content and the target image the style: labels are the render's, and the
    other way round there would be none.
    """

    @abstractmethod
    def refine(
        self, sim: Tensor, real: Tensor, seed: int, on_sample: OnSample | None = None
    ) -> Tensor:
        """Refine one render.

        Args:
            sim: (1, 3, H, W) from -1 to 1, the render.
            real: (1, 3, H', W') from -1 to 1, the target image.
            seed: of all that is random.
            on_sample: told what there is from time to time, and last of all the result.

        Returns:
            (1, 3, H, W) from -1 to 1.

        Raises:
            DataError: when an image is too small, or of a size that the networks do not take.
            TrainingError: when the loss is no number any more.
        """


def check_sides(sim: Tensor, real: Tensor, multiple: int = 1) -> None:
    """Refuse pairs of images that the networks do not take.

    Args:
        sim: (1, 3, H, W).
        real: (1, 3, H', W').
        multiple: of which all sides must be one.

    Raises:
        DataError: naming the first that does not fit.
    """
    of_which = f"multiples of {multiple}, " if multiple > 1 else ""
    for images, what in ((sim, "render"), (real, "target image")):
        height, width = images.shape[-2:]
        if min(height, width) < _SMALLEST or height % multiple or width % multiple:
            raise DataError(
                f"each side must be {of_which}{_SMALLEST} pixels or more, but a {what} has "
                f"{height} x {width}; resize the images"
            )
