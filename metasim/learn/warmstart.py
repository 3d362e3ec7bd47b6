"""The warm start: what labelled renders say about the target before the first step.

For each grammar node apart, weights on renders whose attributes are known are found such
that their features match the target's (kernel mean matching), and the editor is fitted to
the weighted attributes. It sees the whole range at once, so false optima do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metasim.learn.clusters import find_clusters
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import RBF, median_distance
from metasim.learn.editor import SceneEditor
from metasim.learn.options import Editor
from metasim.learn.warmup import fit_editor, kernel_mean_matching
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["Pool", "match", "warm_up"]

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
_BATCH = 64
_RECONSTRUCTED = 0.1


@dataclass(frozen=True)
class Pool:
    """Weighted values of one grammar node's learnable attributes.

    Attributes:
        node: its place in ``SceneCodec.names``.
        weights: (n,), sum 1.
        latent: (n, A).
    """

    node: int
    weights: Tensor
    latent: Tensor

    @property
    def effective_size(self) -> float:
        """How many equally weighted values would vary as much."""
        return float(1.0 / self.weights.square().sum())


def match(
    codec: SceneCodec,
    scenes: Sequence[Scene],
    features: Tensor,
    target: Tensor,
    blocks: dict[str, slice],
) -> list[Pool]:
    """Weigh known renders so that their features match the target's, node by node.

    Args:
        codec: of the grammar.
        scenes: n scenes that were rendered.
        features: (n, D), their features.
        target: (N, D), the target's.
        blocks: columns of the features; a node is matched by its readings alone where there
            are such, else by the block of its name, else by all columns.
    """
    batch = codec.encode(scenes)
    latent = codec.to_latent(batch.value, batch.name_id)
    every = slice(0, features.shape[1])
    pools = []
    for node in sorted({s for s, _ in codec.entries}):
        name = codec.names[node]
        columns = blocks.get(f"{name} readings", blocks.get(name, every))
        weights = _weights(features[:, columns], target[:, columns])
        rows = torch.nonzero(batch.name_id == node).squeeze(-1)
        mine = weights[batch.batch[rows]]
        pools.append(Pool(node, mine / mine.sum(), latent[rows]))
    return pools


def _weights(known: Tensor, target: Tensor) -> Tensor:
    scale = float(median_distance(torch.cat([known[-1000:], target[:1000]])))
    kernel = RBF([scale * b for b in _BANDWIDTHS])
    return kernel_mean_matching(kernel(known, known), kernel(known, target).mean(dim=1))


def warm_up(
    editor: SceneEditor,
    grammar: SceneGrammar,
    pools: Sequence[Pool],
    options: Editor,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Teach the editor to give back what it is given, then to follow weighted values.

    Args:
        editor: changed in place.
        grammar: scenes are sampled from it.
        pools: from :func:`match`; without them the editor only learns to reconstruct.
        options: how many steps.
        rng: of the scenes.
        generator: of everything else.
    """

    def sample_scenes(step: int) -> list[Scene]:
        return [grammar.sample(rng) for _ in range(_BATCH)]

    def weighted(scenes: Sequence[Scene], name_id: Tensor, latent: Tensor) -> Tensor:
        latent = latent.clone()
        for pool in pools:
            rows = torch.nonzero(name_id == pool.node).squeeze(-1)
            if len(rows):
                pick = torch.multinomial(
                    pool.weights, len(rows), replacement=True, generator=generator
                )
                latent[rows] = pool.latent[pick]
        return latent

    fit_editor(
        editor,
        sample_scenes,
        lambda scenes, name_id, latent: latent,
        steps=options.warmup_steps,
        generator=generator,
        deviation=_RECONSTRUCTED,
    )
    if not pools:
        return
    together = options.fit_steps
    if editor.components > 1:
        together //= 2
        fit_editor(
            editor,
            sample_scenes,
            weighted,
            steps=options.fit_steps - together,
            generator=generator,
            components=find_clusters(editor.codec, pools, editor.components, rng).nearest,
        )
    fit_editor(editor, sample_scenes, weighted, steps=together, generator=generator)
