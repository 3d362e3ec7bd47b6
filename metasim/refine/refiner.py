"""A trained method, ready to refine renders, and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from metasim.errors import DataError
from metasim.files import write_atomic
from metasim.learn.archive import pack, unpack
from metasim.refine.conditions import channels
from metasim.refine.make import make_method
from metasim.refine.method import Method
from metasim.refine.options import Condition, Refine, Trained
from metasim.refine.tensors import from_tensor, to_tensor

__all__ = ["Form", "Refiner", "read_refiner", "refiner_of"]

_CHUNK: Final = 8
"""Images that go through the networks at once: always as many, since convolutions of other
numbers of images may round otherwise, and equal scenes must give equal pixels."""


_SETTINGS: Final = TypeAdapter[Refine](Refine)


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


class Refiner:
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
        self.options, self.form = options, form
        self.device = torch.device("cpu") if device is None else device
        self.method = method.to(self.device).eval()

    def refine(
        self,
        images: npt.NDArray[np.uint8],
        condition: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images that look like the target's, each made of one render alone.

        Args:
            images: uint8 (B, H, W, 3).
            condition: float32 (B, C, H, W), where the method wants one.

        Raises:
            DataError: when the images are of another size than those it was trained on.
        """
        if images.shape[1:3] != self.form.size:
            raise DataError(
                f"the refiner takes images of {self.form.size[0]} x {self.form.size[1]} pixels, "
                f"which it was trained on, got {images.shape[1]} x {images.shape[2]}"
            )
        out = np.empty_like(images)
        with torch.no_grad():
            for start in range(0, len(images), _CHUNK):
                rows = slice(start, start + _CHUNK)
                sim = _whole(to_tensor(images[rows], self.device))
                told = None
                if condition is not None:
                    told = _whole(torch.from_numpy(condition[rows]).to(self.device))
                refined = self.method.refine(sim, told)
                out[rows] = from_tensor(refined[: len(images[rows])])
        return out

    def write(self, path: Path) -> None:
        """Write it to a file, by rename.

        Raises:
            RunError: when that fails.
        """
        write_atomic(path, pack(self.state_dict()))

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain data."""
        return {
            "options": self.options.model_dump(mode="json"),
            "size": list(self.form.size),
            "condition": list(self.form.condition),
            "classes": list(self.form.classes),
            "networks": self.method.state_dict(),
        }


def _whole(images: Tensor) -> Tensor:
    """Filled up to a whole chunk with copies of the last."""
    missing = _CHUNK - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images


def read_refiner(path: Path, device: torch.device | None = None) -> Refiner:
    """The refiner in a file.

    Raises:
        DataError: when there is none, or it is damaged.
    """
    try:
        state = unpack(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} must be a refiner's file: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can make torch's reader raise anything
        raise DataError(
            f"{path} must be a refiner's file, as metasim writes it, but is not, or is damaged "
            f"({type(error).__name__})"
        ) from None
    return refiner_of(state, path, device)


def refiner_of(state: Mapping[str, Any], path: Path, device: torch.device | None = None) -> Refiner:
    """The refiner that a state tells of.

    Raises:
        DataError: when it does not fit.
    """
    try:
        options = _SETTINGS.validate_python(state["options"])
        if not isinstance(options, Trained):
            raise TypeError(f"{options.method} trains no networks")
        high, wide = state["size"]
        form = Form((high, wide), tuple(state["condition"]), tuple(state["classes"]))
        told = channels(form.condition, form.classes)
        method = make_method(options, form.size, told, seed=0, training=False)
        method.load_state_dict(state["networks"])
    except (LookupError, TypeError, ValueError, RuntimeError, ValidationError) as error:
        raise DataError(
            f"{path} must hold the networks of the method that it names, but they do not fit "
            f"({' '.join(str(error).split())[:200]})"
        ) from None
    return Refiner(options, method, form, device)
