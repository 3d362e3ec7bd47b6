"""Folders of pictures: target images, labelled images, and writing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from metasim.data.manifest import IMAGES, LABELS, is_dataset
from metasim.data.pictures import (
    BadPictureError,
    WrongSizeError,
    decode,
    encode_png,
    quiet,
)
from metasim.data.reading import Dataset, read_dataset
from metasim.data.records import confined
from metasim.errors import DataError
from metasim.files import write_atomic

__all__ = [
    "TargetImages",
    "check_varied",
    "load_images",
    "load_labelled",
    "load_named",
    "picture_names",
    "save_images",
]

_LISTED = 20


@dataclass(frozen=True, slots=True)
class TargetImages:
    """N images of one size.

    Attributes:
        images: uint8 (N, H, W, 3), sRGB.
        names: their files, relative to the folder.
    """

    images: npt.NDArray[np.uint8]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)


def picture_names(folder: Path) -> list[str]:
    """The pictures' files as :func:`load_images` would read them; nothing is opened.

    Raises:
        DataError: when the folder is missing or empty, or has folders that are too deep.
    """
    names, bad = _listed(folder)
    if bad:
        raise DataError("\n  ".join([f"{folder} must hold nothing but pictures:", *bad[:_LISTED]]))
    if not names:
        raise DataError(f"{folder} must hold pictures; it is empty")
    return names


def load_named(
    folder: Path, names: Sequence[str], size: tuple[int, int], *, resize: bool
) -> npt.NDArray[np.uint8]:
    """The named pictures of a folder, uint8 (N, H, W, 3).

    Raises:
        DataError: naming every one that cannot be used.
    """
    return _load(folder, names, [], size, resize=resize)


def load_images(folder: Path, size: tuple[int, int], *, resize: bool) -> TargetImages:
    """Every picture in a folder and its sub-folders (one level), sorted by name.

    A dataset that metasim generated is read as its images, in order. Hidden files are
    passed over; anything else that is no picture is an error. How a picture is turned
    into 8-bit colour is told at :func:`metasim.data.pictures.decode`.

    Args:
        folder: where they are.
        size: (H, W) in pixels.
        resize: bring pictures of other sizes to ``size`` rather than refuse them.

    Raises:
        DataError: when the folder is missing or empty, naming every file that cannot be
            used, or when all pixels are the same (see :func:`check_varied`).
    """
    names, bad = _listed(folder)
    if not names and not bad:
        raise DataError(f"{folder} must hold pictures; it is empty")
    images = _load(folder, names, bad, size, resize=resize)
    check_varied(images, str(folder))
    return TargetImages(images, tuple(names))


def load_labelled(
    folder: Path, size: tuple[int, int], *, resize: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]:
    """Pictures with a class each: one sub-folder for each class, or a generated dataset.

    In a generated dataset every image must have exactly one instance, whose category is
    the image's class.

    Args:
        folder: where they are.
        size: (H, W) in pixels.
        resize: bring pictures of other sizes to ``size`` rather than refuse them.

    Returns:
        Images uint8 (N, H, W, 3), labels int64 (N,), and the C classes, sorted, that the
        labels count.

    Raises:
        DataError: as :func:`load_images`, and when a picture has no class.
    """
    _check_folder(folder)
    bad: list[str] = []
    if is_dataset(folder):
        names, labels = _dataset_classes(folder)
    else:
        names, bad = _names(folder)
        loose = [name for name in names if "/" not in name]
        bad += [f"{name}: must be in a sub-folder named after its class" for name in loose]
        names = [name for name in names if "/" in name]
        labels = [name.partition("/")[0] for name in names]
    if not names and not bad:
        raise DataError(f"{folder} must hold a sub-folder of pictures for each class; it is empty")
    images = _load(folder, names, bad, size, resize=resize)
    classes = tuple(sorted(set(labels)))
    place = {name: number for number, name in enumerate(classes)}
    return images, np.array([place[label] for label in labels], dtype=np.int64), classes


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The pictures' files, and complaints about what is none of them."""
    _check_folder(folder)
    if is_dataset(folder):
        return _dataset_names(read_dataset(folder)), []
    if (folder / LABELS).is_file() and (folder / IMAGES).is_dir():
        return _names(folder / IMAGES, f"{IMAGES}/")
    return _names(folder)


def _dataset_classes(folder: Path) -> tuple[list[str], list[str]]:
    dataset = read_dataset(folder)
    records = dataset.records
    several = [record for record in records if len(record.instances) != 1]
    if several:
        found = len(several[0].instances)
        raise DataError(
            f"{folder}: each image must have exactly one instance, whose category is its class; "
            f"{len(several)} of {len(records)} do not ({several[0].image} has {found})"
        )
    categories = [record.instances[0].label.category for record in records]
    return _dataset_names(dataset), categories


def _dataset_names(dataset: Dataset) -> list[str]:
    """The images' files, none of which may lie outside the dataset's folder."""
    for record in dataset.records:
        confined(dataset.folder, record.image)
    return [record.image for record in dataset.records]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        state = "it is a file" if folder.exists() else "it does not exist"
        raise DataError(f"{folder} must be a folder of pictures; {state}")


def _names(folder: Path, prefix: str = "") -> tuple[list[str], list[str]]:
    """Names of the files, sorted, and complaints about folders that are too deep."""
    names: list[str] = []
    bad: list[str] = []
    for path in _visible(folder):
        if not path.is_dir():
            names.append(path.name)
            continue
        for below in _visible(path):
            name = f"{path.name}/{below.name}"
            if below.is_dir():
                bad.append(f"{prefix}{name}: folders are read one level deep; move its files up")
            else:
                names.append(name)
    return [prefix + name for name in sorted(names)], bad


def _visible(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from None
    for path in found:
        if not path.name.startswith(".") and path.name != "Thumbs.db":
            yield path


def _load(
    folder: Path, names: Sequence[str], bad: list[str], size: tuple[int, int], *, resize: bool
) -> npt.NDArray[np.uint8]:
    """The named pictures, uint8 (N, H, W, 3); every one that is bad is told at once."""
    images = np.empty((len(names), *size, 3), np.uint8)
    wrong_size = False
    with quiet():
        for row, name in enumerate(names):
            try:
                images[row] = decode(folder / name, size, resize=resize)
            except BadPictureError as error:
                wrong_size |= isinstance(error, WrongSizeError)
                bad.append(f"{name} {error}")
    if bad:
        listed = "\n  ".join(sorted(bad)[:_LISTED])
        rest = f"\n  ... and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
        raise DataError(
            f"{folder} must hold nothing but pictures{_of_size(size, wrong_size)}; "
            f"{len(bad)} cannot be used:\n  {listed}{rest}"
        )
    return images


def _of_size(size: tuple[int, int], wrong_size: bool) -> str:
    height, width = size
    return (
        f" of {height} x {width} pixels (set resize, or give a size, to fit others)"
        if wrong_size
        else ""
    )


def check_varied(images: npt.NDArray[np.uint8], source: str) -> None:
    """Refuse images of which every pixel has one and the same colour: they teach nothing.

    Args:
        images: uint8 (N, H, W, 3), N at least 1.
        source: where they come from, for the message.

    Raises:
        DataError: when they are so.
    """
    colour = images[0, 0, 0]
    if (images == colour).all():
        raise DataError(
            f"{source} must show something; every pixel of all {len(images)} images has the "
            f"colour {tuple(colour.tolist())}; check how the images were made"
        )


def save_images(
    folder: Path, images: npt.NDArray[np.uint8], names: Sequence[str]
) -> tuple[Path, ...]:
    """Write images as PNG files, each whole or not at all; files there are replaced.

    Args:
        folder: made where it is missing.
        images: uint8 (N, H, W, 3).
        names: N different file names without folders; ".png" is added where it is missing.

    Raises:
        DataError: when a name is not a plain one, or two are the same.
        OSError: when a file cannot be written.
    """
    plain = [name if name.lower().endswith(".png") else f"{name}.png" for name in names]
    if len(plain) != len(images) or len(set(plain)) != len(plain):
        raise DataError(f"{len(images)} images must have as many different names, got {len(names)}")
    for name in plain:
        if name != PurePath(name).name or "\\" in name or name.startswith("."):
            raise DataError(f"an image must have a plain file name, got {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / name for name in plain)
    for path, image in zip(paths, images, strict=True):
        write_atomic(path, encode_png(image), durable=False)
    return paths
