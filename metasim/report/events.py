"""Curves and images for TensorBoard, beside ``metrics.jsonl``."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metasim.errors import MissingExtraError, RunError
from metasim.report.grids import image_grid

__all__ = ["EventLog"]

_CURVES = ("discrepancy", "p_value", "lr", "min_scale", "grad_norm", "task_accuracy")


class EventLog:
    """Writes TensorBoard's event files; nothing before :meth:`begin`.

    Args:
        folder: of the event files, made by :meth:`begin`.

    Raises:
        MissingExtraError: when TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard", "output.tensorboard") from None
        self._folder, self._make = folder, SummaryWriter
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Write from here on; readers pass over what was written for steps after ``step``."""
        with self._writing():
            self._writer = self._make(str(self._folder), purge_step=step + 1)

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        """Write the curves of an epoch.

        Args:
            line: of ``metrics.jsonl``; each attribute gives ``attributes/<label>/mean`` and
                ``attributes/<label>/std``.
        """
        curves = {name: line[name] for name in _CURVES if line.get(name) is not None}
        for label, moments in line["attributes"].items():
            curves |= {f"attributes/{label}/{which}": moments[which] for which in ("mean", "std")}
        with self._writing():
            for name, value in curves.items():
                self._writer.add_scalar(name, value, line["step"])
            self._writer.flush()  # so that a kill costs nothing

    def add_images(self, images: NDArray[np.uint8], step: int) -> None:
        """Write up to 64 images as the grid ``most_recent``.

        Args:
            images: uint8 (N, H, W, 3), N at least 1.
            step: when they were drawn.
        """
        with Image.open(io.BytesIO(image_grid(images[:64]))) as grid:
            pixels = np.asarray(grid.convert("RGB"))
        with self._writing():
            self._writer.add_image("most_recent", pixels, step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        """End the file; nothing where none was begun."""
        if self._writer is not None:
            with self._writing():
                self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A full disk is the user's to mend, and no fault of the run's.

        Raises:
            RunError: when the disk is full or refuses.
        """
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self._folder} cannot be written: {error.strerror or error}; mend the cause and "
                "go on with --resume, or with output.tensorboard=false"
            ) from error
