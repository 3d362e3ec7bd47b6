"""A history of generated images, so that a discriminator does not forget old ones."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ImagePool"]


class ImagePool:
    """Keeps images; half of what it is asked for are old ones (Shrivastava et al., 2017).

    It is filled first. Then each image that comes either goes back as it is, or with a
    probability of a half stays, in the place of an old one, which goes back.

    Args:
        size: images that are kept; 0 gives back what comes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: Tensor | None = None

    def swap(self, images: Tensor) -> Tensor:
        """As many images as come (B, C, H, W), some of them old; drawn from torch's generator."""
        images = images.detach()
        if self.size == 0:
            return images
        kept = images[:0] if self.images is None else self.images.to(images.device)
        out = []
        for image in images[:, None]:
            if len(kept) < self.size:
                kept = torch.cat([kept, image])
                out.append(image)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                out.append(kept[place : place + 1].clone())
                kept[place] = image[0]
            else:
                out.append(image)
        self.images = kept
        return torch.cat(out)
