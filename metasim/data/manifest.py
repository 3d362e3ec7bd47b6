"""What a dataset's folder holds, and the manifest that says how it was made.

::

    manifest.json               written last: with it the dataset is finished
    labels.jsonl                one line of labels for each image
    coco.json                   with the format "coco"
    bop/...                     with the format "bop" (metasim/data/bop.py)
    images/000000.png ...
    planes/000000.npz ...       where the renderer offers depth or normals: these and the ids
    .metasim-dataset.json       while unfinished: what was asked for
    .metasim-shards/0.jsonl ... while unfinished: the records of each finished batch
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metasim.errors import DataError
from metasim.files import is_temporary, replacing

__all__ = [
    "IMAGES",
    "LABELS",
    "LOCK",
    "MANIFEST",
    "MARKER",
    "PLANES",
    "SHARDS",
    "check_own_folder",
    "differences",
    "is_dataset",
    "make_request",
    "read_json",
    "read_manifest",
    "to_line",
    "write_manifest",
]

MANIFEST = "manifest.json"
LABELS = "labels.jsonl"
IMAGES = "images"
PLANES = "planes"
MARKER = ".metasim-dataset.json"
SHARDS = ".metasim-shards"
LOCK = ".metasim-lock"

_FORMAT = "metasim-dataset"
_VERSION = 1
_OUTCOME = frozenset({"files", "images", "batch_size"})
"""Keys that are no part of what was asked for."""
_RESERVED = _OUTCOME | {"format", "version", "seed", "count", "formats", "image_size", "classes"}


def to_line(value: object) -> str:
    """One line of strict JSON; numpy scalars are written as numbers.

    Raises:
        ValueError: when a number is not finite, which JSON cannot say.
        TypeError: when something is no JSON value.
    """
    return json.dumps(value, allow_nan=False, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")


def make_request(
    *,
    count: int,
    seed: int,
    formats: Sequence[str],
    image_size: tuple[int, int],
    classes: Sequence[tuple[str, str]],
    manifest: Mapping[str, Any],
) -> dict[str, Any]:
    """What is asked for, in JSON values: two datasets with equal requests are equal.

    Raises:
        ValueError: when ``manifest`` uses a key that is the dataset's own.
    """
    if taken := _RESERVED & set(manifest):
        raise ValueError(f"these keys of a manifest are reserved: {', '.join(sorted(taken))}")
    request = {
        "format": _FORMAT,
        "version": _VERSION,
        "seed": seed,
        "count": count,
        "formats": list(formats),
        "image_size": list(image_size),
        "classes": [list(pair) for pair in classes],
        **manifest,
    }
    plain: dict[str, Any] = json.loads(to_line(request))
    return plain


def differences(
    asked: Mapping[str, Any], found: Mapping[str, Any], ignore: Collection[str] = ()
) -> list[str]:
    """The keys in which two requests differ, with both values.

    Args:
        asked: what is asked for.
        found: the request of a dataset, or its manifest.
        ignore: keys that may differ.
    """
    lines = []
    for key in sorted({*asked, *found} - _OUTCOME - set(ignore)):
        if asked.get(key) != found.get(key):
            lines.append(f"{key}: {_short(found.get(key))} there, {_short(asked.get(key))} asked")
    return lines


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a dataset metasim generated, finished or not."""
    return _is_manifest(_try_json(folder / MANIFEST)) or (folder / MARKER).is_file()


def check_own_folder(folder: Path) -> None:
    """Refuse to write into a folder unless it is missing, empty or our own dataset.

    Raises:
        DataError: when it is something else.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} must be a folder to write a dataset into; it is a file")
        if not folder.exists() or is_dataset(folder):
            return
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written into: {error.strerror or error}; give another folder"
        ) from None
    foreign = [name for name in names if name != LOCK and not is_temporary(name)]
    if foreign:
        raise DataError(
            f"{folder} is not empty and no dataset of metasim's (it holds {foreign[0]!r}); "
            "give a new or an empty folder, nothing was written"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished dataset.

    Raises:
        DataError: when the folder is no dataset, or an unfinished one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / MARKER).is_file():
            raise DataError(
                f"{folder}: this dataset is unfinished; finish it with the command that began "
                "it and --resume"
            )
        raise DataError(f"{folder} must be a dataset of metasim's; it has no {MANIFEST}")
    manifest = read_json(path)
    if not _is_manifest(manifest):
        raise DataError(f"{path} must be the manifest of a dataset of metasim's; it is not")
    if manifest.get("version") != _VERSION:
        raise DataError(
            f"{path} must have version {_VERSION}, got {manifest.get('version')!r}; "
            "read it with the metasim that wrote it"
        )
    for key, kind in (("images", list), ("files", dict)):
        if not isinstance(manifest.get(key), kind):
            raise DataError(f"{path} must tell of its files under {key!r}; it is damaged")
    return manifest


def _is_manifest(data: object) -> bool:
    return isinstance(data, dict) and data.get("format") == _FORMAT


def _try_json(path: Path) -> object:
    try:
        return read_json(path) if path.is_file() else None
    except DataError:
        return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        DataError: when it cannot be read, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON; {error}") from None
    if not isinstance(data, dict):
        raise DataError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def write_manifest(
    folder: Path,
    request: Mapping[str, Any],
    files: Mapping[str, str],
    entries: Iterable[Mapping[str, Any]],
) -> None:
    """Write ``manifest.json``, the last of a dataset's files.

    Args:
        folder: the dataset's.
        request: what was asked for.
        files: SHA-256 of the files that hold the labels of all images, by name.
        entries: of each image, written one to a line.
    """
    with replacing(folder / MANIFEST) as file:
        head = "".join(
            f"{to_line(key)}: {to_line(value)},\n"
            for key, value in {**request, "files": files}.items()
        )
        file.write(("{\n" + head + '"images": [').encode())
        for index, entry in enumerate(entries):
            file.write(((",\n" if index else "\n") + to_line(entry)).encode())
        file.write(b"\n]\n}\n")
