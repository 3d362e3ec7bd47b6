"""Teaching the simulator-supervised network, and finding out how well it reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metasim.learn.features.appearance import randomise_appearance
from metasim.learn.features.base import as_float
from metasim.learn.features.lesson import Truth
from metasim.learn.features.simulator import SimulatorNetwork

__all__ = ["Grade", "grade", "teach"]

_BATCH = 64


@dataclass(frozen=True)
class Grade:
    """How well a network reads images it was not taught with.

    Attributes:
        error: for each label, root mean square error over that of predicting the mean;
            0 is perfect, 1 tells nothing.
        loss: held-out loss.
    """

    error: dict[str, float]
    loss: float

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max(self.error.values(), default=0.0)


def teach(
    network: SimulatorNetwork,
    images: Tensor,
    truth: Truth,
    *,
    epochs: int,
    randomise: bool,
    generator: torch.Generator,
    peak: float = 4e-3,
    progress: Callable[[int, int, float], None] = lambda done, total, loss: None,
) -> None:
    """Teach ``network`` in place with AdamW under a one-cycle schedule; leaves it in eval mode.

    Args:
        network: starts from the weights it has.
        images: (n, 3, H, W), floats in [0, 1] or uint8, which needs a quarter of the memory.
        truth: of the same n images.
        epochs: passes over the images.
        randomise: whether each image is given random looks each time.
        generator: orders the images and draws the looks.
        peak: highest learning rate.
        progress: called after each epoch with (epochs done, epochs, loss).
    """
    batches = max(1, len(images) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), peak, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=epochs * batches + 1
    )
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for chunk in order.tensor_split(batches):
            x = as_float(images[chunk])
            if randomise:
                x = randomise_appearance(x, generator)
            loss = network.loss(x, truth[chunk])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        progress(epoch + 1, epochs, total / batches)
    network.eval()


@torch.no_grad()
def grade(network: SimulatorNetwork, images: Tensor, truth: Truth, chunk: int = 512) -> Grade:
    """Grade ``network`` on images that it was not taught with.

    Args:
        network: in eval mode.
        images: (n, 3, H, W), floats in [0, 1] or uint8.
        truth: of the same n images.
        chunk: how many are looked at in one go.
    """
    readings, loss = [], 0.0
    for rows in torch.split(torch.arange(len(images)), chunk):
        x = as_float(images[rows])
        readings.append(network.read(network.look(x)[0])[0].cpu())
        loss += float(network.loss(x, truth[rows])) * len(rows) / len(images)
    read = torch.cat(readings)
    lesson = network.lesson
    errors = {}
    for label, columns, (place, _, _) in zip(
        lesson.codec.labels, lesson.label_columns, lesson.columns, strict=True
    ):
        seen = truth.present[:, place]
        wanted = truth.readings[seen, columns]
        missed = float((read[seen, columns] - wanted).square().sum())
        spread = float((wanted - wanted.mean(dim=0)).square().sum()) if len(wanted) else 0.0
        # Where nothing was seen to vary, nothing was told either.
        errors[label] = math.sqrt(missed / spread) if spread > 0 else 1.0
    return Grade(errors, loss)
