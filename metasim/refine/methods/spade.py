"""SPADE: images made of what the simulator knows (Park et al., 2019, arXiv 1903.07291)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from metasim.errors import DataError
from metasim.refine.inputs import check_halvings, shown
from metasim.refine.losses import divergence, hinge
from metasim.refine.method import Batch, Method
from metasim.refine.networks.spade import ImageEncoder, MultiscaleDiscriminator, SPADEGenerator
from metasim.refine.options import SPADE

__all__ = ["SPADEMethod", "feature_matching", "perceptual_difference"]

_PERCEPTUAL = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of VGG19's r11, r21, r31, r41 and r51."""


class SPADEMethod(Method):
    """A generator that conditions modulate, discriminators of several scales, maybe an encoder.

    With a style, the generator's first layer is made of a code that an encoder draws from the
    target image; refining has no target image and takes the mean of all codes, which is 0 by the
    divergence.

    Args:
        options: its settings.
        size: (H, W) of the images, multiples of 2**halvings.
        channels: of the condition.
        perceptual: what VGG19 makes of images (B, 3, H, W) from -1 to 1, at r11, r21, r31, r41 and
            r51; its weights are the caller's. None leaves that difference out.

    Raises:
        DataError: where the images are too small, or cannot be halved as often as the options say.
    """

    paired: ClassVar[bool] = True

    def __init__(
        self,
        options: SPADE,
        size: tuple[int, int],
        channels: int,
        perceptual: Callable[[Tensor], list[Tensor]] | None = None,
    ) -> None:
        super().__init__(options)
        _check(options, size)
        self.options = options
        # Not as a part of its own, since VGG19 is neither trained nor saved with it.
        self._perceptual = () if perceptual is None or not options.perceptual else (perceptual,)
        given = channels + (3 if options.render else 0)
        self.generator = SPADEGenerator(
            size, options.halvings, options.width, options.hidden, given, options.style
        )
        self.encoder = ImageEncoder(size, options.width, options.style) if options.style else None
        self.discriminator = MultiscaleDiscriminator(
            given + 3, options.width, options.layers, options.scales
        )
        encoding = () if self.encoder is None else self.encoder.parameters()
        self.of_generator = self.adam("generator", chain(self.generator.parameters(), encoding))
        self.of_discriminator = self.adam(
            "discriminator", self.discriminator.parameters(), options.discriminator_rate
        )

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """The generator and the encoder, then the discriminators."""
        given = shown(self.options.render, batch.sim, batch.condition)
        code, told = self._code(batch.real)
        refined = self.generator(given, code)
        found, wanted = self._judge(given, refined, batch.real)
        told["generator"] = _mean([hinge(maps[-1], True, generator=True) for maps in found])
        told["feature_matching"] = feature_matching(found, wanted)
        for features in self._perceptual:
            told["perceptual"] = perceptual_difference(features, refined, batch.real)
        self.descend(self.of_generator, self._weighted(told))
        found, wanted = self._judge(given, refined.detach(), batch.real)
        judged = _mean([hinge(maps[-1], False) for maps in found]) + _mean(
            [hinge(maps[-1], True) for maps in wanted]
        )
        self.descend(self.of_discriminator, judged)
        told["discriminator"] = judged
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images made of what is known of renders, in the mean of all styles."""
        # In evaluation mode batch norm uses what it saw in training, so that each image depends on
        # its own render alone.
        given = shown(self.options.render, sim, condition)
        style = self.options.style
        out: Tensor = self.generator(given, given.new_zeros(len(given), style) if style else None)
        return out

    def _code(self, real: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Style codes (B, style) of target images, where there are some, and their loss."""
        if self.encoder is None:
            return None, {}
        mean, log_variance = self.encoder(real)
        code = mean + (0.5 * log_variance).exp() * self.team.normal(mean)
        return code, {"divergence": divergence(mean, log_variance)}

    def _judge(
        self, given: Tensor, refined: Tensor, real: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What the discriminators make of refined images, and of target images.

        They go through them together, since spectral norm changes the weights with each use.
        """
        refined, real = self.noisy(refined), self.noisy(real)
        images = torch.cat([torch.cat([given, refined], 1), torch.cat([given, real], 1)])
        pairs = [[maps.chunk(2) for maps in layers] for layers in self.discriminator(images)]
        return [[a for a, _ in one] for one in pairs], [[b for _, b in one] for one in pairs]

    def _weighted(self, told: dict[str, Tensor]) -> Tensor:
        """The sum of the generator's losses."""
        options = self.options
        weights = {
            "generator": 1.0,
            "feature_matching": options.feature_matching,
            "perceptual": options.perceptual,
            "divergence": options.divergence,
        }
        return torch.stack([weights[name] * loss for name, loss in told.items()]).sum()


def feature_matching(
    found: Sequence[Sequence[Tensor]], wanted: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Mean absolute differences of features, summed over layers, mean over discriminators.

    Args:
        found: of generated images, by discriminator and layer; the last layer's, which are
            judgements, are left out.
        wanted: of target images; no gradients flow there.
    """
    return _mean(
        [
            torch.stack(
                [F.l1_loss(a, b.detach()) for a, b in zip(one[:-1], other[:-1], strict=True)]
            ).sum()
            for one, other in zip(found, wanted, strict=True)
        ]
    )


def perceptual_difference(
    features: Callable[[Tensor], list[Tensor]], images: Tensor, wanted: Tensor
) -> Tensor:
    """Mean absolute differences of five layers' features, weighted (Johnson et al., 2016).

    Args:
        features: gives those of images.
        images: (B, 3, H, W).
        wanted: (B, 3, H, W); no gradients flow there.
    """
    with torch.no_grad():
        goals = features(wanted)
    terms = zip(_PERCEPTUAL, features(images), goals, strict=True)
    return torch.stack([weight * F.l1_loss(found, goal) for weight, found, goal in terms]).sum()


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()


def _check(options: SPADE, size: tuple[int, int]) -> None:
    """Refuse images that the networks cannot take."""
    check_halvings(size, options.halvings, "halvings")
    if min(size) < 2**options.scales:
        raise DataError(
            f"scales {options.scales} needs images of at least {2**options.scales} pixels, got "
            f"{size[0]} x {size[1]}; set scales lower, or choose another image size"
        )
    if options.batch_size == 1 and size == (2**options.halvings, 2**options.halvings):
        raise DataError(
            f"halvings {options.halvings} leaves one pixel of {size[0]} x {size[1]}, which batch "
            "norm cannot train on alone; set halvings lower, or batch_size higher"
        )
