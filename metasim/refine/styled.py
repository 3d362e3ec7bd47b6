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
from metasim.refine.transfer import Transfer, check_sides
from metasim.rng import derive

__all__ = ["StyledRefiner", "chosen_styles", "encoder_of", "make_transfer"]

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


def chosen_styles(images: npt.NDArray[np.uint8], most: int = _MOST) -> npt.NDArray[np.uint8]:
    """At most so many of images (M, H, W, 3), spread evenly over them: (S, H, W, 3)."""
    return np.ascontiguousarray(images[spread(len(images), most)])


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
        with torch.enable_grad():  # it is a search, also where whoever asks keeps no gradients
            for row, image in enumerate(images):
                shown = digest(image.tobytes())
                style = derive(self.seed, "refine", "style", shown) % len(self.styles)
                sim, real = (
                    to_tensor(one[None], self.device) for one in (image, self.styles[style])
                )
                seed = derive(self.seed, "refine", "transfer", shown)
                out[row] = from_tensor(self.transfer.refine(sim, real, seed))[0]
        return out

    def state_dict(self) -> dict[str, Any]:
        """All of it but VGG19's weights, of which there are the path and the fingerprint."""
        return {
            **self._about(),
            "styles": torch.from_numpy(self.styles),
            "seed": self.seed,
            "encoder": self.fingerprint,
        }
