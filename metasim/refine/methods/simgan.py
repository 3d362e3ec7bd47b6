"""SimGAN: a refiner that is held to its renders (Shrivastava et al., 2017, arXiv 1612.07828)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from metasim.refine.method import Batch, Method
from metasim.refine.networks.simgan import LocalDiscriminator, Refiner
from metasim.refine.options import SimGAN
from metasim.refine.pool import ImagePool

__all__ = ["History", "SimGANMethod", "local_cross_entropy"]


class History(ImagePool):
    """Keeps refined images; half of what it gives back are old ones, of the whole history.

    Unlike a pool, which has each image swapped by the toss of a coin, it always gives back as many
    old images as new ones (where it has them), and then keeps as many new ones, in the places of
    old ones at random once it is full. Of a single image none is old.
    """

    def swap(self, images: Tensor) -> Tensor:
        """As many images as come (B, C, H, W): the first half of them, and then old ones.

        Drawn from torch's generator.
        """
        images = images.detach()
        kept = images[:0] if self.images is None else self.images.to(images.device)
        half = len(images) // 2
        old = kept[torch.randperm(len(kept))[:half]]
        self.images = self._replaced(kept, images[:half])
        return torch.cat([images[: len(images) - len(old)], old])

    def _replaced(self, kept: Tensor, new: Tensor) -> Tensor:
        """Kept images (N, C, H, W) with new ones added, or in the place of others."""
        room = self.size - len(kept)
        added, others = new[:room], new[room : self.size]
        kept = torch.cat([kept, added]) if len(added) else kept
        kept[torch.randperm(len(kept))[: len(others)]] = others
        return kept


class SimGANMethod(Method):
    """A refiner, and a discriminator that judges each part of an image for itself.

    A step's batch is used for all of its ``refiner_steps`` and ``discriminator_steps``. (In the
    paper each has renders of its own, and the optimiser is plain gradient descent.)

    Args:
        options: its settings.
        size: (H, W) of the images, of at least 2 pixels.
    """

    def __init__(self, options: SimGAN, size: tuple[int, int]) -> None:
        super().__init__(options)
        self.options = options
        self.refiner = Refiner(options.width, options.blocks, options.residual)
        self.discriminator = LocalDiscriminator()
        # The warm-up has an optimiser of its own: its gradients are much smaller, and running
        # averages of them would make the first adversarial steps many times too large.
        self.of_warm_up = self.adam("warm_up", self.refiner.parameters())
        self.of_refiner = self.adam("refiner", self.refiner.parameters())
        self.of_discriminator = self.adam("discriminator", self.discriminator.parameters())
        self.pools = {"refined": History(options.history)}

    @property
    def warm_up(self) -> int:
        """The steps of the refiner alone, and then those of the discriminator alone."""
        return self.options.refiner_warmup + self.options.discriminator_warmup

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """The refiner on what it changes, the discriminator, or (after the warm-up) both."""
        options = self.options
        told: dict[str, Tensor] = {}
        if number < options.refiner_warmup:
            told = self._train_refiner(batch.sim, adversarial=False)
        elif number < self.warm_up:
            told = self._train_discriminator(batch)
        else:
            for _ in range(options.refiner_steps):
                told |= self._train_refiner(batch.sim, adversarial=True)
            for _ in range(options.discriminator_steps):
                told |= self._train_discriminator(batch)
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the refiner makes of renders; the condition is not looked at."""
        out: Tensor = self.refiner(sim)
        return out

    def _train_refiner(self, sim: Tensor, *, adversarial: bool) -> dict[str, Tensor]:
        refined = self.refiner(sim)
        loss = F.l1_loss(refined, sim)
        told = {"self_regularisation": loss}
        if adversarial:
            told["generator"] = local_cross_entropy(self._judged(refined), True)
            loss = told["generator"] + self.options.self_regularisation * loss
        optimiser = self.of_refiner if adversarial else self.of_warm_up
        self.descend(optimiser, loss)
        return told

    def _train_discriminator(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            refined = self.refiner(batch.sim)
        loss = local_cross_entropy(self._judged(batch.real), True) + local_cross_entropy(
            self._judged(self.pooled("refined", refined)), False
        )
        self.descend(self.of_discriminator, loss)
        return {"discriminator": loss}

    def _judged(self, images: Tensor) -> Tensor:
        """What the discriminator makes of images with noise on them."""
        judged: Tensor = self.discriminator(self.noisy(images))
        return judged


def local_cross_entropy(judged: Tensor, real: bool) -> Tensor:
    """Mean cross entropy of judgements (B, 2, h, w) over all images and places.

    Args:
        judged: logits of refined and of real.
        real: what the discriminator should find everywhere.
    """
    wanted = torch.full_like(judged[:, 0], int(real), dtype=torch.long)
    return F.cross_entropy(judged, wanted)
