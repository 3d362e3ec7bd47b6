"""CycleGAN: there and back again (Zhu et al., 2017, arXiv 1703.10593)."""

from __future__ import annotations

from itertools import chain

import torch.nn.functional as F
from torch import Tensor

from metasim.refine.losses import least_squares
from metasim.refine.method import Batch, Method
from metasim.refine.networks.patch import PatchDiscriminator, check_patches
from metasim.refine.networks.resnet import ResnetGenerator, check_quarters
from metasim.refine.options import CycleGAN
from metasim.refine.pool import ImagePool

__all__ = ["CycleGANMethod"]


class CycleGANMethod(Method):
    """Two generators, from each domain to the other, and a discriminator of each domain.

    Args:
        options: its settings.
        size: (H, W) of the images, multiples of 4.

    Raises:
        DataError: where they are not, or are too small for the discriminators.
    """

    def __init__(self, options: CycleGAN, size: tuple[int, int]) -> None:
        super().__init__(options)
        check_quarters(size)
        check_patches(size, options.layers)
        self.options = options
        self.to_real, self.to_sim = (
            ResnetGenerator(options.width, options.blocks, options.residual) for _ in range(2)
        )
        self.of_real, self.of_sim = (
            PatchDiscriminator(options.discriminator_width, options.layers) for _ in range(2)
        )
        self.generators = self.adam(
            "generators", chain(self.to_real.parameters(), self.to_sim.parameters())
        )
        self.discriminators = self.adam(
            "discriminators", chain(self.of_real.parameters(), self.of_sim.parameters())
        )
        self.pools = {name: ImagePool(options.pool) for name in ("real", "sim")}

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """The generators, then the discriminators."""
        sim, real = batch.sim, batch.real
        refined, simulated = self.to_real(sim), self.to_sim(real)
        options = self.options
        adversarial = least_squares(self.of_real(self.noisy(refined)), True) + least_squares(
            self.of_sim(self.noisy(simulated)), True
        )
        cycle = F.l1_loss(self.to_sim(refined), sim) + F.l1_loss(self.to_real(simulated), real)
        loss = adversarial + options.cycle * cycle
        told = {"generator": adversarial, "cycle": cycle}
        if options.identity:
            identity = F.l1_loss(self.to_real(real), real) + F.l1_loss(self.to_sim(sim), sim)
            loss = loss + options.cycle * options.identity * identity
            told["identity"] = identity
        self.descend(self.generators, loss)
        judged = 0.5 * (
            self.telling_apart(least_squares, self.of_real, real, self.pooled("real", refined))
            + self.telling_apart(least_squares, self.of_sim, sim, self.pooled("sim", simulated))
        )
        self.descend(self.discriminators, judged)
        told["discriminator"] = judged
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the generator makes of renders; the condition is not looked at."""
        out: Tensor = self.to_real(sim)
        return out
