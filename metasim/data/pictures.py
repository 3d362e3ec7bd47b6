"""One picture file: read safely as 8-bit colour, encoded as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = [
    "MAX_PIXELS",
    "TYPES",
    "BadPictureError",
    "WrongSizeError",
    "decode",
    "encode_as",
    "encode_png",
    "picture_size",
    "quiet",
]

MAX_PIXELS = 1 << 26
"""A picture with more pixels (8192 x 8192) is refused before it is unpacked."""

# Raster formats only: pillow hands others (EPS, WMF) to outside programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_ORIENTATION = 0x0112
_ON_THEIR_SIDE = (5, 6, 7, 8)
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class BadPictureError(Exception):
    """A picture that cannot be used; the message says why, without naming the file."""


class WrongSizeError(BadPictureError):
    """A picture that could be used if it were resized."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pillow's remarks on odd metadata while pictures are read.

    Not within :func:`decode`, because setting warnings for each picture is slow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(path: Path, size: tuple[int, int], *, resize: bool) -> npt.NDArray[np.uint8]:
    """A picture file as uint8 (H, W, 3).

    The first frame is taken, turned upright as its EXIF orientation says. Grey is repeated
    over the channels, transparent parts are put over black, of 16 bits the upper 8 are
    kept, colour profiles are ignored.

    Args:
        path: the file.
        size: (H, W) in pixels.
        resize: squeeze or stretch a picture of another size (antialiased, aspect ratio
            not kept); else it is refused.

    Raises:
        BadPictureError: when it is no picture, damaged, too large or of another size.
    """
    try:
        with Image.open(path, formats=_FORMATS) as file:
            _check_pixels(file)
            upright = ImageOps.exif_transpose(file)
            upright.load()
        picture = _to_rgb(upright)
    except BadPictureError:
        raise
    except UnidentifiedImageError:
        raise BadPictureError("is not a picture of a known format") from None
    except Image.DecompressionBombError:
        raise _too_large() from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise BadPictureError(f"cannot be read: {error}") from None
    height, width = size
    if picture.size != (width, height):
        if not resize:
            raise WrongSizeError(f"is {picture.height} x {picture.width} pixels (H x W)")
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture file, turned upright as its EXIF orientation says.

    Raises:
        BadPictureError: when it is no picture, damaged or too large.
    """
    try:
        with quiet(), Image.open(path, formats=_FORMATS) as file:
            _check_pixels(file)
            turned = file.getexif().get(_ORIENTATION, 1) in _ON_THEIR_SIDE
            return (file.width, file.height) if turned else (file.height, file.width)
    except BadPictureError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise BadPictureError(f"cannot be read: {error}") from None


def _check_pixels(file: Image.Image) -> None:
    if file.width * file.height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> BadPictureError:
    return BadPictureError(f"has more than {MAX_PIXELS} pixels; make it smaller")


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP:
        return _from_deep(picture).convert("RGB")
    if picture.mode == "F":
        raise BadPictureError("holds floating-point values; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        colour = picture.convert("RGBA")
        black = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, colour).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_deep(picture: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, which is also what pillow keeps of 16-bit colour."""
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BadPictureError("holds values outside 0 to 65535; save it with 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


TYPES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""The endings of pictures that can be written, and what they are."""


def encode_as(image: npt.NDArray[np.uint8], ending: str) -> bytes:
    """An image, uint8 (H, W, 3), as the bytes of a file with one of the endings of :data:`TYPES`.

    JPEG and WebP are written with high quality, and lose a little all the same.
    """
    if ending == ".png":
        return encode_png(image)
    buffer = io.BytesIO()
    how = {"quality": 95} if TYPES[ending] in ("JPEG", "WEBP") else {}
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, TYPES[ending], **how)
    return buffer.getvalue()


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """An image, uint8 (H, W, 3), as the bytes of a PNG file, packed fast rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
