"""Examples: encoded scenes and the features of their renders, to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.scene.graph import Scene

__all__ = ["Examples", "make_examples"]


@dataclass(frozen=True)
class Examples:
    """A batch of scenes whose features are known.

    Attributes:
        nodes: (N, F), the encoded nodes.
        scene: int64 (N,), the scene each node belongs to.
        features: (B, D).
    """

    nodes: Tensor
    scene: Tensor
    features: Tensor

    def __len__(self) -> int:
        return len(self.features)


def make_examples(
    codec: SceneCodec, scenes: Sequence[Scene], features: Tensor, size: int
) -> tuple[Examples, ...]:
    """Examples in batches.

    Args:
        codec: encodes the scenes.
        scenes: n scenes that were rendered.
        features: (n, D), of the renders.
        size: scenes in a batch.
    """
    found = []
    for start in range(0, len(scenes), size):
        batch = codec.encode(scenes[start : start + size])
        found.append(Examples(batch.x, batch.batch, features[start : start + size]))
    return tuple(found)
