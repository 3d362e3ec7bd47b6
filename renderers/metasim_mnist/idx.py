"""Reading IDX files, the format the MNIST digits are published in.

Layout: two zero bytes, a type code (8 = unsigned bytes), the number of dimensions, one
big-endian uint32 for each dimension, then the values, the last dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["find_pairs", "read_idx"]

_UNSIGNED_BYTES = 8
_MOST_BYTES = 2**31
_PREFIXES = ("", "train-", "t10k-")


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The (images, labels) files of ``folder``, in a fixed order; empty where there are none.

    They are called ``images-idx3-ubyte`` and ``labels-idx1-ubyte`` (or with ``.idx``), or
    plainly ``images`` and ``labels``; before that ``train-`` or ``t10k-``, after it ``.gz``.

    Raises:
        DataError: when there are images without labels.
    """
    pairs = []
    for prefix in _PREFIXES:
        images = _first(folder, f"{prefix}images", "idx3-ubyte")
        if images is None:
            continue
        labels = _first(folder, f"{prefix}labels", "idx1-ubyte")
        if labels is None:
            name = images.name.replace("images", "labels").replace("idx3", "idx1")
            raise DataError(
                f"{images} must have its labels beside it: put {name} (raw or .gz) into the folder"
            )
        pairs.append((images, labels))
    return pairs


def _first(folder: Path, stem: str, kind: str) -> Path | None:
    names = [f"{stem}{of}{end}" for of in (f"-{kind}", f".{kind}", "") for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The unsigned bytes an IDX file holds; ``.gz`` files are unpacked on the way.

    Args:
        path: the file.
        dimensions: how many dimensions it must have, 3 for images and 1 for labels.

    Raises:
        DataError: when the file cannot be read, is not IDX, or is truncated.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * dimensions)
            shape = _shape(path, head, dimensions)
            expected = math.prod(shape)
            # One byte more than needed tells a file that is too long, and a header that
            # promises little cannot make us unpack much.
            body = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read the IDX file {path}: {error}; is it complete?") from error
    if len(body) != expected:
        got = f"only {len(body)}" if len(body) < expected else "more"
        raise DataError(
            f"{path} must hold {expected} values of shape {shape} as its header says, "
            f"got {got}; fetch it again"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _shape(path: Path, head: bytes, dimensions: int) -> tuple[int, ...]:
    if len(head) < 4 + 4 * dimensions:
        raise DataError(f"{path} is not an IDX file: it ends within its header")
    if head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTES or head[3] != dimensions:
        raise DataError(
            f"{path} must be an IDX file of unsigned bytes with {dimensions} dimension(s), "
            f"got the first bytes {head[:4].hex(' ')}"
        )
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if math.prod(shape) > _MOST_BYTES:
        raise DataError(f"{path} declares the shape {shape}, more than {_MOST_BYTES} bytes")
    return shape
