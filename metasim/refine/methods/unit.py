"""UNIT: two domains with one space of codes (Liu et al., 2017, arXiv 1703.00848)."""

from __future__ import annotations

from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import DataError
from metasim.refine.losses import divergence, logistic
from metasim.refine.method import Batch, Method
from metasim.refine.networks.unit import Encoder, Generator, StridedDiscriminator, code_block
from metasim.refine.options import UNIT

__all__ = ["UNITMethod", "code_divergence"]


class UNITMethod(Method):
    """An encoder, a generator and a discriminator of each domain.

    An image's code is drawn from a normal distribution, whose mean is what the encoder gives, and
    whose variance is 1. Images are refined by the mean itself.

    Args:
        options: its settings.
        size: (H, W) of the images, multiples of 4, of at least 8.

    Raises:
        DataError: where they are not.
    """

    def __init__(self, options: UNIT, size: tuple[int, int]) -> None:
        super().__init__(options)
        _check(size)
        self.options = options
        width, blocks = options.width, options.blocks
        lasts, firsts = (_code_blocks(width, options.share) for _ in range(2))
        self.encode_sim, self.encode_real = (Encoder(width, blocks, last) for last in lasts)
        self.make_sim, self.make_real = (Generator(width, blocks, first) for first in firsts)
        self.of_sim, self.of_real = (StridedDiscriminator(width, options.layers) for _ in range(2))
        autoencoders = (self.encode_sim, self.make_sim, self.encode_real, self.make_real)
        self.generators = self.adam("generators", nn.ModuleList(autoencoders).parameters())
        self.discriminators = self.adam(
            "discriminators", chain(self.of_sim.parameters(), self.of_real.parameters())
        )

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """Encoders and generators, then the discriminators."""
        sim, real = batch.sim, batch.real
        means = torch.cat([self.encode_sim(sim), self.encode_real(real)])
        codes = self._drawn(means)
        rebuilt_sim, simulated = self.make_sim(codes).chunk(2)
        refined, rebuilt_real = self.make_real(codes).chunk(2)
        means_back = torch.cat([self.encode_real(refined), self.encode_sim(simulated)])
        to_sim, to_real = self._drawn(means_back).chunk(2)
        # All are summed over the domains; a divergence here is the mean of both.
        told = {
            "generator": logistic(self.of_sim(self.noisy(simulated)), True)
            + logistic(self.of_real(self.noisy(refined)), True),
            "reconstruction": F.l1_loss(rebuilt_sim, sim) + F.l1_loss(rebuilt_real, real),
            "divergence": 2 * code_divergence(means),
            "cycle": F.l1_loss(self.make_sim(to_sim), sim)
            + F.l1_loss(self.make_real(to_real), real),
            "cycle_divergence": 2 * code_divergence(means_back),
        }
        self.descend(self.generators, self._weighted(told))
        told["discriminator"] = self.telling_apart(
            logistic, self.of_sim, sim, simulated
        ) + self.telling_apart(logistic, self.of_real, real, refined)
        self.descend(self.discriminators, told["discriminator"])
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the target's generator makes of renders' codes; the condition is not looked at."""
        out: Tensor = self.make_real(self.encode_sim(sim))
        return out

    def _drawn(self, means: Tensor) -> Tensor:
        """Codes about their means, of one domain's images and then of the other's."""
        return means + torch.cat([self.team.normal(half) for half in means.chunk(2)])

    def _weighted(self, told: dict[str, Tensor]) -> Tensor:
        """The sum of the generators' losses."""
        options = self.options
        return (
            options.gan * told["generator"]
            + options.reconstruction * told["reconstruction"]
            + options.divergence * told["divergence"]
            + options.cycle * told["cycle"]
            + options.cycle_divergence * told["cycle_divergence"]
        )


def code_divergence(means: Tensor) -> Tensor:
    """Divergence of codes from the standard normal distribution, mean over their elements.

    It stands beside differences that are means over pixels. Summed over the code, as the bound of a
    variational autoencoder has it, it would be weighed against their sums, and would count
    thousands of times as much here; the weights are meant for means of both.

    Args:
        means: (B, C, h, w); the variance is 1.
    """
    return divergence(means) / means[0].numel()


def _code_blocks(width: int, share: bool) -> tuple[nn.Module, nn.Module]:
    """The blocks next to the code, of both domains."""
    block = code_block(width)
    return block, block if share else code_block(width)


def _check(size: tuple[int, int]) -> None:
    """Refuse images that would not come back as large as they were, or have no code."""
    height, width = size
    if height % 4 or width % 4 or min(size) < 8:
        raise DataError(
            f"unit needs images whose sides are multiples of 4, of at least 8 pixels, got "
            f"{height} x {width}; choose another image size"
        )
