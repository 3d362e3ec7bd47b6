"""The task loss: how well a network trained on the generated images does on real labels.

Letters: B scenes, G groups, V validation images, Q classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import DataError, TrainingError
from metasim.learn.distribution import EditDistribution
from metasim.learn.features.base import to_tensor
from metasim.learn.gradients.base import Estimate, Step
from metasim.learn.initial import initial_weights
from metasim.learn.options import Task
from metasim.progress import Progress
from metasim.provenance import digest
from metasim.render.base import Label, Rendered

__all__ = ["TaskNetwork", "TaskReward", "class_indices", "group_loss", "train_task_network"]


class TaskNetwork(nn.Module):
    """A small convolutional classifier, (B, 3, H, W) in [0, 1] to logits (B, Q)."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(64 * width, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, Q)."""
        out: Tensor = self.head(self.trunk(images))
        return out


def class_indices(labels: Sequence[Sequence[Label]], classes: Sequence[str]) -> Tensor:
    """The class (B,) of images that show one instance each; -1 where it is none of ``classes``.

    Raises:
        DataError: when an image shows no instance, or several.
    """
    place = {name: i for i, name in enumerate(classes)}
    found = []
    for mine in labels:
        if len(mine) != 1:
            raise DataError(
                "the task loss classifies images of one instance each; a scene with "
                f"{len(mine)} instances was drawn: remove the section task, or change the grammar"
            )
        found.append(place.get(mine[0].category, -1))
    return torch.tensor(found)


def train_task_network(
    network: TaskNetwork,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    generator: torch.Generator,
    batch_size: int = 64,
    lr: float = 2e-3,
) -> None:
    """Train in place on images (n, 3, H, W) and labels (n,) with Adam."""
    optimiser = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, max(1, epochs * -(-len(images) // batch_size))
    )
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for chunk in torch.split(order, batch_size):
            loss = F.cross_entropy(network(images[chunk]), labels[chunk])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


_AT_ONCE = 512  # validation images, which bounds the memory
_TELLING = 500  # images: of a class that one in a hundred shows, all but surely some


class TaskReward:
    """Accuracy on labelled validation images as a reward for generated scenes.

    The batch is split into groups. Each group teaches a copy of the task network for a few
    steps; the copy's validation accuracy is that group's reward, and the mean of the other
    groups' rewards its baseline. The gradient of the expected accuracy is then
    ``E[reward of the group * sum of d log q(scene) over the group]``: the draws are detached
    in ``log_prob`` (differentiating a reparametrised draw as well would cancel it to zero).

    Renders of a class that no validation image shows teach nothing: the accuracy cannot tell
    whether that class is known, and is then that of telling the others apart.

    Args:
        images: uint8 (V, H, W, 3).
        labels: int64 (V,).
        classes: names of the Q classes.
        options: weight, groups and steps.
        seed: of the network's weights.
        progress: told of classes that no validation image shows.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        classes: Sequence[str],
        options: Task,
        seed: int,
        progress: Progress,
    ) -> None:
        self.images, self.labels = to_tensor(images), torch.from_numpy(labels)
        self.classes = tuple(classes)
        self.options, self.progress = options, progress
        self.seed = seed
        self._drawn: set[str] = set()  # classes that were seen in so many images
        self._images = 0
        self.begin()

    def begin(self) -> None:
        """Forget what the network has learned, for another attempt."""
        with initial_weights(self.seed):
            self.network = TaskNetwork(len(self.classes))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.options.lr)
        self.accuracy = 0.0

    def loss(self, step: Step, estimate: Estimate, rendered: Rendered) -> Tensor:
        """A loss whose gradient raises the expected accuracy, times the task's weight.

        Args:
            step: the training step.
            estimate: of the discrepancy; its draw is what ``rendered`` shows.
            rendered: the B scenes as drawn.

        Raises:
            DataError: when a scene shows no instance or several, or none so far has shown a
                class that the validation images have.
            TrainingError: when the task network's weights are no numbers any more.
        """
        images = to_tensor(rendered.images)
        labels = class_indices(rendered.labels, self.classes)
        self._images += len(images)
        self._note({mine[0].category for mine in rendered.labels})
        groups = torch.arange(len(images)).chunk(self.options.groups)
        rewards = torch.tensor([self._reward(images[g], labels[g]) for g in groups])
        self._learn(self.network, self.optimiser, images, labels)
        self.accuracy = self._accuracy(self.network)
        return self.options.weight * group_loss(step.distribution, estimate, groups, rewards)

    def _note(self, drawn: set[str]) -> None:
        """Tell, once for each class, which of those drawn no validation image shows.

        Raises:
            DataError: when after many images not one class was a validation image's.
        """
        new = drawn - self._drawn
        self._drawn |= new
        if self._images >= _TELLING and self._drawn.isdisjoint(self.classes):
            raise DataError(
                "the validation images must show classes that the renderer draws; it drew "
                f"{', '.join(sorted(drawn))}, and they show {', '.join(self.classes)}: give "
                "task.images sub-folders of the renderer's names"
            )
        for name in sorted(new.difference(self.classes)):
            self.progress.log(
                f"no validation image shows class {name!r}: the task loss leaves its renders out"
            )

    def _reward(self, images: Tensor, labels: Tensor) -> float:
        student, optimiser = copy.deepcopy((self.network, self.optimiser))
        self._learn(student, optimiser, images, labels)
        return self._accuracy(student)

    def _learn(
        self, network: TaskNetwork, optimiser: torch.optim.Adam, images: Tensor, labels: Tensor
    ) -> None:
        known = labels >= 0
        if not bool(known.all()):
            images, labels = images[known], labels[known]
        if not len(labels):
            return
        for _ in range(self.options.steps):
            loss = F.cross_entropy(network(images), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if not bool(nn.utils.parameters_to_vector(network.parameters()).isfinite().all()):
            raise TrainingError(
                "the task network must stay finite, but its weights came to NaN or infinity: "
                "start a new run with a lower task.lr"
            )

    @torch.no_grad()
    def _accuracy(self, network: TaskNetwork) -> float:
        told = [network(part).argmax(dim=-1) for part in torch.split(self.images, _AT_ONCE)]
        return float((torch.cat(told) == self.labels).float().mean())

    @property
    def digest(self) -> str:
        """SHA-256 of the validation images and their classes."""
        numbers = [part.numpy().tobytes() for part in (self.images, self.labels)]
        return digest(b"".join([*numbers, repr(self.classes).encode()]))

    def state_dict(self) -> dict[str, Any]:
        """The network as trained so far."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "accuracy": self.accuracy,
            "drawn": sorted(self._drawn),
            "images": self._images,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.accuracy = float(state["accuracy"])
        self._drawn, self._images = set(state["drawn"]), int(state["images"])


def group_loss(
    distribution: EditDistribution, estimate: Estimate, groups: Sequence[Tensor], rewards: Tensor
) -> Tensor:
    """The score function loss of rewards (G,) that belong to whole groups of scenes."""
    # Each reward minus the mean of the others: groups are independent, so it adds no bias.
    advantage = (rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1))
    log_prob = distribution.log_prob(estimate.edit)
    summed = torch.stack([log_prob[group].sum() for group in groups])
    return -(advantage * summed).mean()
