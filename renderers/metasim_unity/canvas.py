"""A batch's images and labels, as they come from a player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered
from metasim.render.geometry import Camera

__all__ = ["PLANES", "Canvas", "Plane"]


@dataclass(frozen=True, slots=True)
class Plane:
    """How a plane is sent, and how it is kept.

    Attributes:
        code: its type in the protocol.
        sent: numpy's name of that.
        kept: the type in :class:`metasim.render.base.Rendered`.
        channels: numbers for each pixel.
    """

    code: str
    sent: str
    kept: type[np.generic]
    channels: int = 1

    def shape(self, count: int, size: tuple[int, int]) -> tuple[int, ...]:
        """Of so many images of a size (H, W)."""
        return (count, *size, self.channels) if self.channels > 1 else (count, *size)


PLANES: Final[Mapping[str, Plane]] = {
    "images": Plane("u8", "u1", np.uint8, 3),
    "instances": Plane("u16", "<u2", np.int32),
    "depth": Plane("f32", "<f4", np.float32),
    "normals": Plane("f32", "<f4", np.float32, 3),
}


class Canvas:
    """What a batch becomes, image by image.

    Args:
        count: how many images there will be.
        size: (H, W) of them.
        names: of the planes.
        seen: whether the camera of each image will be known.

    Attributes:
        size: as given.
        names: as given.
        seen: as given.
        planes: the arrays, by name.
        labels: of the images that are drawn.
        cameras: of those, where they are known.
    """

    def __init__(self, count: int, size: tuple[int, int], names: Sequence[str], seen: bool) -> None:
        self.size, self.names, self.seen = size, tuple(names), seen
        self.planes: dict[str, npt.NDArray[Any]] = {
            name: np.empty(PLANES[name].shape(count, size), PLANES[name].kept) for name in names
        }
        self.labels: list[tuple[Label, ...]] = []
        self.cameras: list[Camera] = []

    @property
    def drawn(self) -> int:
        """How many images are drawn."""
        return len(self.labels)

    def rendered(self) -> Rendered:
        """All of it, once it is drawn."""
        return Rendered(
            self.planes["images"],
            self.planes["instances"],
            tuple(self.labels),
            self.planes.get("depth"),
            self.planes.get("normals"),
            tuple(self.cameras) if self.seen else None,
        )
