"""Reading datasets back, and drawing any one of their images again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.data.manifest import LABELS, MANIFEST, read_manifest
from metasim.data.pictures import BadPictureError, decode, encode_png, quiet
from metasim.data.planes import Planes, unpack
from metasim.data.records import Record, confined
from metasim.errors import DataError
from metasim.provenance import digest, file_digest
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import draw
from metasim.scene.graph import Scene

__all__ = ["Dataset", "read_dataset", "rerender"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A generated dataset on disk; its records are in memory, its images are not.

    Attributes:
        folder: where it is.
        manifest: how it was made, without the images' own entries.
        records: one for each image, in order.
    """

    folder: Path
    manifest: Mapping[str, Any]
    records: tuple[Record, ...]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.records)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What was drawn, for each image."""
        return tuple(record.scene for record in self.records)

    def images(self) -> npt.NDArray[np.uint8]:
        """Every image, uint8 (N, H, W, 3).

        Raises:
            DataError: naming an image that is missing, damaged or not the one that was written.
        """
        height, width = self.manifest["image_size"]
        images = np.empty((len(self.records), height, width, 3), np.uint8)
        with quiet():
            for row, record in enumerate(self.records):
                path = confined(self.folder, record.image)
                try:
                    _check_content(path, record.sha256)
                    images[row] = decode(path, (height, width), resize=False)
                except BadPictureError as error:
                    raise DataError(f"{path} {error}") from None
        return images

    def planes(self, index: int) -> Planes:
        """What is known of each pixel of one image; nothing where the renderer offered nothing.

        Returns:
            ``depth`` float32 (H, W) and ``normals`` float32 (H, W, 3) as far as the renderer
            offered them, and with them ``instances``, int32 (H, W), which older datasets
            lack.

        Raises:
            DataError: when the file is missing, damaged or not the one that was written.
        """
        record = self.records[index]
        if record.planes is None:
            return {}
        path = confined(self.folder, record.planes)
        try:
            _check_content(path, record.planes_sha256 or "")
            return unpack(path)
        except BadPictureError as error:
            raise DataError(f"{path} {error}") from None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} cannot be read: {error}") from None


def read_dataset(folder: Path) -> Dataset:
    """A finished dataset that metasim generated.

    Raises:
        DataError: when the folder is no dataset, an unfinished or a damaged one.
    """
    manifest = read_manifest(folder)
    entries = manifest.pop("images")
    try:
        _check_content(folder / LABELS, str(manifest["files"].get(LABELS)))
    except BadPictureError as error:
        raise DataError(f"{folder / LABELS} {error}") from None
    lines = list(_lines(folder / LABELS))
    if len(lines) != len(entries):
        raise DataError(
            f"{folder / LABELS} must have {len(entries)} lines, one for each image, "
            f"got {len(lines)}"
        )
    records = tuple(Record.from_json(*halves) for halves in zip(entries, lines, strict=True))
    return Dataset(folder, manifest, records)


def _check_content(path: Path, sha256: str) -> None:
    try:
        found = file_digest(path)
    except OSError as error:
        raise BadPictureError(f"cannot be read: {error.strerror}") from None
    if found != sha256:
        raise BadPictureError(f"is damaged or was changed: {MANIFEST} has another SHA-256 of it")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}:{number} must be JSON: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def rerender(folder: Path, index: int, renderer: Renderer) -> Rendered:
    """Draw one image of a dataset again from its entry in the manifest, bit for bit.

    Args:
        folder: the dataset's.
        index: of the image, from 0.
        renderer: the one the dataset was made with, built with the same options.

    Returns:
        A batch of this one image.

    Raises:
        DataError: when there is no such image, or the renderer draws another size or other
            pixels.
        RenderError: when the renderer raises or breaks its contract.
    """
    manifest = read_manifest(folder)
    entries = manifest["images"]
    if not 0 <= index < len(entries):
        raise DataError(f"{folder} has images 0 to {len(entries) - 1}, got {index}")
    if list(renderer.image_size) != manifest["image_size"]:
        raise DataError(
            f"{folder} has images of {manifest['image_size']} pixels (H, W), but the renderer "
            f"draws {list(renderer.image_size)}; build it with the options in the manifest"
        )
    drawn = draw(renderer, [Scene.from_json(entries[index]["scene"])])
    _refuse_others(folder, entries[index], drawn.images[0])
    return drawn


def _refuse_others(folder: Path, entry: Mapping[str, Any], drawn: npt.NDArray[np.uint8]) -> None:
    """Refuse pixels that are not those of the image that was written."""
    if digest(encode_png(drawn)) == entry["sha256"]:
        return  # known even where the file is gone
    # Another version of the encoder may have written the same pixels as other bytes.
    path = confined(folder, entry["image"])
    try:
        _check_content(path, entry["sha256"])
        with quiet():
            written = decode(path, (drawn.shape[0], drawn.shape[1]), resize=False)
    except BadPictureError as error:
        raise DataError(
            f"{path} {error}, so that it cannot be told whether the renderer draws it as it was"
        ) from None
    if not np.array_equal(written, drawn):
        raise DataError(
            f"{path} must be drawn again bit for bit, but the renderer draws other pixels; build "
            f"it with the options in {MANIFEST}, with the code and the files (glyphs) of then"
        )
