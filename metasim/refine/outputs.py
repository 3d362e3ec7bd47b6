"""Refined pictures as files: one for each picture that was refined, and views by those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from metasim.data.pictures import TYPES, encode_as
from metasim.errors import DataError, did_you_mean
from metasim.files import link_or_copy, write_atomic

__all__ = ["Outputs", "check_ending", "outputs_for"]

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where refined pictures go.

    Attributes:
        plain: holds a picture for each that was refined, under its name.
        views: holds a folder for each that was refined, with it and all that was made of it; None
            for none.
        ending: of the files, such as ".png"; None for each picture's own.
    """

    plain: Path
    views: Path | None = None
    ending: str | None = None

    def path(self, name: str) -> Path:
        """Where the picture called ``name`` goes, for the folder's pictures one to one."""
        found = PurePath(name)
        ending = self.ending or found.suffix.lower()
        same = self.ending is None and ending in TYPES
        return self.plain / (found if same else found.with_suffix(self.ending or ".png"))

    def there(self, name: str) -> bool:
        """Whether it was written, which is done last of all that belongs to it."""
        return self.path(name).is_file()

    def write(self, name: str, sim: Image, refined: Image) -> None:
        """Write a refined picture, and the view of it.

        Args:
            name: of the picture.
            sim: uint8 (H, W, 3), as it was.
            refined: uint8 (H, W, 3).

        Raises:
            DataError: when that fails.
        """
        path = self.path(name)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.views is None:
                self._write(path, refined)
                return
            view = self._view(name)
            self._write(view / f"sim{path.suffix}", sim)
            self._write(view / f"refined{path.suffix}", refined)
            link_or_copy(view / f"refined{path.suffix}", path)

    def write_sample(self, name: str, real: str, iteration: int, image: Image) -> None:
        """Write what a pair of pictures had come to after so many iterations.

        Args:
            name: of the simulated picture.
            real: what the one whose look it is given is called, as a folder's name.
            iteration: from 1.
            image: uint8 (H, W, 3).
        """
        if self.views is None:
            return
        path = self._view(name) / real / f"iteration-{iteration:05d}{self.path(name).suffix}"
        with _writing(path):
            self._write(path, image)

    def _view(self, name: str) -> Path:
        assert self.views is not None
        return self.views / PurePath(name).with_suffix("")

    def _write(self, path: Path, image: Image) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_as(image, path.suffix.lower()), durable=False)


def check_ending(written: str | None) -> str | None:
    """An ending as it may be written, with or without a dot.

    Raises:
        DataError: when no such pictures can be written.
    """
    if written is None:
        return None
    ending = f".{written.lower().removeprefix('.')}"
    if ending not in TYPES:
        known = [name.removeprefix(".") for name in TYPES]
        raise DataError(
            f"the type of files must be one of {', '.join(known)}, got {written!r}; "
            f"{did_you_mean(written.lower(), known)}"
        )
    return ending


def outputs_for(outputs: Outputs, names: list[str]) -> Outputs:
    """The same outputs, once it is certain that no two pictures would be one file.

    Raises:
        DataError: naming two that would.
    """
    taken: dict[Path, str] = {}
    for name in names:
        other = taken.setdefault(outputs.path(name), name)
        if other != name:
            raise DataError(
                f"each picture must have a file of its own, but {other} and {name} would both be "
                f"{outputs.path(name).name}; rename one, or leave out --file-type"
            )
    return outputs


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; what was written is kept, mend "
            "the cause and go on with --resume"
        ) from None
