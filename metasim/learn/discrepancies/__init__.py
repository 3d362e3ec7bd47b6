"""How far generated features are from target features, and what each image contributes.

The pure functions come first (two sets of features in, a number out); the classes freeze
what depends on the target alone, and know the witness: the derivative of the discrepancy
with respect to the generated distribution.

Letters: M generated, N target and Q queried feature vectors, D features, C classes.
"""

from metasim.learn.discrepancies.base import Comparison, Discrepancy
from metasim.learn.discrepancies.classwise import ClasswiseKernelMMD, classwise_mmd2
from metasim.learn.discrepancies.coral import CoralDistance, coral
from metasim.learn.discrepancies.fourier import FourierMMD, fourier_features, fourier_mmd2
from metasim.learn.discrepancies.kernels import (
    RBF,
    Distance,
    Kernel,
    Polynomial,
    Product,
    RationalQuadratic,
    Selected,
    squared_distances,
)
from metasim.learn.discrepancies.make import make_discrepancy
from metasim.learn.discrepancies.mmd import (
    EnergyDistance,
    JointKernelMMD,
    KernelMMD,
    energy_distance,
    jmmd2,
    mmd2,
)
from metasim.learn.discrepancies.scores import cmmd, kid, scores
from metasim.learn.discrepancies.sliced import SlicedW2, sliced_wasserstein

__all__ = [
    "RBF",
    "ClasswiseKernelMMD",
    "Comparison",
    "CoralDistance",
    "Discrepancy",
    "Distance",
    "EnergyDistance",
    "FourierMMD",
    "JointKernelMMD",
    "Kernel",
    "KernelMMD",
    "Polynomial",
    "Product",
    "RationalQuadratic",
    "Selected",
    "SlicedW2",
    "classwise_mmd2",
    "cmmd",
    "coral",
    "energy_distance",
    "fourier_features",
    "fourier_mmd2",
    "jmmd2",
    "kid",
    "make_discrepancy",
    "mmd2",
    "scores",
    "sliced_wasserstein",
    "squared_distances",
]
