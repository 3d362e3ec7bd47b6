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
from metasim.refine.styled import StyledRefiner
from metasim.refine.tensors import from_tensor, to_tensor
from metasim.rng import derive, stream

__all__ = ["refine_pairs"]


def refine_pairs(
    refiner: StyledRefiner, folders: Folders, outputs: Outputs, seed: int, progress: Progress
) -> None:
    """Give each simulated picture the look of some real ones.

    What each pair comes to is written on the way, and the first pair's as the picture's output.
    Which real ones those are follows from the seed and the picture's name.

    Args:
        refiner: whose method it is; the styles are the folder's, and not its own.
        folders: what there is.
        outputs: where it goes; what is there already is not made again.
        seed: of all that is random.
        progress: told how many pictures are done.
    """
    transfer, device = refiner.transfer, refiner.device
    test, real = folders.test, folders.real
    labels = _labels(real.names)
    progress.start("refining", len(test))
    done, began = 0, time.monotonic()
    for row, name in enumerate(test.names):
        if not outputs.there(name):
            count = min(refiner.options.pairs, len(real))
            rows = stream(seed, "refine", "pairs", name).permutation(len(real))[:count]
            sim = to_tensor(test.images[row : row + 1], device)
            results = []
            for number in map(int, rows):
                style = to_tensor(real.images[number : number + 1], device)
                told = partial(_sample, outputs, name, labels[number])
                pair = derive(seed, "refine", "pair", name, real.names[number])
                results.append(transfer.refine(sim, style, pair, told))
            outputs.write(name, test.images[row], from_tensor(results[0])[0])
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
