"""Task-network features: the layer before the answer of a classifier of labelled renders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import PluginError
from metasim.learn.features.base import Standardised, as_float
from metasim.learn.features.layers import block
from metasim.learn.initial import initial_weights
from metasim.render.base import Label

__all__ = ["TaskNetFeatures", "category_targets", "teach_categories"]

_BATCH = 64


class TaskNetFeatures(Standardised):
    """A classifier of what is in the image; its penultimate layer is the feature space.

    Args:
        categories: names of the Q categories.
        size: units of the penultimate layer, D.
        exclusive: every image shows exactly one category, rather than any number of them.
        seed: of the weights it starts from.
        width: channels of the first layer.
    """

    def __init__(
        self,
        categories: Sequence[str],
        size: int = 64,
        *,
        exclusive: bool = True,
        seed: int = 0,
        width: int = 16,
    ) -> None:
        super().__init__(size)
        self.categories, self.size, self.exclusive = tuple(categories), size, exclusive
        with initial_weights(seed):
            self.trunk = nn.Sequential(
                block(3, width, 5, 2),
                block(width, 2 * width, 3, 2),
                block(2 * width, 4 * width, 3, 2),
            )
            self.penultimate = nn.Linear(16 * 4 * width, size)
            self.head = nn.Linear(size, len(self.categories))
        self.eval()

    @property
    def blocks(self) -> dict[str, slice]:
        """One block."""
        return {"tasknet": slice(0, self.size)}

    def raw(self, images: Tensor) -> Tensor:
        """The penultimate layer (B, size), which sees a coarse grid of 4 x 4 cells."""
        maps = F.adaptive_avg_pool2d(self.trunk(images * 2 - 1), 4)
        return F.relu(self.penultimate(maps.flatten(1)))

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits (B, Q)."""
        out: Tensor = self.head(self.raw(images))
        return out

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with targets (B, Q) of 0 and 1."""
        here = self.centre.device
        logits, target = self.logits(images.to(here)), target.to(here)
        if self.exclusive:
            return F.cross_entropy(logits, target)
        return F.binary_cross_entropy_with_logits(logits, target)


def category_targets(labels: Sequence[Sequence[Label]]) -> tuple[list[str], Tensor]:
    """Which categories each image shows some of.

    Args:
        labels: of B images.

    Returns:
        The Q names, sorted, and float (B, Q) of 0 and 1.

    Raises:
        PluginError: when all images show the same, so that nothing can be learned.
    """
    names = sorted({label.category for mine in labels for label in mine})
    place = {name: q for q, name in enumerate(names)}
    target = torch.zeros(len(labels), len(names))
    for row, mine in zip(target, labels, strict=True):
        for label in mine:
            if label.visible > 0:
                row[place[label.category]] = 1.0
    if len(target) == 0 or bool((target == target[0]).all()):
        raise PluginError(
            "tasknet features need renders that differ in the categories they show, but all show "
            f"{', '.join(names) or 'nothing'}; choose other features, for example simulator"
        )
    return names, target


def teach_categories(
    network: TaskNetFeatures,
    images: Tensor,
    target: Tensor,
    *,
    epochs: int,
    generator: torch.Generator,
    lr: float = 3e-3,
    progress: Callable[[int, float], None] = lambda done, loss: None,
) -> None:
    """Teach ``network`` in place with Adam under a cosine schedule; leaves it in eval mode.

    Args:
        network: starts from the weights it has.
        images: (n, 3, H, W), floats in [0, 1] or uint8.
        target: (n, Q) of 0 and 1.
        epochs: passes over the images.
        generator: orders the images.
        lr: learning rate at the start.
        progress: called after each epoch with (epochs done, loss).
    """
    batches = max(1, len(images) // _BATCH)
    optimiser = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * batches)
    network.requires_grad_(True).train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(images), generator=generator).tensor_split(batches):
            loss = network.loss(as_float(images[rows]), target[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        progress(epoch + 1, total / batches)
    network.requires_grad_(False).eval()
