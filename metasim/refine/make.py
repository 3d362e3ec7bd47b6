"""From settings to methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from metasim.errors import DataError
from metasim.learn.initial import initial_weights
from metasim.refine.base import Form
from metasim.refine.encoder import load_encoder
from metasim.refine.method import Method
from metasim.refine.methods.cut import CUTMethod
from metasim.refine.methods.cyclegan import CycleGANMethod
from metasim.refine.methods.pix2pix import Pix2PixMethod
from metasim.refine.methods.simgan import SimGANMethod
from metasim.refine.methods.spade import SPADEMethod
from metasim.refine.methods.unit import UNITMethod
from metasim.refine.options import (
    CUT,
    SPADE,
    UNIT,
    CycleGAN,
    Pix2Pix,
    Refine,
    SimGAN,
    Trained,
)
from metasim.refine.styled import StyledRefiner
from metasim.rng import derive

__all__ = ["check_fit", "make_method"]

_SEEN: Final = ("r11", "r21", "r31", "r41", "r51")


def make_method(
    options: Trained, size: tuple[int, int], channels: int, seed: int, *, training: bool = True
) -> Method:
    """A method whose networks have their first weights.

    Args:
        options: its settings.
        size: (H, W) of the images.
        channels: of the condition.
        seed: of the weights.
        training: whether it will be trained; what it needs for that alone is left out else.

    Raises:
        DataError: when its networks do not take images of that size, or weights of VGG19, which
            SPADE's perceptual loss needs, cannot be had.
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
                seen = _perceptual(options) if training else None
                return SPADEMethod(options, size, channels, seen)
    raise AssertionError(f"no method is trained with {type(options).__name__}")


def check_fit(options: Refine, size: tuple[int, int], channels: int, device: torch.device) -> None:
    """Refuse what cannot be refined, before anything is done for it.

    Args:
        options: of the method.
        size: (H, W) of the images.
        channels: of the condition.
        device: that it is done on.

    Raises:
        DataError: when the method does not take images of that size, there are fewer devices than
            processes, or weights of VGG19, which it needs, cannot be had.
        MissingExtraError: when those must be fetched, and what does that is missing.
    """
    if isinstance(options, Trained):
        _check_devices(options.processes, device)
        make_method(options, size, channels, seed=0)
        return
    StyledRefiner(options, np.zeros((1, *size, 3), np.uint8), Form(size), seed=0)


def _check_devices(processes: int, device: torch.device) -> None:
    """Refuse more processes than there are graphics cards, where each is to have one."""
    if device.type == "cpu":
        return
    there = torch.cuda.device_count() - (device.index or 0) if device.type == "cuda" else 1
    if processes > there:
        raise DataError(
            f"processes must be at most the devices that there are from {device} on, {there}, got "
            f"{processes}; set it lower, or device: cpu"
        )


def _perceptual(options: SPADE) -> Callable[[Tensor], list[Tensor]] | None:
    """What images are compared by, from the nearest layer to the farthest."""
    if not options.perceptual:
        return None
    encoder = load_encoder(options.weights, None)

    def seen(images: Tensor) -> list[Tensor]:
        return list(encoder.to(images.device).maps(images, _SEEN).values())

    return seen
