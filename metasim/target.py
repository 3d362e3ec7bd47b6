"""The target images of an experiment: read from a folder, or made from a grammar first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metasim.config import Experiment, GrammarTarget
from metasim.data import check_varied, generate_dataset, load_images, read_dataset
from metasim.errors import ConfigError
from metasim.progress import Progress
from metasim.render.base import Renderer
from metasim.render.plugins import make_renderer
from metasim.rng import stream
from metasim.scene.graph import Scene

__all__ = ["Target", "load_target", "target_renderer"]


@dataclass(frozen=True)
class Target:
    """Target images, and their scenes where those are known.

    Attributes:
        images: uint8 (N, H, W, 3).
        scenes: N scenes, or none.
    """

    images: npt.NDArray[np.uint8]
    scenes: Sequence[Scene] = ()


def load_target(experiment: Experiment, size: tuple[int, int], progress: Progress) -> Target:
    """The experiment's target images.

    A target that is described by a grammar is drawn once and kept as a dataset below
    ``<output.dir>/targets``; equal descriptions share it, also at the same time.

    Args:
        experiment: says where from.
        size: (H, W) of the learner's renderer.
        progress: told how far the drawing is.

    Raises:
        ConfigError: when the target's renderer draws another size; nothing is drawn then.
        DataError: when the images cannot be used.
    """
    target = experiment.target
    if isinstance(target, GrammarTarget):
        folder = experiment.output.dir / "targets" / _fingerprint(target)
        _draw(target, folder, size, progress)
        dataset = read_dataset(folder)
        images = dataset.images()
        check_varied(images, str(folder))
        return Target(images, dataset.scenes)
    return Target(load_images(target.images, size, resize=target.resize).images)


@contextmanager
def target_renderer(target: GrammarTarget, size: tuple[int, int]) -> Iterator[Renderer]:
    """What draws a target that a grammar describes; closed at the end of the block.

    Args:
        target: of an experiment.
        size: (H, W) of the learner's renderer.

    Raises:
        ConfigError: when it draws another size.
    """
    spec = target.renderer
    with make_renderer(spec.use, spec.options, spec.folder) as renderer:
        if tuple(renderer.image_size) != tuple(size):
            raise ConfigError(
                f"target.renderer must draw images of {_shown(size)}, as the learner's renderer "
                f"does, but draws {_shown(renderer.image_size)}; give both the same size"
            )
        yield renderer


def _shown(size: tuple[int, int]) -> str:
    height, width = size
    return f"[{height}, {width}] (height, width)"


def _draw(target: GrammarTarget, folder: Path, size: tuple[int, int], progress: Progress) -> None:
    with target_renderer(target, size) as renderer:
        progress.start("drawing the target", target.count)
        generate_dataset(
            folder,
            count=target.count,
            seed=target.seed,
            make_scenes=lambda indices: [
                target.grammar.sample(stream(target.seed, "target scene", i)) for i in indices
            ],
            renderer=renderer,
            formats=("native",),
            manifest={"target": target.model_dump(mode="json", exclude_none=True)},
            resume=True,
            progress=progress.advance,
            waiting=lambda holder: progress.log(
                f"{holder} is drawing this target already; waiting until it ends"
            ),
        )
        progress.finish()


def _fingerprint(target: GrammarTarget) -> str:
    text = json.dumps(target.model_dump(mode="json", exclude_none=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
