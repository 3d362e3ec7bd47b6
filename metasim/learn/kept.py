"""Renders that outlive an interruption: a slow renderer does not draw the same scenes twice."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from metasim.files import remove_temporaries, write_atomic
from metasim.jsonlines import plain
from metasim.progress import Progress
from metasim.provenance import digest
from metasim.render.base import Label, Rendered, Renderer
from metasim.render.checking import check_rendered
from metasim.render.drawing import draw
from metasim.scene.graph import Scene

__all__ = ["KeptRenders", "clear"]

_NAME = re.compile(r"[0-9a-f]{32}-(\d+)\.npz")


class KeptRenders(Renderer):
    """Draws as another renderer does, and keeps each batch's images and labels in a folder.

    A batch is found again by its scenes, which hold everything that pixels depend on, so
    that one that differs in the least is drawn afresh. One that cannot be read is drawn
    afresh too, and where nothing can be written nothing is kept: the run goes on.

    Args:
        renderer: draws what is not kept; closed by whoever made it.
        folder: made with the first batch.
        progress: told when nothing can be kept.
    """

    # Scenes were checked against the kinds of the renderer behind it.
    kinds: ClassVar[Mapping[str, frozenset[str]]] = {}

    def __init__(self, renderer: Renderer, folder: Path, progress: Progress) -> None:
        self.renderer, self.folder, self.progress = renderer, folder, progress
        self.image_size = renderer.image_size
        self._writable = True

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """The kept batch, or a new one: what learning uses, without depth, poses and the like."""
        path = self.folder / f"{_fingerprint(scenes)}-{len(scenes)}.npz"
        with suppress(Exception):  # a damaged file can make the reader raise anything
            return check_rendered(_read(path), scenes, self.image_size)
        drawn = draw(self.renderer, scenes)
        if self._writable:
            self._write(path, drawn)
        return Rendered(drawn.images, drawn.instances, _plain(drawn.labels))

    def count(self) -> int:
        """How many images are kept."""
        return sum(int(match[1]) for _, match in _batches(self.folder))

    def _write(self, path: Path, drawn: Rendered) -> None:
        labels = [[asdict(label) for label in labels] for labels in _plain(drawn.labels)]
        # In memory first: an archive whose file fails complains once more when it is collected.
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            images=drawn.images,
            instances=_narrow(drawn.instances),
            labels=np.frombuffer(json.dumps(plain(labels)).encode(), np.uint8),
        )
        try:
            self.folder.mkdir(exist_ok=True)
            # Worth no wait for the disk: it can be drawn again.
            write_atomic(path, buffer.getvalue(), durable=False)
        except OSError as error:
            self._writable = False
            self.progress.log(
                f"renders cannot be kept in {self.folder}: {error.strerror or error}; if the run "
                "is stopped before its first checkpoint they are drawn again"
            )


def clear(folder: Path) -> None:
    """Remove what was kept in a folder, and the folder unless it holds files of other names."""
    with suppress(OSError):
        for path, _ in _batches(folder):
            path.unlink()
        if folder.is_dir():
            remove_temporaries(folder)
            folder.rmdir()


def _batches(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.glob("*.npz")):
        if match := _NAME.fullmatch(path.name):
            yield path, match


def _fingerprint(scenes: Sequence[Scene]) -> str:
    text = json.dumps([scene.to_json() for scene in scenes], sort_keys=True)
    return digest(text.encode())[:32]


def _plain(labels: Sequence[Sequence[Label]]) -> tuple[tuple[Label, ...], ...]:
    """The labels without what only datasets hold; kept batches and new ones are alike."""
    return tuple(tuple(replace(one, full_box=None, pose=None) for one in row) for row in labels)


def _narrow(instances: npt.NDArray[np.int32]) -> npt.NDArray[np.int32] | npt.NDArray[np.uint8]:
    """As bytes where the ids fit, as they nearly always do."""
    fits = int(instances.min(initial=0)) >= 0 and int(instances.max(initial=0)) <= 255
    return instances.astype(np.uint8) if fits else instances


def _read(path: Path) -> Rendered:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        labels = json.loads(data["labels"].tobytes())
        return Rendered(
            data["images"],
            data["instances"].astype(np.int32),
            tuple(tuple(_label(label) for label in one) for one in labels),
        )


def _label(stored: dict[str, Any]) -> Label:
    return Label(**{**stored, "box": tuple(stored["box"])})
