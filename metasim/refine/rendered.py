"""A renderer whose images are refined; all else is as it was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metasim.errors import PluginError
from metasim.refine.conditions import conditions
from metasim.refine.refiner import Refiner
from metasim.render.base import Rendered, Renderer
from metasim.render.geometry import Mesh
from metasim.scene.graph import Scene

__all__ = ["RefinedRenderer"]


class RefinedRenderer(Renderer):
    """Draws with another renderer, and refines its images.

    Labels, ids and planes are those of the renderer: that they hold for the refined images, too,
    is what the gate looks at (:mod:`metasim.refine.gate`).

    Args:
        renderer: that draws; it is closed with this one.
        refiner: that refines.

    Raises:
        PluginError: when the renderer's images are of another size than the refiner takes.
    """

    def __init__(self, renderer: Renderer, refiner: Refiner) -> None:
        if tuple(renderer.image_size) != refiner.form.size:
            raise PluginError(
                f"a refined renderer must draw the images that the refiner was trained on, "
                f"{refiner.form.size[0]} x {refiner.form.size[1]} pixels, got "
                f"{renderer.image_size[0]} x {renderer.image_size[1]}; set image_size, or leave "
                "out --refined"
            )
        self.renderer, self.refiner = renderer, refiner
        self.image_size = renderer.image_size
        self.kinds = renderer.kinds  # type: ignore[misc]
        self.known_categories = renderer.known_categories

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch, and refine its images."""
        drawn = self.renderer.render(scenes)
        form = self.refiner.form
        told = conditions(drawn, form.condition, form.classes) if form.condition else None
        return replace(drawn, images=self.refiner.refine(drawn.images, told))

    def meshes(self) -> Mapping[str, Mesh]:
        """The renderer's."""
        return self.renderer.meshes()

    def close(self) -> None:
        """Close the renderer."""
        self.renderer.close()
