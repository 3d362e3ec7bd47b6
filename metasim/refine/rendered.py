"""A renderer whose images are refined; all else is as it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metasim.errors import PluginError
from metasim.refine.conditions import conditions
from metasim.refine.refiner import Refiner
from metasim.render.base import Rendered, Renderer
from metasim.render.wrapped import Wrapped
from metasim.scene.graph import Scene

__all__ = ["RefinedRenderer"]


class RefinedRenderer(Wrapped):
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
        super().__init__(renderer)
        self.refiner = refiner

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch, and refine its images."""
        drawn = self.renderer.render(scenes)
        form = self.refiner.form
        told = conditions(drawn, form.condition, form.classes) if form.condition else None
        return replace(drawn, images=self.refiner.refine(drawn.images, told))
