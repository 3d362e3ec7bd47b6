"""What all refiners are to those that apply them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from metasim.errors import DataError, RunError
from metasim.files import write_atomic
from metasim.learn.archive import pack
from metasim.refine.options import Condition, Encoded, Trained

__all__ = ["Form", "Refiner"]


@dataclass(frozen=True)
class Form:
    """What a refiner takes.

    Attributes:
        size: (H, W) of the images.
        condition: what it is told of their pixels.
        classes: those that the condition tells apart.
    """

    size: tuple[int, int]
    condition: tuple[Condition, ...] = ()
    classes: tuple[str, ...] = ()


class Refiner(ABC):
    """Makes renders look like target images, each for itself: equal ones become equal ones.

    Attributes:
        options: of its method.
        form: of what it takes.
        device: that it runs on.
    """

    options: Trained | Encoded
    form: Form
    device: torch.device

    @abstractmethod
    def refine(
        self,
        images: npt.NDArray[np.uint8],
        condition: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images that look like the target's, each made of one render alone.

        Args:
            images: uint8 (B, H, W, 3).
            condition: float32 (B, C, H, W), where the form names one.

        Returns:
            uint8 (B, H, W, 3).

        Raises:
            DataError: when the images are of another size than it was made for.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain data."""

    def write(self, path: Path, made: Mapping[str, Any] | None = None) -> None:
        """Write it to a file, by rename.

        Args:
            path: of the file; its folder must exist.
            made: what is to be known of how it was made, as plain data.

        Raises:
            RunError: when that fails.
        """
        state = self.state_dict() if made is None else {**self.state_dict(), "made": dict(made)}
        try:
            write_atomic(path, pack(state))
        except OSError as error:
            raise RunError(
                f"the refiner cannot be written to {path}: {error.strerror or error}; mend the "
                "cause and try again"
            ) from error

    def _check_size(self, images: npt.NDArray[np.uint8]) -> None:
        if images.shape[1:3] != self.form.size:
            raise DataError(
                f"the refiner takes images of {self.form.size[0]} x {self.form.size[1]} pixels, "
                f"which it was trained on, got {images.shape[1]} x {images.shape[2]}"
            )

    def _about(self) -> dict[str, Any]:
        """What is part of every refiner's state."""
        return {
            "options": self.options.model_dump(mode="json"),
            "size": list(self.form.size),
            "condition": list(self.form.condition),
            "classes": list(self.form.classes),
        }
