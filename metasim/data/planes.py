"""What is known of each pixel of an image, in one .npz file that numpy reads."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.render.base import Rendered

__all__ = ["Planes", "offered", "pack", "unpack"]

Planes = dict[str, npt.NDArray[Any]]


def offered(rendered: Rendered) -> Planes:
    """The planes of the first image of a batch, where its renderer offers any.

    Returns:
        ``depth`` and ``normals`` as far as they are offered, and then ``instances``, in as few
        bytes as hold the ids. Where neither is offered the masks say as much as the ids.
    """
    known = {"depth": rendered.depth, "normals": rendered.normals}
    planes: Planes = {name: plane[0] for name, plane in known.items() if plane is not None}
    if planes:
        ids = rendered.instances[0]
        planes["instances"] = ids.astype(np.min_scalar_type(int(ids.max(initial=0))))
    return planes


def pack(planes: Planes, level: int = 1) -> bytes:
    """The planes as the bytes of a .npz file; equal ones as equal bytes.

    At level 6, which is numpy's, files are hardly smaller and take up to half as long again to
    write (``tests/benchmarks/datasets.py``).
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, plane in planes.items():
            part = io.BytesIO()
            np.save(part, plane, allow_pickle=False)
            # A name alone, unlike a ZipInfo, would be written with the time of day.
            member = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(member, part.getbuffer(), zipfile.ZIP_DEFLATED, level)
    return buffer.getvalue()


def unpack(path: Path) -> Planes:
    """The planes in a file, ids as the int32 that they were.

    Raises:
        OSError: when it cannot be read; ValueError and zipfile.BadZipFile where it is damaged.
    """
    with np.load(path, allow_pickle=False) as file:
        planes: Planes = {key: file[key] for key in file.files}
    if "instances" in planes:
        planes["instances"] = planes["instances"].astype(np.int32)
    return planes
