"""A renderer under test, and what it does to the process it runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from pydantic import ValidationError

from metasim.errors import PluginError
from metasim.render.base import Rendered, Renderer
from metasim.render.checking import check_meshes, check_rendered
from metasim.render.geometry import Mesh
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing.footprint import Footprint

__all__ = ["SCENES", "SOUGHT", "Subject", "example_of"]

SCENES = 6
"""How many scenes a check looks at."""

SOUGHT = 100
"""Among how many scenes a node is sought that not every scene has."""


class Subject:
    """A renderer under test, started when first needed and never twice at a time.

    Args:
        factory: makes the renderer.
        grammar: what it is to draw.
        seed: of the scenes.
        footprint: what its import has left in the process, where that was watched.

    Attributes:
        footprint: what the renderer has left in the process so far.
    """

    def __init__(
        self,
        factory: Callable[[], Renderer],
        grammar: SceneGrammar,
        seed: int = 0,
        footprint: Footprint | None = None,
    ) -> None:
        self.grammar = grammar
        self.seed = seed
        self.footprint = footprint or Footprint()
        self._factory = factory
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> Renderer:
        """The running renderer."""
        if self._renderer is None:
            with self.footprint.watched():
                self._renderer = self._factory()
        return self._renderer

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """A few scenes of the grammar."""
        return self.sample()

    @cached_property
    def rendered(self) -> Rendered:
        """The scenes, drawn once and checked for shapes."""
        return self.draw(self.scenes).copy()

    def sample(self) -> tuple[Scene, ...]:
        """Scenes equal to :attr:`scenes` that no renderer has seen."""
        return tuple(islice(self._stream(), SCENES))

    def scenes_with(self, name: str) -> tuple[Scene, ...]:
        """A few scenes that have a node called ``name``; none where :data:`SOUGHT` lack it."""
        return self.scenes_where(lambda scene: any(node.name == name for node in scene.nodes))

    def scenes_where(self, wanted: Callable[[Scene], bool]) -> tuple[Scene, ...]:
        """A few scenes that are ``wanted``; none where the first :data:`SOUGHT` are not."""
        return tuple(islice(filter(wanted, islice(self._stream(), SOUGHT)), SCENES))

    def _stream(self) -> Iterator[Scene]:
        rng = stream(self.seed, "renderer contract")
        while True:
            yield self.grammar.sample(rng)

    def draw(self, scenes: Sequence[Scene]) -> Rendered:
        """What the renderer makes of ``scenes``, shapes checked.

        Raises:
            RenderError: when shapes or dtypes are not those of the contract.
        """
        return check_rendered(self._render(scenes), scenes, self.renderer.image_size)

    def try_to_draw(self, scenes: Sequence[Scene]) -> Rendered | None:
        """As :meth:`draw`; None where the renderer refuses such scenes, in its own way.

        Raises:
            RenderError: when what it gives is not what the contract asks for.
        """
        try:
            rendered = self._render(scenes)
        except Exception:
            return None
        return check_rendered(rendered, scenes, self.renderer.image_size)

    def _render(self, scenes: Sequence[Scene]) -> Rendered:
        renderer = self.renderer
        with self.footprint.watched():
            return renderer.render(scenes)

    def meshes(self) -> Mapping[str, Mesh]:
        """The renderer's models, their form checked.

        Raises:
            RenderError: when it is not that of the contract.
        """
        renderer = self.renderer
        with self.footprint.watched():
            found = renderer.meshes()
        return check_meshes(found)

    def close(self) -> None:
        """Close the renderer if one is running; the next use starts another."""
        running, self._renderer = self._renderer, None
        if running is not None:
            with self.footprint.watched():
                running.close()


def example_of(found: type[Renderer]) -> SceneGrammar | None:
    """The grammar that a renderer's ``example`` describes, where it has one.

    Raises:
        PluginError: when it does not describe a grammar.
    """
    if found.example is None:
        return None
    try:
        return SceneGrammar.model_validate(found.example)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PluginError(
            f"the example of {found.__name__} must be a grammar in its YAML form, but at "
            f"{place or 'its top'}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
