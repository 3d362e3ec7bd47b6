"""Settings of the distance between two sets of images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from metasim.learn.options.base import Options

__all__ = [
    "MMD",
    "ClasswiseMMD",
    "Coral",
    "Discrepancy",
    "Energy",
    "JointMMD",
    "RandomFourierMMD",
    "SlicedWasserstein",
]


Bandwidths = Annotated[tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...], Field(min_length=1)]
"""Multiples of the median distance; beyond these bounds every kernel value is 0 or 1."""


class MMD(Options):
    """Maximum mean discrepancy (Gretton et al., JMLR 2012).

    Attributes:
        kernel: "rbf" or "rational_quadratic".
        bandwidths: multiples of the median distance, which is measured once and frozen.
        readings: whether simulator features' readings of the attributes are compared by
            themselves as well, with the class, around their median distance in the target.
        unbiased: the U-statistic, which may be slightly negative, instead of the V-statistic.
    """

    use: Literal["mmd"] = "mmd"
    kernel: Literal["rbf", "rational_quadratic"] = "rbf"
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0)
    readings: bool = True
    unbiased: bool = True


class RandomFourierMMD(Options):
    """MMD by random Fourier features, linear in the number of images."""

    use: Literal["mmd_rff"] = "mmd_rff"
    frequencies: PositiveInt = 512
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0)


class Energy(Options):
    """The energy distance (Szekely and Rizzo, 2013)."""

    use: Literal["energy"] = "energy"


class SlicedWasserstein(Options):
    """Squared 2-Wasserstein distance averaged over random directions."""

    use: Literal["sliced_wasserstein"] = "sliced_wasserstein"
    projections: PositiveInt = 64


class Coral(Options):
    """Distance of means and covariances (Sun and Saenko, 2016, with the means added)."""

    use: Literal["coral"] = "coral"


class JointMMD(Options):
    """MMD under the product of one kernel for each feature block (Long et al., 2017)."""

    use: Literal["jmmd"] = "jmmd"


class ClasswiseMMD(Options):
    """Mean over classes of the MMD between images of that class, by predicted class."""

    use: Literal["classwise_mmd"] = "classwise_mmd"
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0)


Discrepancy = Annotated[
    MMD | RandomFourierMMD | Energy | SlicedWasserstein | Coral | JointMMD | ClasswiseMMD,
    Field(discriminator="use"),
]
