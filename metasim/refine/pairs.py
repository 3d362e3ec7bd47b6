"""Pictures refined pair by pair, by methods that train nothing beforehand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import PurePath

from torch import Tensor

from metasim.progress import Progress
from metasim.refine.folders import Folders
from metasim.refine.outputs import Outputs
from metasim.refine.styled import StyledRefiner, style_rows
from metasim.refine.tensors import from_tensor

__all__ = ["refine_pairs"]


def refine_pairs(
    refiner: StyledRefiner, folders: Folders, outputs: Outputs, progress: Progress
) -> None:
    """Give each simulated picture the look of some real ones.

    What each pair comes to is written on the way, and the first pair's as the picture's output,
    which is what the refiner makes of it anywhere else.

    Args:
        refiner: whose styles are the folder's.
        folders: what there is.
        outputs: where it goes; what is there already is not made again.
        progress: told how many pictures are done.
    """
    test, real = folders.test, folders.real
    labels = _labels([real.names[row] for row in style_rows(len(real))])
    progress.start("refining", len(test))
    done, began = 0, time.monotonic()
    for row, (name, image) in enumerate(zip(test.names, test.images, strict=True)):
        if not outputs.there(name):
            results = [
                refiner.restyle(image, style, partial(_sample, outputs, name, labels[style]))
                for style in refiner.styles_of(image, refiner.options.pairs)
            ]
            outputs.write(name, image, results[0])
            done += 1
        progress.advance(row + 1, images_per_second=done / (time.monotonic() - began))
    progress.finish()


def _labels(names: Sequence[str]) -> list[str]:
    """What folders of real pictures are called: without an ending where that names but one."""
    plain = [PurePath(name).with_suffix("").as_posix().replace("/", "-") for name in names]
    return [
        short if plain.count(short) == 1 else f"{number}-{name.replace('/', '-')}"
        for number, (short, name) in enumerate(zip(plain, names, strict=True))
    ]


def _sample(outputs: Outputs, name: str, real: str, iteration: int, image: Tensor) -> None:
    outputs.write_sample(name, real, iteration, from_tensor(image)[0])
