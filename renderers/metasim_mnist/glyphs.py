"""Glyphs: small grey pictures of strokes by class, all brought to one 28 x 28 box.

Sources: scikit-learn's bundled handwritten digits (UCI "Optical Recognition of Handwritten
Digits", Alpaydin and Kaynak, 1998), IDX files (MNIST), or a folder of images by class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_mnist.idx import find_pairs, read_idx

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BOX", "GlyphSet", "Split", "load_glyphs"]

BOX = 28
"""Side of a glyph's box in pixels at scale 1; its stroke content is about 20 pixels."""

Split = Literal["all", "source", "target"]

_CONTENT = 20
_LISTED = 20  # bad files that an error names
_LARGEST = 1024  # a glyph is a small picture; anything larger is likely the wrong folder
_FAINTEST = 16  # of 255; a picture without a stroke may yet have traces of its compression
_IGNORED = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class GlyphSet:
    """Exemplars sorted by class.

    Attributes:
        images: uint8 (G, 28, 28), 255 is stroke and 0 is none.
        classes: the C class names.
        starts: int64 (C,), where each class begins in ``images``.
        counts: int64 (C,), how many exemplars each class has.
    """

    images: npt.NDArray[np.uint8]
    classes: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @cached_property
    def codes(self) -> dict[object, int]:
        """Position in ``classes`` by name, and by number for names that are numbers."""
        codes: dict[object, int] = {name: i for i, name in enumerate(self.classes)}
        codes |= {
            int(n): i for i, n in enumerate(self.classes) if n.isdecimal() and str(int(n)) == n
        }
        return codes

    def exemplar(
        self, codes: npt.NDArray[np.int64], glyph: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Rows of ``images``: the exemplar at share ``glyph`` in [0, 1) of each class.

        Args:
            codes: (n,) positions in ``classes``.
            glyph: (n,); values beyond [0, 1) take the first or the last exemplar.
        """
        counts = self.counts[codes]
        place = np.clip((glyph * counts).astype(np.int64), 0, counts - 1)
        rows: npt.NDArray[np.int64] = self.starts[codes] + place
        return rows


def load_glyphs(glyphs: str | Path, split: Split = "all") -> GlyphSet:
    """The glyphs called ``glyphs``: "digits", or a folder of IDX files or of images by class.

    Args:
        glyphs: "digits" or a path.
        split: "source" and "target" are disjoint halves of every class: its exemplars
            with an even and with an odd number, in the order of the source.

    Raises:
        DataError: when a folder or a file is missing, empty or malformed (it is named; of a
            folder of images all that cannot be used), or a class has too few exemplars to
            be split.
    """
    if split not in ("all", "source", "target"):
        raise DataError(f"split must be 'all', 'source' or 'target', got {split!r}")
    found = _bundled_digits() if str(glyphs) == "digits" else _from_folder(Path(glyphs))
    classes = sorted(found, key=_natural)
    images: list[npt.NDArray[np.uint8]] = []
    starts: list[int] = []
    counts: list[int] = []
    for name in classes:
        part = _half(found[name], split)
        if not len(part):
            raise DataError(
                f"class {name!r} must have at least 2 different exemplars to be split in "
                f"{glyphs}, got {len(found[name])}; add some, or use split: all"
            )
        starts.append(sum(counts))
        counts.append(len(part))
        images.append(part)
    return GlyphSet(
        np.concatenate(images),
        tuple(classes),
        np.asarray(starts, np.int64),
        np.asarray(counts, np.int64),
    )


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _half(images: npt.NDArray[np.uint8], split: Split) -> npt.NDArray[np.uint8]:
    if split == "all":
        return images
    # Equal pictures count once, so that no picture can be in both halves.
    first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)[1]
    half: npt.NDArray[np.uint8] = images[np.sort(first)][0 if split == "source" else 1 :: 2]
    return half


def _by_class(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.uint8]]:
    return {str(label): images[labels == label] for label in np.unique(labels).tolist()}


# --- scikit-learn's digits ----------------------------------------------------------------


def _bundled_digits() -> dict[str, npt.NDArray[np.uint8]]:
    rows = _digits_table()
    cells = rows[:, :-1].reshape(-1, 8, 8) / 16.0
    return _by_class(_enlarge(cells), rows[:, -1].astype(np.int64))


def _digits_table() -> npt.NDArray[np.float64]:
    """(1797, 65): 8 x 8 counts from 0 to 16, then the class."""
    # Importing scikit-learn takes most of a second, which every worker would pay.
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError(
            "the glyphs called 'digits' come with scikit-learn, which is not installed; "
            "install it (pip install scikit-learn), or give a folder of glyphs"
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _enlarge(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """8 x 8 cells as 20 x 20 pixels, centre of mass in the middle of the 28 x 28 box.

    Args:
        cells: (G, 8, 8) in [0, 1].
    """
    side = np.arange(8)
    mass = cells.sum((1, 2))
    rows = _cubic(cells.sum(2) @ side / mass)
    columns = _cubic(cells.sum(1) @ side / mass)
    grown = rows @ cells @ columns.transpose(0, 2, 1)
    return (np.clip(grown, 0, 1) * 255 + 0.5).astype(np.uint8)


def _cubic(middle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(G, 28, 8) weights of cubic convolution (Keys, 1981), ``middle`` (G,) at 13.5."""
    pixel = (np.arange(BOX) - (BOX - 1) / 2) * 8 / _CONTENT
    x = np.abs(pixel[None, :, None] + middle[:, None, None] - np.arange(8))
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


# --- folders ------------------------------------------------------------------------------


def _from_folder(folder: Path) -> Mapping[str, npt.NDArray[np.uint8]]:
    if not folder.is_dir():
        raise DataError(
            f"glyphs must be 'digits' or a folder, got {str(folder)!r}, which is "
            f"{'a file' if folder.is_file() else 'not there'}"
        )
    pairs = find_pairs(folder)
    found = _from_idx(pairs) if pairs else _from_images(folder)
    if not found:
        raise DataError(
            f"{folder} must hold IDX files (images-idx3-ubyte and labels-idx1-ubyte, or images "
            "and labels, raw or .gz) or one sub-folder of images for each class, got neither"
        )
    return found


def _from_idx(pairs: Sequence[tuple[Path, Path]]) -> dict[str, npt.NDArray[np.uint8]]:
    all_images, all_labels = [], []
    for images_path, labels_path in pairs:
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if len(images) != len(labels):
            raise DataError(
                f"{labels_path} must have one label for each image, got {len(labels)} labels "
                f"for {len(images)} images of {images_path.name}"
            )
        if not images.size:
            raise DataError(f"{images_path} must hold at least one image, got none")
        all_images.append(_boxed(images))
        all_labels.append(labels.astype(np.int64))
    return _by_class(np.concatenate(all_images), np.concatenate(all_labels))


def _boxed(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.shape[1:] == (BOX, BOX):
        return images
    from PIL import Image

    return np.stack([_fit(Image.fromarray(image)) for image in images])


def _from_images(folder: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """The images of every sub-folder, by its name; whatever else is there is told at once."""
    inside = _shown(folder)
    subs = [path for path in inside if path.is_dir()]
    loose = [path.name for path in inside if not path.is_dir()]
    bad = [f"{name} must be in a sub-folder named after its class" for name in loose]
    found: dict[str, list[npt.NDArray[np.uint8]]] = {}
    for sub in subs:
        found[sub.name], wrong = _images_of(sub)
        bad += wrong
    if subs and bad:
        listed = "\n  ".join(bad[:_LISTED])
        rest = f"\n  ... and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
        raise DataError(
            f"{folder} must hold nothing but a sub-folder of images for each class; {len(bad)} "
            f"cannot be used:\n  {listed}{rest}"
        )
    return {name: np.stack(images) for name, images in found.items()}


def _images_of(sub: Path) -> tuple[list[npt.NDArray[np.uint8]], list[str]]:
    """The glyphs of one class, and complaints about what is none."""
    paths = _shown(sub)
    if not paths:
        return [], [f"{sub.name} must hold at least one image, got none"]
    images, bad = [], []
    for path in paths:
        try:
            images.append(_stroke(path))
        except DataError as error:
            bad.append(f"{sub.name}/{path.name} {error}")
    return images, bad


def _shown(folder: Path) -> list[Path]:
    """What is in a folder, sorted, but for what file managers leave there."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in _IGNORED
    )


def _stroke(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as a glyph: bright stroke on black.

    Where most of the border is transparent, what is not is the stroke; else an image whose
    border is bright is taken for dark ink on paper and inverted.

    Raises:
        DataError: when it is none that can be used; the message goes on from its name.
    """
    if path.is_dir():
        raise DataError("is a folder; images are read one level deep, so move them up")
    from PIL import Image

    try:
        with Image.open(path) as image:
            if max(image.size) > _LARGEST:
                raise DataError(f"must have at most {_LARGEST} pixels a side, got {image.size}")
            if image.mode[0] in "IF":
                raise DataError(f"must have 8 bits a channel, got mode {image.mode}")
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
            grey = np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"is not an image that can be read: {error}") from error
    glyph = _fit(Image.fromarray(_bright(grey, alpha)))
    if glyph.max() < _FAINTEST:
        raise DataError("shows no stroke; draw one that is brighter or darker than the border")
    return glyph


def _bright(grey: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The stroke of a picture (H, W), bright on black."""
    if _around(alpha) < 128:
        return alpha
    ground = _around(grey)
    # Some transparent pixels are no stroke: the ground is seen through them.
    through = (grey - ground) * (alpha / 255) + ground
    pixels: npt.NDArray[np.uint8] = (through + 0.5).astype(np.uint8)
    return np.invert(pixels) if ground > 127 else pixels


def _around(pixels: npt.NDArray[np.uint8]) -> float:
    """What most of the border of a picture (H, W) is."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return float(np.median(border))


def _fit(image: Image) -> npt.NDArray[np.uint8]:
    """An image shrunk or enlarged to fit the box, in its middle."""
    from PIL import Image

    if image.size == (BOX, BOX):
        return np.asarray(image)
    share = BOX / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    box = Image.new("L", (BOX, BOX))
    box.paste(
        image.resize(size, Image.Resampling.LANCZOS), ((BOX - size[0]) // 2, (BOX - size[1]) // 2)
    )
    return np.asarray(box)
