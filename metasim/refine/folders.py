"""Two folders of pictures, as refinement reads them: what is refined, and what it is to look like.

Understood are two plain folders; one folder with ``trainA``, ``trainB`` and if need be ``testA``
(A is simulated, B is real), as CycleGAN's tools have it; and for methods that need pairs one folder
of pictures that hold both halves side by side, the simulated one to the left, as Pix2Pix's have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metasim.data.images import TargetImages, load_images
from metasim.data.pictures import BadPictureError, picture_size
from metasim.errors import DataError

__all__ = ["Folders", "read_folders"]

_LISTED = 5


@dataclass(frozen=True)
class Folders:
    """Pictures of both domains, of one size.

    Attributes:
        sim: to learn from.
        real: to learn from; of the same scenes, in the same order, where they are pairs.
        test: to be refined.
    """

    sim: TargetImages
    real: TargetImages
    test: TargetImages


def read_folders(
    sim: Path, real: Path, *, size: tuple[int, int] | None = None, paired: bool = False
) -> Folders:
    """Read both folders.

    Args:
        sim: of simulated pictures, or of all (see above).
        real: of real ones; the same as ``sim`` where that holds all.
        size: (H, W) that all are brought to; without it they must be of one size.
        paired: whether the method needs pairs: pictures of the same name, or side by side.

    Raises:
        DataError: when a folder is missing or empty, or pictures cannot be used, are of different
            sizes, or lack their other half; all of them are named.
    """
    together = sim.resolve() == real.resolve()
    if (sim / "trainA").is_dir() and (together or not (real / "trainB").exists()):
        return _in_parts(sim, size, paired)
    if together:
        if paired:
            return _side_by_side(sim, size)
        raise DataError(
            f"both folders must be different, or hold trainA and trainB, got {sim} twice"
        )
    return _read(sim, real, sim, size, paired)


def _in_parts(folder: Path, size: tuple[int, int] | None, paired: bool) -> Folders:
    test = folder / "testA"
    return _read(
        folder / "trainA",
        folder / "trainB",
        test if test.is_dir() else folder / "trainA",
        size,
        paired,
    )


def _read(sim: Path, real: Path, test: Path, size: tuple[int, int] | None, paired: bool) -> Folders:
    resize = size is not None
    size = size or _size_of(sim)
    found = {
        folder: load_images(folder, size, resize=resize)
        for folder in dict.fromkeys((sim, real, test))
    }
    if paired:
        _check_pairs(found[sim].names, found[real].names)
    return Folders(found[sim], found[real], found[test])


def _side_by_side(folder: Path, size: tuple[int, int] | None) -> Folders:
    high, wide = size or _halved(_size_of(folder), folder)
    both = load_images(folder, (high, 2 * wide), resize=size is not None)
    halves = (both.images[:, :, :wide], both.images[:, :, wide:])
    sim, real = (TargetImages(np.ascontiguousarray(half), both.names) for half in halves)
    return Folders(sim, real, sim)


def _halved(size: tuple[int, int], folder: Path) -> tuple[int, int]:
    if size[1] % 2:
        raise DataError(
            f"pictures that hold pairs side by side must have an even width, got {size[1]} pixels "
            f"in {folder}"
        )
    return size[0], size[1] // 2


def _size_of(folder: Path) -> tuple[int, int]:
    """(H, W) of the first picture in a folder, which the others must have, too."""
    if not folder.is_dir():
        state = "it is a file" if folder.exists() else "it does not exist"
        raise DataError(f"{folder} must be a folder of pictures; {state}")
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            try:
                return picture_size(path)
            except BadPictureError:
                continue  # all that cannot be used are told when they are read
    raise DataError(f"{folder} must hold pictures; there are none")


def _check_pairs(sim: Sequence[str], real: Sequence[str]) -> None:
    stems = [{Path(name).with_suffix("").as_posix() for name in names} for names in (sim, real)]
    if stems[0] == stems[1] and len(sim) == len(real) == len(stems[0]):
        return
    alone = [
        f"{len(names)} in {what} alone ({', '.join(sorted(names)[:_LISTED])})"
        for names, what in ((stems[0] - stems[1], "sim"), (stems[1] - stems[0], "real"))
        if names
    ]
    raise DataError(
        "a method that needs pairs must find each picture under one name in both folders, got "
        f"{'; '.join(alone) or 'names that are there twice with other endings'}; or give one "
        "folder of pictures that hold both halves side by side"
    )
