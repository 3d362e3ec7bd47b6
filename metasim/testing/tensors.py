"""The promises of a renderer that offers gradients: ``render_tensor`` agrees with ``render``.

They are checked where torch is installed, and only of renderers that have the method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metasim.scene.grammar import GrammarNode
from metasim.scene.graph import Scene
from metasim.testing.attributes import acts, swept, values_to_try
from metasim.testing.broken import require
from metasim.testing.subject import Subject

if TYPE_CHECKING:
    import torch

__all__ = ["tensor_agrees_with_render", "tensor_has_gradients"]

# In levels of 255 and on average: half of it is what rounding down takes.
_APART = 1.5


def tensor_agrees_with_render(subject: Subject) -> None:
    """``render_tensor``, given the values that the scenes have, draws what ``render`` does."""
    names = _offered(subject)
    if not names:
        return
    scenes = subject.scenes
    images, _ = _drawn(subject, scenes, {name: _having(subject, scenes, name) for name in names})
    got = images.detach().cpu().double().permute(0, 2, 3, 1).numpy()
    apart = np.abs(got * 255 - subject.rendered.images).mean((1, 2, 3))
    for row, levels in enumerate(apart.tolist()):
        require(
            levels <= _APART,
            f"render_tensor() must give the images of render(), in [0, 1] and up to rounding; "
            f"image {row} is {levels:.3g} levels of 255 from it on average",
        )


def tensor_has_gradients(subject: Subject) -> None:
    """Each attribute the renderer is differentiable in has a gradient, at some of its values."""
    names = _offered(subject)
    sloped: set[str] = set()
    acting: set[str] = set()
    for node in subject.grammar.nodes.values():
        for name in names & _learned(node):
            values = values_to_try(node.attributes[name])
            scenes = subject.scenes_with(node.name)
            tried = [one for scene in scenes for one in swept(scene, node.name, name, values)]
            if tried and _has_slope(subject, tried, name):
                sloped.add(name)
            elif any(acts(subject, scene, node.name, name, values) for scene in scenes):
                acting.add(name)
    flat = sorted(acting - sloped)
    require(
        not flat,
        f"render_tensor() must have a gradient in {', '.join(flat)}, got one that is 0 for every "
        "value tried; draw by torch's own operations, or name in `differentiable` what it is "
        "differentiable in",
    )


def _offered(subject: Subject) -> set[str]:
    """The attributes of the grammar that may be learned through ``render_tensor``."""
    if not callable(getattr(subject.renderer, "render_tensor", None)):
        return set()
    try:
        import torch  # noqa: F401 - here, since what torch does as it is imported is its own doing
    except ImportError:
        return set()
    learned = set().union(*map(_learned, subject.grammar.nodes.values()))
    return learned & set(getattr(subject.renderer, "differentiable", learned))


def _learned(node: GrammarNode) -> set[str]:
    return {name for name, attribute in node.attributes.items() if attribute.mutable}


def _having(subject: Subject, scenes: Iterable[Scene], name: str) -> dict[int, float]:
    """Places, in all scenes' nodes, of those whose ``name`` is learned, and its values there."""
    nodes = [node for scene in scenes for node in scene.nodes]
    return {
        place: float(node.attributes[name])
        for place, node in enumerate(nodes)
        if name in _learned(subject.grammar.nodes[node.name])
    }


def _drawn(
    subject: Subject, scenes: Sequence[Scene], given: Mapping[str, Mapping[int, float]]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What ``render_tensor`` makes of scenes, and the values that it was given."""
    import torch

    renderer: Any = subject.renderer
    overrides = {
        name: (
            torch.tensor(list(at), dtype=torch.int64),
            torch.tensor(list(at.values()), dtype=torch.float32, requires_grad=True),
        )
        for name, at in given.items()
    }
    with torch.enable_grad(), subject.footprint.watched():
        images = renderer.render_tensor(scenes, overrides)
    shape = (len(scenes), 3, *renderer.image_size)
    fits = isinstance(images, torch.Tensor) and images.is_floating_point()
    require(
        fits and tuple(images.shape) == shape,
        f"render_tensor() must return a tensor of floating-point numbers of shape {shape}, got "
        + (
            f"{images.dtype} {tuple(images.shape)}"
            if isinstance(images, torch.Tensor)
            else type(images).__name__
        ),
    )
    return images, [values for _, values in overrides.values()]


def _has_slope(subject: Subject, scenes: Sequence[Scene], name: str) -> bool:
    import torch

    images, values = _drawn(subject, scenes, {name: _having(subject, scenes, name)})
    if not images.requires_grad:
        return False
    # What moves keeps its brightness: the sum of all pixels would have no gradient.
    weights = np.random.default_rng(0).standard_normal(tuple(images.shape))
    total = (images * torch.from_numpy(weights).to(images)).sum()
    (slope,) = torch.autograd.grad(total, values, allow_unused=True)
    return slope is not None and bool((slope != 0).any())
