"""How good is what was learned? Numbers for the summary, from fresh renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import Kernel
from metasim.learn.objective import Objective
from metasim.learn.significance import kernel_among, permutation_p_value
from metasim.rng import derive, stream
from metasim.scene.graph import Scene

__all__ = ["Sensitivity", "attribute_values", "sensitivities"]

_IDENTIFIABLE = 0.01


@dataclass(frozen=True)
class Sensitivity:
    """What an attribute does to the features.

    Attributes:
        size: 0 (nothing changes) to 1 (nothing stays alike) when the attribute is redrawn
            over its whole range: the squared MMD over its largest possible value.
        p_value: of the renders before and after; large where the attribute does nothing.
    """

    size: float
    p_value: float

    @property
    def identifiable(self) -> bool:
        """Whether the images tell anything of the attribute."""
        return self.p_value < _IDENTIFIABLE


def attribute_values(
    codec: SceneCodec, scenes: Sequence[Scene]
) -> dict[str, npt.NDArray[np.float64]]:
    """Values of each learnable attribute over all scenes, by label, in attribute units."""
    batch = codec.encode(scenes)
    return {
        label: batch.value[batch.name_id == s, a].numpy()
        for label, (s, a) in zip(codec.labels, codec.entries, strict=True)
    }


def sensitivities(
    objective: Objective, scenes: Sequence[Scene], seed: int
) -> Mapping[str, Sensitivity]:
    """How much the discrepancy's kernel sees of each learnable attribute.

    Args:
        objective: renders and extracts; its renders are counted.
        scenes: B scenes as learned, at least 4.
        seed: of what is redrawn.
    """
    codec = objective.codec
    batch = codec.encode(scenes)
    half = len(scenes) // 2
    drawn = objective.draw(scenes[:half])
    found = {}
    for label, (s, a) in zip(codec.labels, codec.entries, strict=True):
        generator = torch.Generator().manual_seed(derive(seed, "sensitivity", label))
        value = batch.value.clone()
        rows = torch.nonzero(batch.name_id == s).squeeze(-1)
        share = torch.rand(len(rows), generator=generator, dtype=torch.float64)
        value[rows, a] = codec.low[s, a] + share * (codec.high[s, a] - codec.low[s, a])
        redrawn = codec.decode(scenes, value)[half:]
        # Other scenes than those compared with: a common seed would make even noise alike.
        before = objective.features_of(drawn, generator)
        after = objective.features(redrawn, generator)
        kernel = kernel_among(torch.cat([before, after]), objective.discrepancy.kernel)
        permutations = stream(seed, "sensitivity permutations", label)
        found[label] = Sensitivity(
            _relative_mmd(kernel, before, after),
            permutation_p_value(before, after, generator=permutations, kernel=kernel),
        )
    return found


def _relative_mmd(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    within = _off_diagonal_mean(kernel(x, x)) + _off_diagonal_mean(kernel(y, y))
    across = float(kernel(x, y).mean())
    # Sets that have nothing in common have no kernel between them; of minus a distance, which
    # knows no such end, it is that each set is a point.
    largest = max(within, -2 * across)
    return max(0.0, (within - 2 * across) / largest) if largest > 0 else 0.0


def _off_diagonal_mean(matrix: Tensor) -> float:
    count = len(matrix)
    return float((matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1)))
