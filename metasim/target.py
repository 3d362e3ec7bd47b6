"""The target images of an experiment: read from a folder, or made from a grammar first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim import rng
from metasim.classes import refuse_unknown_classes
from metasim.config import Experiment, GrammarTarget
from metasim.data import check_varied, generate_dataset, load_images, read_dataset
from metasim.data.manifest import MANIFEST
from metasim.data.reading import Dataset
from metasim.errors import ConfigError, DataError, concerning
from metasim.progress import Progress
from metasim.provenance import code_digest, digest
from metasim.render.base import Renderer
from metasim.render.plugins import code_of, files_of, make_renderer
from metasim.rng import stream
from metasim.scene import graph
from metasim.scene.graph import Scene

__all__ = ["Target", "load_target", "target_renderer"]


@dataclass(frozen=True)
class Target:
    """Target images, and their scenes where those are known.

    Attributes:
        images: uint8 (N, H, W, 3).
        scenes: N scenes, or none.
        classes: of each image that shows one instance alone; none where some do not.
    """

    images: npt.NDArray[np.uint8]
    scenes: Sequence[Scene] = ()
    classes: Sequence[str] = ()


def load_target(experiment: Experiment, size: tuple[int, int], progress: Progress) -> Target:
    """The experiment's target images.

    A target that is described by a grammar is drawn once and kept as a dataset below
    ``<output.dir>/targets``; equal descriptions, drawn by the same code from the same files,
    share it, also at the same time. One whose files were damaged since is left as it is, and drawn
    anew beside it.

    Args:
        experiment: says where from.
        size: (H, W) of the learner's renderer.
        progress: told how far the drawing is.

    Raises:
        ConfigError: when the target's renderer draws another size, or not all classes of the
            target's grammar; nothing is drawn then.
        DataError: when the images cannot be used.
    """
    target = experiment.target
    if isinstance(target, GrammarTarget):
        folder, found = _drawn(target, experiment.output.dir / "targets", size, progress)
        check_varied(found.images, str(folder))
        return found
    return Target(load_images(target.images, size, resize=target.resize).images)


@contextmanager
def target_renderer(target: GrammarTarget, size: tuple[int, int]) -> Iterator[Renderer]:
    """What draws a target that a grammar describes; closed at the end of the block.

    Args:
        target: of an experiment.
        size: (H, W) of the learner's renderer.

    Raises:
        ConfigError: when it draws another size, or not all classes of the target's grammar.
    """
    spec = target.renderer
    with concerning("target", "renderer", "options"):
        built = make_renderer(spec.use, spec.options, spec.folder, spec.workers)
    with built as renderer:
        if tuple(renderer.image_size) != tuple(size):
            raise ConfigError(
                f"target.renderer must draw images of {list(size)} (height, width), as the "
                f"learner's renderer does, but draws {list(renderer.image_size)}; give both the "
                "same size"
            )
        refuse_unknown_classes(target.grammar, renderer, spec.use, key="target.grammar")
        yield renderer


def _drawn(
    target: GrammarTarget, targets: Path, size: tuple[int, int], progress: Progress
) -> tuple[Path, Target]:
    """The first of the target's folders that is not damaged, drawn first where it must be."""
    asked = {
        "target": {
            **target.model_dump(mode="json", exclude_none=True),
            "renderer": target.renderer.identity(),
        },
        "renderer_code": code_of(target.renderer.use, target.renderer.folder),
        "sampling_code": _sampling_code(),
        "renderer_files": files_of(
            target.renderer.use, target.renderer.options, target.renderer.folder
        ),
    }
    name = digest(json.dumps(asked, sort_keys=True).encode())[:16]
    folders = (targets / (f"{name}-{n}" if n else name) for n in itertools.count())
    while True:
        folder = next(folders)
        new = not (folder / MANIFEST).is_file()
        if new:
            with target_renderer(target, size) as renderer:
                _draw(target, asked, folder, renderer, progress)
        try:
            dataset = read_dataset(folder)
            found = Target(dataset.images(), dataset.scenes, _classes(dataset))
            if found.images.shape[1:3] != tuple(size):
                raise DataError(f"{folder} holds images that are not of {list(size)} any more")
        except DataError as error:
            if new:
                raise
            progress.log(
                f"{error}; the target is drawn anew in another folder, and {folder} can be removed"
            )
        else:
            return folder, found


def _classes(dataset: Dataset) -> tuple[str, ...]:
    """The class of each image, where each shows one instance alone."""
    alone = all(len(record.instances) == 1 for record in dataset.records)
    return tuple(r.instances[0].label.category for r in dataset.records) if alone else ()


@cache
def _sampling_code() -> str:
    """A digest of what makes scenes of a grammar and a seed."""
    sampled = code_digest([Path(graph.__file__).parent])
    return digest(f"{sampled} {digest(Path(rng.__file__).read_bytes())}".encode())


def _draw(
    target: GrammarTarget,
    asked: Mapping[str, Any],
    folder: Path,
    renderer: Renderer,
    progress: Progress,
) -> None:
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
        manifest=asked,
        resume=True,
        progress=progress.advance,
        waiting=lambda holder: progress.log(
            f"{holder} is drawing this target already; waiting until it ends"
        ),
    )
    progress.finish()
