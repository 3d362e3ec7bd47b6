"""A refiner of methods that train nothing beforehand: each render gets one target image's look."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from metasim.errors import DataError
from metasim.learn.features.weights import fingerprint
from metasim.provenance import digest
from metasim.refine.base import Form, Refiner
from metasim.refine.encoder import Encoder, load_encoder
from metasim.refine.methods.dtp import DTPMethod
from metasim.refine.methods.nst import NSTMethod
from metasim.refine.options import DTP, NST, Encoded
from metasim.refine.samples import spread
from metasim.refine.tensors import from_tensor, to_tensor
from metasim.refine.transfer import OnSample, Transfer, check_sides
from metasim.rng import derive, stream

__all__ = ["StyledRefiner", "encoder_of", "make_transfer", "style_rows"]

_MOST: Final = 64
"""Target images that are kept as styles."""


def encoder_of(options: Encoded) -> Encoder:
    """The encoder that a method's settings ask for.

    Raises:
        MissingExtraError: when there are no local weights, and torchvision is not installed.
        DataError: when the weights cannot be had, or are another network's.
    """
    scale = options.scale if isinstance(options, DTP) else 1.0
    return load_encoder(options.weights, options.stand_in, scale)


def make_transfer(options: Encoded, encoder: Encoder) -> Transfer:
    """The method of these settings."""
    match options:
        case NST():
            return NSTMethod(options, encoder)
        case DTP():
            return DTPMethod(options, encoder)
    raise AssertionError(f"no method refines with {type(options).__name__}")


def style_rows(count: int) -> npt.NDArray[np.intp]:
    """Which of so many target images are kept as styles: at most 64, spread evenly over them."""
    return spread(count, _MOST)


class StyledRefiner(Refiner):
    """Gives each render the look of one of the target images that it keeps.

    Which one, and all that is random, follows from the seed and from the render's own pixels: equal
    renders give equal refined images, whatever stands beside them. Labels play no part.

    Args:
        options: of the method.
        styles: uint8 (S, H', W', 3), target images.
        form: of what it takes.
        seed: of the choice, and of all that is random.
        device: that it runs on.
        encoder: VGG19, where it is there already; else it is loaded as the options say.

    Raises:
        MissingExtraError: when there are no local weights, and torchvision is not installed.
        DataError: when the weights cannot be had, or the method does not take images of the size.
    """

    options: Encoded

    def __init__(
        self,
        options: Encoded,
        styles: npt.NDArray[np.uint8],
        form: Form,
        seed: int = 0,
        device: torch.device | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.options = options
        self.styles, self.form, self.seed = styles, form, seed
        self.device = torch.device("cpu") if device is None else device
        if not len(styles):
            raise DataError("a refiner must have a style image, got none")
        sim, real = (torch.empty(1, 3, *size) for size in (form.size, styles.shape[1:3]))
        check_sides(sim, real, 4 if isinstance(options, DTP) else 1)
        self.encoder = (encoder or encoder_of(options)).to(self.device)
        self.transfer = make_transfer(options, self.encoder)

    @property
    def fingerprint(self) -> str:
        """Of VGG19's weights."""
        return fingerprint(self.encoder.network)

    def refine(
        self,
        images: npt.NDArray[np.uint8],
        condition: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """See :meth:`metasim.refine.base.Refiner.refine`; the condition is not looked at."""
        self._check_size(images)
        out = np.empty_like(images)
        for row, image in enumerate(images):
            out[row] = self.restyle(image, self.styles_of(image)[0])
        return out

    def styles_of(self, image: npt.NDArray[np.uint8], count: int = 1) -> list[int]:
        """At most so many of the styles (their numbers), for a render (H, W, 3)."""
        shown = stream(self.seed, "refine", "style", digest(image.tobytes()))
        return [int(number) for number in shown.permutation(len(self.styles))[:count]]

    def restyle(
        self, image: npt.NDArray[np.uint8], style: int, on_sample: OnSample | None = None
    ) -> npt.NDArray[np.uint8]:
        """A render (H, W, 3) with the look of one of the styles.

        Args:
            image: uint8, of the form's size.
            style: its number.
            on_sample: see :meth:`metasim.refine.transfer.Transfer.refine`.
        """
        sim, real = (to_tensor(one[None], self.device) for one in (image, self.styles[style]))
        seed = derive(self.seed, "refine", "transfer", digest(image.tobytes()), style)
        with torch.enable_grad():  # it is a search, also where whoever asks keeps no gradients
            refined = from_tensor(self.transfer.refine(sim, real, seed, on_sample))
        return refined.reshape(image.shape)

    def state_dict(self) -> dict[str, Any]:
        """All of it but VGG19's weights, of which there are the path and the fingerprint."""
        return {
            **self._about(),
            "styles": torch.from_numpy(self.styles),
            "seed": self.seed,
            "encoder": self.fingerprint,
        }
