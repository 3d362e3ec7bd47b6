"""How near refined images are to the target's, and how far they went from their renders."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.learn.discrepancies import RBF, mmd2
from metasim.learn.discrepancies.kernels import frozen_scale
from metasim.learn.features import RandomConvFeatures, extract
from metasim.learn.initial import initial_weights
from metasim.refine.tensors import to_tensor

__all__ = [
    "KernelDistance",
    "farther",
    "frechet_distance",
    "kernel_distance",
    "measures",
    "similarity",
]

_CHUNK = 64
_WIDTH = 64  # features, which a few hundred images tell the covariances of
_SIDE = 7  # of the smallest image that a window of SSIM, 11 pixels, padded, makes sense for


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """The KID of two samples of features.

    Attributes:
        mean: over the subsets.
        deviation: over the subsets.
    """

    mean: float
    deviation: float


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """The FID of two samples of features (Heusel et al., 2017).

    It is biased: compare only what was computed from as many images.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.

    Raises:
        DataError: when there are too few.
    """
    _check(x, y, 2)
    from torchmetrics.image.fid import FrechetInceptionDistance

    with _quiet():
        metric = FrechetInceptionDistance(feature=_Given(x.shape[1]))
        metric.set_dtype(torch.float64)
        metric.update(x.double(), real=False)
        metric.update(y.double(), real=True)
        return float(metric.compute())


def kernel_distance(x: Tensor, y: Tensor, seed: int, subsets: int = 50) -> KernelDistance:
    """The KID of two samples of features (Binkowski et al., 2018), which is unbiased.

    Args:
        x: (N, D), N at least 4.
        y: (M, D), M at least 4.
        seed: of the subsets.
        subsets: how many, each of at most half of either sample, and 1,000.

    Raises:
        DataError: when there are too few.
    """
    _check(x, y, 4)
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(1000, len(x) // 2, len(y) // 2)
    with _quiet(), initial_weights(seed):
        metric = KernelInceptionDistance(
            feature=_Given(x.shape[1]), subsets=subsets, subset_size=size
        )
        metric.update(x.float(), real=False)
        metric.update(y.float(), real=True)
        mean, deviation = metric.compute()
    return KernelDistance(float(mean), float(deviation))


def similarity(
    images: npt.NDArray[np.uint8], source: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """SSIM of each image to its source (Wang et al., 2004), -1 to 1.

    Args:
        images: uint8 (N, H, W, 3).
        source: of the same shape.

    Returns:
        float64 (N,).

    Raises:
        DataError: when they differ in shape, or are smaller than 7 x 7 pixels.
    """
    if images.shape != source.shape or min(images.shape[1:3]) < _SIDE:
        raise DataError(
            f"images must be as many and as large as their sources, and {_SIDE} x {_SIDE} pixels "
            f"or more, got {images.shape} and {source.shape}"
        )
    from torchmetrics.functional.image import structural_similarity_index_measure

    found: list[Tensor] = []
    for start in range(0, len(images), _CHUNK):
        one, other = (to_tensor(part[start : start + _CHUNK]) for part in (images, source))
        each = structural_similarity_index_measure(one, other, data_range=2.0, reduction="none")
        assert isinstance(each, Tensor)
        found.append(each)
    out: npt.NDArray[np.float64] = torch.cat(found).double().numpy()
    return out


def measures(
    plain: npt.NDArray[np.uint8],
    refined: npt.NDArray[np.uint8],
    real: npt.NDArray[np.uint8],
    seed: int,
) -> dict[str, float]:
    """How near renders and refined renders are to target images, and to one another.

    FID, KID and MMD are taken in the features of a convolutional network with fixed random
    weights, brought to one scale on renders and target images together: they see looks and layout,
    on any images, and are to be compared within a run, not with published ones.

    Args:
        plain: uint8 (N, H, W, 3), renders.
        refined: uint8 (N, H, W, 3), the same refined.
        real: uint8 (M, H, W, 3), target images that nothing was learned from.
        seed: of KID's subsets.

    Returns:
        "fid", "kid", "mmd" of the refined, the same of the renders with "_unrefined", and "ssim",
        the mean similarity of the refined images to their renders.

    Raises:
        DataError: when there are too few images, or they are too small.
    """
    network = RandomConvFeatures(_WIDTH)
    after, before, wanted = _on_one_scale(
        *(extract(network, images) for images in (refined, plain, real))
    )
    scale = frozen_scale(wanted)
    found: dict[str, float] = {}
    for given, name in ((after, ""), (before, "_unrefined")):
        found[f"fid{name}"] = frechet_distance(given, wanted)
        found[f"kid{name}"] = kernel_distance(given, wanted, seed).mean
        found[f"mmd{name}"] = float(mmd2(given.double(), wanted.double(), RBF([scale])))
    found["ssim"] = float(similarity(refined, plain).mean())
    return found


def _on_one_scale(refined: Tensor, plain: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features (., D) about their mean, of which those of renders and targets vary by about 1.

    All have the same scale: were each brought to its own, those that hardly act would be blown up
    where images are much alike (a table-top), and what nobody sees of a refined one would decide.
    Renders and targets count alike, however many there are of each: so do few refined images of a
    method that takes long compare with the many of another.
    """
    centre = (plain.mean(0) + real.mean(0)) / 2
    parts = [(one - centre).square().mean() for one in (plain, real)]
    scale = torch.stack(parts).mean().sqrt() + 1e-6
    after, before, wanted = ((one - centre) / scale for one in (refined, plain, real))
    return after, before, wanted


def farther(found: Mapping[str, float]) -> list[str]:
    """What is wrong where FID and KID both say that refining led away from the target, for people.

    Args:
        found: what :func:`measures` gave.
    """
    if any(found[name] <= found[f"{name}_unrefined"] for name in ("fid", "kid")):
        return []
    return [
        "refined images are farther from the target's than plain renders (FID "
        f"{found['fid']:.4g}, before {found['fid_unrefined']:.4g}; KID {found['kid']:.4g}, before "
        f"{found['kid_unrefined']:.4g}): look at them, and try more steps or another method"
    ]


class _Given(nn.Module):
    """Features that are there already, where a metric asks for what extracts them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def _check(x: Tensor, y: Tensor, least: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < least:
        raise DataError(
            f"features must be (N, D) and (M, D), N and M at least {least}, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the metrics' warning that they keep all features, which is meant so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        yield
