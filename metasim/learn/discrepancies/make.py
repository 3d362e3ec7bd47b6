"""From settings to discrepancy objects."""

from __future__ import annotations

from metasim.learn import options as settings
from metasim.learn.discrepancies.base import Discrepancy
from metasim.learn.discrepancies.classwise import ClasswiseKernelMMD
from metasim.learn.discrepancies.coral import CoralDistance
from metasim.learn.discrepancies.fourier import FourierMMD
from metasim.learn.discrepancies.mmd import EnergyDistance, JointKernelMMD, KernelMMD
from metasim.learn.discrepancies.sliced import SlicedW2

__all__ = ["make_discrepancy"]


def make_discrepancy(options: settings.Discrepancy, *, seed: int) -> Discrepancy:
    """The discrepancy that ``options`` ask for, not yet fitted.

    Args:
        options: one of the classes in :mod:`metasim.learn.options`.
        seed: of the random directions and frequencies, where there are any.
    """
    match options:
        case settings.MMD():
            return KernelMMD(
                options.bandwidths,
                kernel=options.kernel,
                readings=options.readings,
                unbiased=options.unbiased,
            )
        case settings.RandomFourierMMD():
            return FourierMMD(options.bandwidths, frequencies=options.frequencies, seed=seed)
        case settings.Energy():
            return EnergyDistance()
        case settings.SlicedWasserstein():
            return SlicedW2(options.projections, seed=seed)
        case settings.Coral():
            return CoralDistance()
        case settings.JointMMD():
            return JointKernelMMD()
        case settings.ClasswiseMMD():
            return ClasswiseKernelMMD(options.bandwidths)
