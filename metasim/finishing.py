"""What becomes of a dataset's images between the renderer and the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metasim.errors import RunError
from metasim.gated import GatedRenderer
from metasim.learn.features import FeatureExtractor
from metasim.provenance import digest
from metasim.refine.questions import Examiner
from metasim.refine.refiner import read_refiner
from metasim.refine.rendered import RefinedRenderer
from metasim.render.base import Renderer
from metasim.runs import RunDir
from metasim.scene.graph import Scene

__all__ = ["Finishing", "Refining"]


class Finishing:
    """What becomes of images once they are drawn: nothing."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        """For the manifest."""

    def __call__(self, renderer: Renderer) -> Renderer:
        """The renderer of the dataset's images."""
        return renderer

    def choose(self, indices: range, make: Callable[..., Scene]) -> list[Scene]:
        """The scenes of these indices."""
        return [make(index) for index in indices]

    def counted(self) -> dict[str, Any]:
        """What there is to tell of it afterwards."""
        return {}


class Refining(Finishing):
    """They are refined, and where a gate judges them, only scenes are chosen that pass it.

    Args:
        run: has made a refiner.
        extractor: of its experiment.

    Raises:
        RunError: when it has made none.
        DataError: when its refiner is damaged.
    """

    def __init__(self, run: RunDir, extractor: FeatureExtractor) -> None:
        if not run.refiner_path.is_file():
            raise RunError(
                f"{run.path} has made no refiner, which --refined needs; add 'refine:' to the "
                "experiment, or leave out --refined"
            )
        super().__init__()
        self.refiner, gate = read_refiner(run.refiner_path), run.read_gate()
        self.examiner = None if gate is None else Examiner.from_json(gate, extractor)
        self.gated: GatedRenderer | None = None
        self.told = {"refiner": digest(run.refiner_path.read_bytes()), "gate": gate}

    def __call__(self, renderer: Renderer) -> Renderer:
        """A renderer of refined images."""
        refined = RefinedRenderer(renderer, self.refiner)
        if self.examiner is None:
            return refined
        self.gated = GatedRenderer(refined, self.examiner)
        return self.gated

    def choose(self, indices: range, make: Callable[..., Scene]) -> list[Scene]:
        """For each index a scene that passes."""
        if self.gated is None:
            return super().choose(indices, make)
        return self.gated.choose(indices, make)

    def counted(self) -> dict[str, Any]:
        """How many images did not pass."""
        return {} if self.gated is None else {"rejected": self.gated.rejected}
