"""Before the first step: reconstruction, and the kernel-mean-matching warm start.

Letters: n wide renders, N target images, B scenes, A learnable attribute names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.editor import SceneEditor
from metasim.scene.graph import Scene

__all__ = ["fit_editor", "kernel_mean_matching"]

_NOTHING = -50.0  # as a logarithm; weights that need denormal numbers slow it down tenfold


def kernel_mean_matching(
    within: Tensor,
    across: Tensor,
    neighbours: Tensor | None = None,
    *,
    steps: int = 600,
    rate: float = 20.0,
) -> Tensor:
    """Weights on known images whose mean embedding is the target's (Huang et al., 2006).

    Minimises ``w' K w - 2 w' k`` over the simplex by mirror descent (exponentiated
    gradient), which starts from equal weights and keeps them spread out. A step that would
    raise the objective is not taken, but the rate is halved; it recovers with time.

    Args:
        within: (n, n), kernel between the known images.
        across: (n,), mean kernel between each known image and the target images.
        neighbours: int64 (n, k); each image's weight is then shared out equally among its k
            neighbours, itself one of them, so that weights are smooth among neighbours.
        steps: of descent; each is one product with ``within``.
        rate: largest step size, over the largest entry of the kernel.

    Returns:
        (n,), non-negative, sum 1.
    """
    if neighbours is None:
        neighbours = torch.arange(len(across)).unsqueeze(1)

    def share_out(weight: Tensor) -> Tensor:
        shares = (weight / neighbours.shape[1]).unsqueeze(1).expand_as(neighbours)
        return torch.zeros_like(weight).index_add(0, neighbours.flatten(), shares.flatten())

    largest = rate / float(within.abs().max().clamp(min=1e-12))
    rate, log_weight = largest, torch.zeros_like(across)
    weight = share_out(log_weight.softmax(dim=0))
    image = within @ weight
    objective = float(weight @ (image - 2 * across))
    for _ in range(steps):
        slope = (image - across)[neighbours].mean(dim=1)
        proposed = (log_weight - rate * slope).log_softmax(dim=0)
        proposed = proposed.clamp(min=_NOTHING)
        new_weight = share_out(proposed.exp())
        new_image = within @ new_weight
        new_objective = float(new_weight @ (new_image - 2 * across))
        if new_objective > objective:
            rate *= 0.5
            continue
        log_weight, weight, image, objective = proposed, new_weight, new_image, new_objective
        rate = min(largest, rate * 1.2)
    return weight


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
