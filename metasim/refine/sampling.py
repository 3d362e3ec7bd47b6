"""What a refiner learns from, and how a step's batch is drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from metasim.errors import DataError
from metasim.refine.method import Batch
from metasim.refine.team import ALONE, Team
from metasim.refine.tensors import to_tensor
from metasim.rng import stream

__all__ = ["Domains"]


@dataclass(frozen=True)
class Domains:
    """Images of both domains, of one size.

    Attributes:
        sim: uint8 (N, H, W, 3), renders.
        real: uint8 (M, H, W, 3), target images.
        condition: float32 (N, C, H, W), what the simulator knows of the renders' pixels.
        paired: whether the n-th images of both show one scene.
    """

    sim: npt.NDArray[np.uint8]
    real: npt.NDArray[np.uint8]
    condition: npt.NDArray[np.float32] | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if not len(self.sim) or not len(self.real):
            raise DataError(
                f"both domains must have images, got {len(self.sim)} renders and "
                f"{len(self.real)} target images"
            )
        if self.sim.shape[1:] != self.real.shape[1:]:
            raise DataError(
                f"images of both domains must be of one size, got {_size(self.sim)} and "
                f"{_size(self.real)}; give a size to which all are brought"
            )
        if self.paired and len(self.sim) != len(self.real):
            raise DataError(
                f"there must be as many renders as target images where they are pairs, got "
                f"{len(self.sim)} and {len(self.real)}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images."""
        return self.sim.shape[1], self.sim.shape[2]

    def batch(
        self, seed: int, number: int, count: int, device: torch.device, team: Team = ALONE
    ) -> Batch:
        """The images of a step, drawn with replacement by a stream of its own.

        Args:
            seed: of the training.
            number: of the step.
            count: images of each domain.
            device: that they are brought to.
            team: of which this process has its part of them.
        """
        rng = stream(seed, "refine", "batch", number)
        sim = rng.integers(len(self.sim), size=count)
        real = sim if self.paired else rng.integers(len(self.real), size=count)
        sim, real = sim[team.own(count)], real[team.own(count)]
        return Batch(
            to_tensor(self.sim[sim], device),
            to_tensor(self.real[real], device),
            None if self.condition is None else torch.from_numpy(self.condition[sim]).to(device),
        )


def _size(images: npt.NDArray[np.uint8]) -> str:
    return f"{images.shape[1]} x {images.shape[2]}"
