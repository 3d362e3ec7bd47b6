"""Reading the OpenEXR files that Blender writes when told to compress nothing.

Layout: a magic number and a version, attributes (name, type, size, value) until an empty name,
a table of where each row begins, and the rows: y, size, and for each channel, in the order of
the header, the row's values.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim.errors import RenderError

__all__ = ["read_exr"]

_MAGIC: Final = 20000630
_PLAIN: Final = (2, 2 | 0x400)  # single part, of rows; 0x400: long names
_KINDS: Final = {1: np.dtype("<f2"), 2: np.dtype("<f4")}


def read_exr(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The channels (H, W) of a file, by name, top row first.

    Raises:
        RenderError: when it is not there, or not such a file.
    """
    try:
        data = path.read_bytes()
        magic, version = struct.unpack_from("<II", data)
        if magic != _MAGIC or version not in _PLAIN:
            raise RenderError(f"{path} must be an OpenEXR file of one part with rows of pixels")
        about, at = _attributes(data)
        if about["compression"] != b"\0":
            raise RenderError(f"{path} must not be compressed")
        return _channels(data, about, at)
    except OSError as error:
        raise RenderError(f"Blender must have written {path}: {error}") from error
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise RenderError(f"{path} must be a whole OpenEXR file, got {error!r}") from error


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header's values by name, and where what follows begins."""
    found, at = {}, 8
    while data[at]:
        name, at = _text(data, at)
        _, at = _text(data, at)
        (size,) = struct.unpack_from("<I", data, at)
        found[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found, at + 1


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("latin-1"), end + 1


def _channels(data: bytes, about: dict[str, bytes], at: int) -> dict[str, npt.NDArray[np.float32]]:
    left, top, right, bottom = struct.unpack("<4i", about["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    fields, listed, place = [], about["channels"], 0
    while listed[place]:
        name, place = _text(listed, place)
        (kind,) = struct.unpack_from("<I", listed, place)
        fields.append((name, _KINDS[kind], (width,)))
        place += 16
    row = np.dtype([(" y", "<i4"), (" size", "<i4"), *fields])
    rows = np.frombuffer(data, row, height, at + 8 * height)
    order = np.argsort(rows[" y"])
    return {name: rows[name][order].astype(np.float32) for name, _, _ in fields}
