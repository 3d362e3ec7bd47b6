"""A renderer that changes what another draws."""

from __future__ import annotations

from collections.abc import Mapping

from metasim.render.base import Renderer
from metasim.render.geometry import Mesh

__all__ = ["Wrapped", "innermost"]


class Wrapped(Renderer):
    """Draws with another renderer, and makes something else of its images or of the scenes.

    Args:
        renderer: that draws; it is closed with this one.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.image_size = renderer.image_size
        self.kinds = renderer.kinds  # type: ignore[misc]
        self.known_categories = renderer.known_categories

    def meshes(self) -> Mapping[str, Mesh]:
        """The renderer's."""
        return self.renderer.meshes()

    def close(self) -> None:
        """Close the renderer."""
        self.renderer.close()


def innermost(renderer: Renderer) -> Renderer:
    """What draws in the end."""
    while isinstance(renderer, Wrapped):
        renderer = renderer.renderer
    return renderer
