"""What the gate asks of an image: its outlines, and what the simulator's own network reads in it.

Letters: N images, G nodes that the network looks for, Q categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.learn.features import Combined, FeatureExtractor, SimulatorNetwork
from metasim.learn.features.base import to_tensor
from metasim.refine.fidelity import agreement, distances, outlines
from metasim.refine.gate import Gate, Judged, Scores, calibrate
from metasim.render.base import Rendered
from metasim.scene.attribute import Attribute
from metasim.scene.graph import Scene

__all__ = ["Examiner", "Labelled", "Questions", "calibrated", "simulator_network"]

Array = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """N scenes, and what their renderer drew and knows of them."""

    scenes: Sequence[Scene]
    drawn: Rendered

    def __len__(self) -> int:
        """How many there are."""
        return len(self.scenes)


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of the gate.

    Attributes:
        network: what reads attributes and classes; without it outlines are all that is asked for.
        error: its mean absolute error on renders, by attribute, in the attribute's unit.
    """

    network: SimulatorNetwork | None = None
    error: dict[str, float] = field(default_factory=dict)

    def ask(self, images: Images, known: Labelled) -> Scores:
        """How well images answer for labels, one number each and the more the better.

        "outlines" is of the edges on the borders of instances, "attributes" of what is read of the
        worst attribute, "classes" the probability that the network gives to the right ones.

        Args:
            images: uint8 (N, H, W, 3), refined or not.
            known: their labels.

        Returns:
            float64 (N,) by question.
        """
        scores = {"outlines": outlines(images, known.drawn.instances)}
        if self.network is None:
            return scores
        read, truth, classes = _read(self.network, images, known)
        if self.error:
            codec = self.network.lesson.codec
            specs = zip(codec.labels, codec.specs(), strict=True)
            periods = {label: period for label, spec in specs if (period := _period(spec))}
            scores["attributes"] = agreement(read, truth, self.error, periods)
        if len(self.network.lesson.categories) > 1:
            scores["classes"] = classes
        return scores


def simulator_network(extractor: FeatureExtractor) -> SimulatorNetwork | None:
    """The network among the features that the simulator's labels taught; None without one."""
    parts = extractor.parts if isinstance(extractor, Combined) else [extractor]
    return next((part for part in parts if isinstance(part, SimulatorNetwork)), None)


def calibrated(
    extractor: FeatureExtractor, own: Labelled, others: Labelled, wrong_passes: float
) -> Examiner:
    """What judges refined images, calibrated on renders that were not refined.

    Args:
        extractor: of the experiment, whose network reads the images where there is one.
        own: N renders with their own labels.
        others: N other scenes, whose labels those renders do not answer for.
        wrong_passes: the share of those labels that each question may let pass.

    Raises:
        DataError: when no question tells one from the other.
    """
    images, network = own.drawn.images, simulator_network(extractor)
    questions = Questions(network, _errors(network, images, own) if network else {})
    right, wrong = questions.ask(images, own), questions.ask(images, others)
    return Examiner(questions, calibrate(right, wrong, wrong_passes))


def _errors(network: SimulatorNetwork, images: Images, known: Labelled) -> dict[str, float]:
    """How far what is read is from the truth, in the mean, by attribute that is seen at all."""
    read, truth, _ = _read(network, images, known)
    codec, error = network.lesson.codec, {}
    for label, spec in zip(codec.labels, codec.specs(), strict=True):
        apart = distances(read[label], truth[label], _period(spec))
        if not np.isnan(apart).all():
            error[label] = float(np.nanmean(apart))
    return error


@dataclass(frozen=True, slots=True)
class Examiner:
    """Asks its questions of refined images, and judges the answers.

    Attributes:
        questions: of the gate.
        gate: calibrated for them.
    """

    questions: Questions
    gate: Gate

    def judge(self, images: Images, known: Labelled) -> Judged:
        """Which images (N, H, W, 3) still show what their labels say."""
        scores = self.questions.ask(images, known)
        return self.gate.judge({name: scores[name] for name in self.gate.thresholds})

    def to_json(self) -> dict[str, Any]:
        """As plain data; the network is not part of it."""
        return {**self.gate.to_json(), "error": dict(self.questions.error)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], extractor: FeatureExtractor) -> Examiner:
        """What :meth:`to_json` gave.

        Args:
            data: of the gate.
            extractor: of the same experiment.
        """
        error = {str(name): float(value) for name, value in data["error"].items()}
        return cls(Questions(simulator_network(extractor), error), Gate.from_json(data))


def _period(spec: Attribute) -> float | None:
    """The length of a periodic attribute's circle, in its unit."""
    low, high = spec.range or (0.0, 0.0)
    return high - low if spec.periodic else None


@torch.no_grad()
def _read(
    network: SimulatorNetwork, images: Images, known: Labelled
) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """What is read of each attribute, what is known (N,), and the right classes' probability (N,).

    What a scene does not have, or does not show, is NaN.
    """
    lesson, chunk = network.lesson, network.chunk
    readings, logits = [], []
    for start in range(0, len(images), chunk):
        features, _ = network.look(to_tensor(images[start : start + chunk]))
        told, classes = network.read(features)
        readings.append(told.cpu())
        logits.append(classes.cpu())
    truth = lesson.truth_of(known.scenes, known.drawn.labels, lesson.cells_of(known.drawn))
    read, right = lesson.values(torch.cat(readings)), lesson.values(truth.readings)
    shown: dict[str, Array] = {}
    for label, (place, _, _) in zip(lesson.codec.labels, lesson.columns, strict=True):
        shown[label] = torch.where(truth.present[:, place], right[label], torch.nan).numpy()
    return (
        {label: values.numpy() for label, values in read.items()},
        shown,
        _of_the_right_classes(torch.cat(logits), truth.categories, truth.present),
    )


def _of_the_right_classes(logits: Tensor, shares: Tensor, present: Tensor) -> Array:
    """The mean probability, over the nodes that are seen, of what they are; 1 where none is.

    Args:
        logits: (N, G, Q).
        shares: (N, G, Q), of each category among a node's instances.
        present: bool (N, G).
    """
    if not shares.shape[-1]:
        return np.ones(len(logits))
    found = (logits.softmax(-1) * shares).sum(-1)
    seen = present & (shares.sum(-1) > 0)
    count = seen.sum(1)
    mean = (found * seen).sum(1) / count.clamp(min=1)
    return torch.where(count > 0, mean, 1.0).double().numpy()
