"""From settings to methods."""

from __future__ import annotations

from metasim.learn.initial import initial_weights
from metasim.refine.method import Method
from metasim.refine.methods.cut import CUTMethod
from metasim.refine.methods.cyclegan import CycleGANMethod
from metasim.refine.methods.pix2pix import Pix2PixMethod
from metasim.refine.methods.simgan import SimGANMethod
from metasim.refine.methods.spade import SPADEMethod
from metasim.refine.methods.unit import UNITMethod
from metasim.refine.options import CUT, SPADE, UNIT, CycleGAN, Pix2Pix, SimGAN, Trained
from metasim.rng import derive

__all__ = ["make_method"]


def make_method(options: Trained, size: tuple[int, int], channels: int, seed: int) -> Method:
    """A method whose networks have their first weights.

    Args:
        options: its settings.
        size: (H, W) of the images.
        channels: of the condition.
        seed: of the weights.

    Raises:
        DataError: when its networks do not take images of that size.
    """
    with initial_weights(derive(seed, "refine", "weights")):
        match options:
            case SimGAN():
                return SimGANMethod(options, size)
            case CycleGAN():
                return CycleGANMethod(options, size)
            case CUT():
                return CUTMethod(options, size)
            case UNIT():
                return UNITMethod(options, size)
            case Pix2Pix():
                return Pix2PixMethod(options, size, channels)
            case SPADE():
                return SPADEMethod(options, size, channels)
    raise AssertionError(f"no method is trained with {type(options).__name__}")
