"""The warm start: the editor is fitted to what is known before the first step.

Letters: B scenes, N nodes, A learnable attribute names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from metasim.learn.clusters import find_clusters
from metasim.learn.codec import SceneCodec
from metasim.learn.editor import SceneEditor
from metasim.learn.options import Editor
from metasim.learn.pools import Pool
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["fit_editor", "warm_up"]

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


def fit_editor(
    editor: SceneEditor,
    sample_scenes: Callable[[int], Sequence[Scene]],
    wanted: Callable[[Sequence[Scene], Tensor, Tensor], Tensor],
    *,
    steps: int,
    generator: torch.Generator,
    rate: float = 0.01,
    deviation: float | None = None,
    components: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """Fit the editor by maximum likelihood to values that ``wanted`` gives for each node.

    Args:
        editor: changed in place.
        sample_scenes: step -> B scenes of the prior.
        wanted: (scenes, name ids (N,), current latent (N, A)) -> latent values (N, A) whose
            density is to be raised; reconstruction returns the current ones.
        steps: of Adam.
        generator: draws the editor's noise input.
        rate: learning rate, which falls to a tenth.
        deviation: hold all deviations at this (latent units) and fit positions alone, so
            that a point target does not drive the learned deviations to nothing.
        components: (name ids (N,), wanted values (N, A)) -> int64 (N,), the mixture component
            that each is to come from; without it any may, and components that start alike
            can stay alike.

    Returns:
        The mean log density of the last tenth of the steps.
    """
    if steps == 0:
        return float("nan")
    codec: SceneCodec = editor.codec
    optimiser = torch.optim.Adam(editor.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, rate / 10)
    reached = []
    for step in range(steps):
        scenes = sample_scenes(step)
        batch = codec.encode(scenes)
        values = wanted(scenes, batch.name_id, codec.to_latent(batch.value, batch.name_id))
        distribution = editor(batch, generator)
        if deviation is not None:
            distribution = distribution.with_deviation(deviation)
        origin = components(batch.name_id, values) if components is not None else None
        density = distribution.log_density(values, origin).mean()
        optimiser.zero_grad()
        (-density).backward()
        torch.nn.utils.clip_grad_norm_(editor.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        reached.append(float(density.detach()))
    tail = reached[-max(1, steps // 10) :]
    return sum(tail) / len(tail)
