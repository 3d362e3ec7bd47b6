"""Pix2Pix: pairs teach what a render should look like (Isola et al., 2017, arXiv 1611.07004)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.refine.inputs import check_halvings, shown
from metasim.refine.losses import logistic
from metasim.refine.method import Batch, Method
from metasim.refine.networks.patch import PatchDiscriminator
from metasim.refine.networks.unet import UNet
from metasim.refine.options import Pix2Pix

__all__ = ["Pix2PixMethod"]


class Pix2PixMethod(Method):
    """A U-Net, and a discriminator that sees what the U-Net was given beside each image.

    Args:
        options: its settings.
        size: (H, W) of the images, multiples of 2**depth.
        channels: of the condition.

    Raises:
        DataError: where the images cannot be halved as often as the options say.
    """

    paired: ClassVar[bool] = True

    def __init__(self, options: Pix2Pix, size: tuple[int, int], channels: int = 0) -> None:
        super().__init__(options)
        check_halvings(size, options.depth, "depth")
        self.options = options
        inputs = channels + (3 if options.render else 0)
        self.generator = UNet(options.width, options.depth, inputs, options.dropout)
        self.discriminator = PatchDiscriminator(
            options.discriminator_width, options.layers, inputs + 3, nn.BatchNorm2d
        )
        self.of_generator = self.adam("generator", self.generator.parameters())
        self.of_discriminator = self.adam("discriminator", self.discriminator.parameters())

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """The generator, then the discriminator."""
        given = shown(self.options.render, batch.sim, batch.condition)
        refined = self.generator(given)
        judge = partial(self._judge, given)
        adversarial = logistic(judge(self.noisy(refined)), True)
        l1 = F.l1_loss(refined, batch.real)
        loss = adversarial + self.options.l1 * l1
        self.descend(self.of_generator, loss)
        judged = 0.5 * self.telling_apart(logistic, judge, batch.real, refined)
        self.descend(self.of_discriminator, judged)
        told = {"generator": adversarial, "l1": l1, "discriminator": judged}
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the generator makes of renders and of what is known of them."""
        # The original keeps dropout and the batch's own statistics here. In evaluation mode there
        # is no dropout and batch norm uses what it saw in training, as a refined image must depend
        # on its own render alone, and must be the same each time.
        out: Tensor = self.generator(shown(self.options.render, sim, condition))
        return out

    def _judge(self, given: Tensor, images: Tensor) -> Tensor:
        """Judgements (B, 1, h, w) of images, for what they are made of."""
        judged: Tensor = self.discriminator(torch.cat([given, images], 1))
        return judged
