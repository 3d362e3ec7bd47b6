"""Rendering on behalf of learning: every batch is checked against the contract."""

from __future__ import annotations

from collections.abc import Sequence

from metasim.errors import MetasimError, RenderError
from metasim.render.base import Rendered, Renderer, check_rendered
from metasim.scene.graph import Scene

__all__ = ["draw"]


def draw(renderer: Renderer, scenes: Sequence[Scene]) -> Rendered:
    """Render and check what came back.

    Raises:
        RenderError: when the renderer raised, or broke its contract.
    """
    try:
        rendered = renderer.render(scenes)
    except MetasimError:  # a renderer's own complaint, or the user's wish to stop
        raise
    except Exception as error:
        raise RenderError(
            f"the renderer {type(renderer).__name__} raised {type(error).__name__}: {error}"
        ) from error
    return check_rendered(rendered, scenes, renderer.image_size)
