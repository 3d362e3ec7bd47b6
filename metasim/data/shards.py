"""The records of an unfinished dataset, one file for each finished batch.

A batch counts once its shard is there. Its images are written before it, so whatever a
kill leaves behind is either counted and whole, or made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metasim.data.integrity import damaged, files_of_image
from metasim.data.manifest import SHARDS, to_line
from metasim.data.records import Record
from metasim.errors import DataError
from metasim.files import write_atomic

__all__ = ["Shards", "Written"]

_Line = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Written:
    """An image whose files are there.

    Attributes:
        record: of it.
        notes: by format, what is needed when all images are there.
    """

    record: Record
    notes: Mapping[str, Any]


class Shards:
    """The shards of a dataset in ``folder`` of ``count`` images, made in batches."""

    def __init__(self, folder: Path, count: int, batch_size: int) -> None:
        """Nothing is read or written yet."""
        self._dataset = folder
        self._folder = folder / SHARDS
        self.batches = tuple(
            range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)
        )

    def write(self, number: int, written: Sequence[Written]) -> None:
        """Count batch ``number`` as finished; its files must be there already."""
        lines = [
            to_line([each.record.entry(), each.record.labels(), each.notes]) + "\n"
            for each in written
        ]
        self._folder.mkdir(exist_ok=True)
        write_atomic(self._path(number), "".join(lines), durable=False)

    def is_finished(self, number: int) -> bool:
        """Whether batch ``number`` is there, each of its files as its hash says.

        After a loss of power a file can be there without its content; such a batch does
        not count.
        """
        try:
            lines = list(self._read(number))
            found = [labels["index"] for _, labels, _ in lines]
            whole = not any(damaged(self._dataset, files_of_image(entry)) for entry, *_ in lines)
            return found == list(self.batches[number]) and whole
        except (OSError, ValueError, KeyError, TypeError, DataError):
            return False

    def entries(self) -> Iterator[dict[str, Any]]:
        """The manifest's entry of every image, in order."""
        for number in range(len(self.batches)):
            yield from (entry for entry, _, _ in self._read(number))

    def labels(self) -> Iterator[dict[str, Any]]:
        """The labels of every image, in order."""
        for number in range(len(self.batches)):
            yield from (labels for _, labels, _ in self._read(number))

    def noted(self, name: str) -> Iterator[tuple[dict[str, Any], Any]]:
        """The labels of every image, in order, with what format ``name`` has noted of it."""
        for number in range(len(self.batches)):
            yield from ((labels, notes.get(name)) for _, labels, notes in self._read(number))

    def _read(self, number: int) -> Iterator[_Line]:
        with self._path(number).open(encoding="utf-8") as file:
            for line in file:
                entry, labels, notes = json.loads(line)
                yield entry, labels, notes

    def remove(self) -> None:
        """Remove the shards, once what they hold is in its final place."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink()
            self._folder.rmdir()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"
