"""What one render gives, read from memory: no file and no compositor.

Blender keeps no pixels that Python could read after a render without a window. While
Cycles' ``render`` is running, though, the engine's result can be asked for; so that method is
wrapped, once in a process, and tells whoever is rendering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import RenderError

__all__ = ["Passes", "from_named", "receiving"]

Plane = npt.NDArray[np.float32]

# Names differ by version: the second are those of Blender 5.
_COMBINED: Final = ("Combined",)
_DEPTH: Final = ("Depth", "Z")
_NORMAL: Final = ("Normal",)
_INDEX: Final = ("IndexOB", "Object Index")


@dataclass(frozen=True, slots=True)
class Passes:
    """Planes of one render, top row first.

    Attributes:
        combined: (H, W, 4) linear light, multiplied by the share of the pixel that is covered.
        depth: (H, W) metres along the camera's axis at the pixel's centre; 1e10 for nothing.
        normal: (H, W, 3) in the world's frame, the mean over a pixel's samples.
        index: (H, W) number of the object at the pixel's centre, 0 for none.
    """

    combined: Plane
    depth: Plane
    normal: Plane
    index: Plane


def from_named(named: dict[str, Plane]) -> Passes:
    """The passes by their names, bottom row first, (H, W, channels).

    Raises:
        RenderError: when one is missing.
    """

    def plane(names: tuple[str, ...]) -> Plane:
        for name in names:
            if name in named:
                return named[name][::-1]
        raise RenderError(
            f"Blender must give a pass called {' or '.join(names)}, got {sorted(named)}; this "
            "version is not supported: install bpy 4.5"
        )

    return Passes(plane(_COMBINED), plane(_DEPTH)[..., 0], plane(_NORMAL), plane(_INDEX)[..., 0])


@contextmanager
def receiving(engine_class: Any, size: tuple[int, int]) -> Iterator[dict[str, Plane]]:
    """The passes of what is rendered in the block, by name, (H, W, channels), bottom row first.

    An exception within a render does not fail it; one of ours is raised when the block ends.

    Args:
        engine_class: ``cycles.CyclesRender``.
        size: (H, W) of what will be rendered.
    """
    named: dict[str, Plane] = {}
    problems: list[Exception] = []
    original: Callable[[Any, Any], None] = engine_class.render

    def render(self: Any, depsgraph: Any) -> None:
        original(self, depsgraph)
        try:
            _take(self.get_result(), size, named)
        except Exception as error:
            problems.append(error)

    engine_class.render = render
    try:
        yield named
    finally:
        engine_class.render = original
    if problems:
        raise RenderError(f"reading what Blender rendered failed: {problems[0]}") from problems[0]


def _take(result: Any, size: tuple[int, int], named: dict[str, Plane]) -> None:
    for layer in result.layers:
        for each in layer.passes:
            plane = np.empty((*size, each.channels), np.float32)
            each.rect.foreach_get(plane.ravel())
            named[each.name] = plane
