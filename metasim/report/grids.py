"""Images side by side, as the bytes of PNG files, every pixel kept sharp."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metasim.runs import RunDir

__all__ = ["comparison", "image_grid", "save_grid"]

Images = NDArray[np.uint8]

_GAP = 2
_SMALLEST, _LARGEST = 48, 96
_MOST = 64
_BACKGROUND = (229, 231, 235)
_INK, _MUTED = (31, 41, 55), (107, 114, 128)


def save_grid(run: RunDir, name: str, images: Images) -> Path:
    """Write up to 64 images as the grid called ``name`` of a run; the report shows it.

    Args:
        run: where to.
        name: "target", "first" (before learning), "most_recent" or ``run.epoch_name(n)``.
        images: uint8 (N, H, W, 3), sRGB, N at least 1.
    """
    return run.write_grid(name, image_grid(images[:_MOST]))


def image_grid(images: Images, columns: int = 8) -> bytes:
    """A grid of images, row by row.

    Small images are enlarged by whole factors without blurring, large ones are made smaller,
    so that each side of an image is about 48 to 96 pixels.

    Args:
        images: uint8 (N, H, W, 3), sRGB, N at least 1.
        columns: how many in a row, at most.
    """
    return _png(_tiled(images, columns))


def comparison(grids: Sequence[tuple[str, str, Images]], *, columns: int = 6) -> bytes:
    """Labelled grids side by side.

    Args:
        grids: each a name, more words, and images uint8 (N, H, W, 3), sRGB, of which as many rows
            as columns are shown; sizes and numbers need not be equal.
        columns: images in a row of each grid.
    """
    tiled = [_tiled(images[: columns**2], columns) for _, _, images in grids]
    gap, head = 24, 34
    width = sum(grid.width for grid in tiled) + (len(tiled) - 1) * gap + 2 * 12
    height = max(grid.height for grid in tiled) + head + 12
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left = 12
    for grid, (text, more, _) in zip(tiled, grids, strict=True):
        draw.text((left, 8), text, fill=_INK, font=_font("DejaVuSans-Bold", 14))
        after = left + draw.textlength(f"{text}  ", font=_font("DejaVuSans-Bold", 14))
        draw.text((after, 8), more, fill=_MUTED, font=_font("DejaVuSans", 14))
        sheet.paste(grid, (left, head))
        left += grid.width + gap
    return _png(sheet)


def _tiled(images: Images, columns: int) -> Image.Image:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(
            f"images must be uint8 (N, H, W, 3) with N at least 1, got {images.dtype} "
            f"{images.shape}"
        )
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    tiles = [_sized(Image.fromarray(np.ascontiguousarray(image))) for image in images]
    wide, tall = tiles[0].size
    across = min(columns, len(tiles))
    down = math.ceil(len(tiles) / across)
    size = (across * (wide + _GAP) + _GAP, down * (tall + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _BACKGROUND)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, across)
        sheet.paste(tile, (_GAP + column * (wide + _GAP), _GAP + row * (tall + _GAP)))
    return sheet


def _sized(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest > _LARGEST:
        share = _LARGEST / longest
        smaller = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        return image.resize(smaller, Image.Resampling.LANCZOS)
    factor = max(1, min(math.ceil(_SMALLEST / longest), _LARGEST // longest))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    # The fonts that come with matplotlib: pillow has none of its own that scales.
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{name}.ttf"), size)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
