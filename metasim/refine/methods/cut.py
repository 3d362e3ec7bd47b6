"""CUT: patches are held to those they were made of (Park et al., 2020, arXiv 2007.15651)."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from metasim.refine.contrast import PatchEmbedding, contrast, draw_places
from metasim.refine.losses import least_squares
from metasim.refine.method import Batch, Method
from metasim.refine.networks.patch import PatchDiscriminator, check_patches
from metasim.refine.networks.resnet import ResnetGenerator, check_quarters
from metasim.refine.options import CUT

__all__ = ["CUTMethod"]


class CUTMethod(Method):
    """One generator, whose own encoder tells which patches belong together, one discriminator.

    Args:
        options: its settings.
        size: (H, W) of the images, multiples of 4.

    Raises:
        DataError: where they are not, or are too small for the discriminator.
    """

    def __init__(self, options: CUT, size: tuple[int, int]) -> None:
        super().__init__(options)
        check_quarters(size)
        check_patches(size, options.layers)
        self.options = options
        self.generator = ResnetGenerator(options.width, options.blocks, options.residual)
        self.discriminator = PatchDiscriminator(options.discriminator_width, options.layers)
        compared = _compared(options.width, options.blocks)
        self.compared = tuple(compared)
        self.embedding = PatchEmbedding(tuple(compared.values()), options.embedding)
        self.of_generator = self.adam(
            "generator", chain(self.generator.parameters(), self.embedding.parameters())
        )
        self.of_discriminator = self.adam("discriminator", self.discriminator.parameters())

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """The generator and the embedding, then the discriminator."""
        options = self.options
        images = torch.cat([batch.sim, batch.real]) if options.nce_identity else batch.sim
        mirrored = options.flip and bool(torch.rand(()) < 0.5)
        translated = _mirror(self.generator(_mirror(images, mirrored)), mirrored)
        refined = translated[: len(batch.sim)]
        adversarial = least_squares(self.discriminator(self.noisy(refined)), True)
        # As many images of each domain: the mean of both is that of all.
        nce = self._contrast(images, translated, mirrored).view(-1, len(batch.sim)).mean(1)
        self.descend(self.of_generator, adversarial + options.nce * nce.mean())
        judged = 0.5 * self.telling_apart(least_squares, self.discriminator, batch.real, refined)
        self.descend(self.of_discriminator, judged)
        told = {"generator": adversarial, "discriminator": judged}
        told |= zip(("nce", "nce_identity")[: len(nce)], nce, strict=True)
        return {name: value.detach() for name, value in told.items()}

    def refine(self, sim: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the generator makes of renders; the condition is not looked at."""
        out: Tensor = self.generator(sim)
        return out

    def _contrast(self, images: Tensor, translated: Tensor, mirrored: bool) -> Tensor:
        """(B,), the mean of all layers' contrasts between translations and their images."""
        with torch.no_grad():
            kept = self.generator.features(images, self.compared)
        # As published, mirroring comes last: a patch's features must be those of its mirror image.
        maps = self.generator.features(_mirror(translated, mirrored), self.compared)
        maps = [_mirror(one, mirrored) for one in maps]
        places = draw_places(maps, self.options.patches)
        pairs = zip(self.embedding(maps, places), self.embedding(kept, places), strict=True)
        temperature = self.options.temperature
        return torch.stack([contrast(query, key, temperature) for query, key in pairs]).mean(0)


def _compared(width: int, blocks: int) -> dict[int, int]:
    """Which layers' patches are compared, as the generator counts them, and their channels.

    The published ones, 0, 4, 8, 12 and 16 of a list in which padding and blurring count, are of a
    generator of nine blocks the image, both convolutions that halve it, and the first and the
    fifth block. The fifth is in the middle, and so it is here where blocks are fewer.
    """
    middle = 10 + blocks // 2
    return {0: 3, 4: 2 * width, 7: 4 * width, 10: 4 * width, middle: 4 * width}


def _mirror(maps: Tensor, mirrored: bool) -> Tensor:
    """(B, C, H, W) with left and right exchanged, or as it is."""
    return maps.flip(3) if mirrored else maps
