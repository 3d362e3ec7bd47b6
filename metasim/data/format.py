"""What a form of labels has to do, besides ``labels.jsonl``, which is always written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from metasim.data.records import Record
from metasim.data.shards import Shards
from metasim.render.base import Rendered, Renderer

__all__ = ["Added", "Format"]


@dataclass(frozen=True, slots=True)
class Added:
    """What a format has to add for one image.

    Attributes:
        files: SHA-256 of what it has written, by names relative to the dataset's folder.
        notes: JSON that :meth:`Format.finish` is to find again; None where it needs none.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    notes: Any = None


class Format:
    """Base of the formats, and the native one, which adds nothing.

    Made before anything is drawn, also where a dataset is resumed or finished already.

    Attributes:
        name: of the format.
        path: of its file or folder in a dataset's folder; None where it has none.
    """

    name: ClassVar[str] = "native"
    path: ClassVar[str | None] = None

    def __init__(self, renderer: Renderer) -> None:
        """Refuse a renderer that does not offer what the format holds.

        Raises:
            DataError: naming what is missing.
        """

    def check(self, rendered: Rendered) -> None:
        """Refuse a batch that lacks what the format holds, before any of it is written.

        Raises:
            RenderError: naming what is missing.
        """

    def write_image(self, out: Path, record: Record, rendered: Rendered) -> Added:
        """Write what the format has of one image, which is in the dataset already.

        Args:
            out: the dataset's folder.
            record: of the image.
            rendered: a batch of it alone.
        """
        return Added()

    def finish(
        self, out: Path, shards: Shards, classes: Sequence[tuple[str, str]]
    ) -> Iterable[str]:
        """Write what the format has of all images together.

        After a kill it is done again, and must write the same.

        Args:
            out: the dataset's folder.
            shards: hold the labels and the notes of every image.
            classes: (kind, category) pairs that there may be.

        Returns:
            Names of what it has written, relative to the dataset's folder.
        """
        return ()
