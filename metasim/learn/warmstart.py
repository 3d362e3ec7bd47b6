"""The warm start: the editor is fitted to what is known before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metasim.learn.clusters import find_clusters
from metasim.learn.editor import SceneEditor
from metasim.learn.options import Editor
from metasim.learn.pools import Pool
from metasim.learn.warmup import fit_editor
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["warm_up"]

_BATCH = 64
_RECONSTRUCTED = 0.1


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
        pools: from :func:`metasim.learn.pools.match`; without them the editor only learns to
            reconstruct.
        options: how many steps.
        rng: of the scenes and the clusters.
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
    if not pools or not options.fit_steps:
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
