"""The files of a dataset: written, and whether they are as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metasim.data.records import confined
from metasim.files import write_atomic
from metasim.provenance import digest, file_digest

__all__ = ["damaged", "files_of", "files_of_image", "write_part"]


def write_part(path: Path, data: bytes) -> str:
    """Write one of many files of a dataset; its SHA-256.

    Not durable: a resumed call checks every hash, and thousands of syncs take minutes; one at
    the end makes all of them last.
    """
    write_atomic(path, data, durable=False)
    return digest(data)


def files_of_image(entry: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of an image's files, by name, from its entry in the manifest."""
    files: dict[str, str] = {entry["image"]: entry["sha256"]}
    if "planes" in entry:
        files[entry["planes"]] = entry["planes_sha256"]
    files |= entry.get("files", {})
    return files


def files_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of all files of a finished dataset, by name."""
    files = dict(manifest["files"])
    for entry in manifest["images"]:
        files |= files_of_image(entry)
    return files


def damaged(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Those of the named files that are missing or not as their SHA-256 says.

    Raises:
        DataError: when a name leads out of the folder.
    """
    return [name for name, sha256 in files.items() if not _is_whole(confined(folder, name), sha256)]


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return file_digest(path) == sha256
    except OSError:
        return False
