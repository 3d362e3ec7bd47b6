"""From settings to feature extractors, taught and standardised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.errors import ConfigError
from metasim.learn import options as settings
from metasim.learn.features.base import Combined, FeatureExtractor
from metasim.learn.features.lesson import make_lesson
from metasim.learn.features.pretrained import PretrainedFeatures, load_pretrained
from metasim.learn.features.simple import PixelFeatures, RandomConvFeatures
from metasim.learn.features.simulator import SimulatorNetwork
from metasim.learn.features.tasknet import TaskNetFeatures, category_targets, teach_categories
from metasim.learn.features.teach import Grade, grade, teach
from metasim.learn.features.wide import Classroom, Labelled, draw_labelled, wide_scenes
from metasim.learn.initial import initial_weights
from metasim.rng import derive
from metasim.scene.graph import Scene

__all__ = ["Taught", "make_features", "teach_near"]

_STANDARDISING = 1000  # wide renders that features are standardised with at least
_TRIES = 3
_HELD_OUT = 10  # one image in this many
_AGAIN_PEAK = 1e-3


@dataclass(frozen=True)
class Taught:
    """A feature extractor, and what it was made from.

    Attributes:
        extractor: frozen, in eval mode.
        shown: the renders: first those of the widened prior, then those near an estimate.
        wide: how many of them are of the widened prior.
        grade: of simulator-supervised features, on held-out renders; None without them.
    """

    extractor: FeatureExtractor
    shown: Labelled
    wide: int
    grade: Grade | None = None

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes that were rendered."""
        return self.shown.scenes

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """Their images, uint8 (n, H, W, 3)."""
        return self.shown.images

    @property
    def renders(self) -> int:
        """How many images were drawn."""
        return len(self.shown)

    @property
    def error(self) -> dict[str, float]:
        """For each label how badly it is read, 0 to about 1; empty where that is unknown."""
        return dict(self.grade.error) if self.grade else {}


def make_features(
    options: settings.Features | Sequence[settings.Features], classroom: Classroom
) -> Taught:
    """The extractor that ``options`` ask for, side by side where there are several.

    All of them are taught and standardised with the same renders of the widened prior.

    Args:
        options: one or more of the feature classes in :mod:`metasim.learn.options`.
        classroom: what teaching needs.

    Raises:
        ConfigError: when pixels are asked for that the renderer's images do not have.
        RenderError: when the renderer raised, or broke its contract.
        PluginError, MissingExtraError, DataError: when pretrained or task-network features
            cannot be had.
    """
    every = [options] if isinstance(options, settings.Options) else list(options)
    for option in every:
        size = classroom.renderer.image_size
        if isinstance(option, settings.PixelFeatures) and (mistake := option.mistake(size)):
            raise ConfigError(f"features.size of pixels {mistake}")
    # First, as drawing and teaching may take hours, and these may not be there.
    ready = [_loaded(option) for option in every]
    count = max([classroom.at_least, *map(_renders, every)])
    scenes = wide_scenes(classroom, count)
    shown = draw_labelled(classroom, scenes, "rendering for the features")
    parts, grades = [], []
    for index, (option, pretrained) in enumerate(zip(every, ready, strict=True)):
        seeded = replace(classroom, seed=derive(classroom.seed, "features", index))
        part, graded = _make(option, pretrained, shown, seeded)
        parts.append(part.eval().requires_grad_(False).to(classroom.device))
        grades += [graded] if graded else []
    extractor = parts[0] if len(parts) == 1 else Combined(parts).eval()
    return Taught(extractor, shown, len(shown), grades[0] if grades else None)


def teach_near(
    taught: Taught,
    scenes: Sequence[Scene],
    options: settings.Features | Sequence[settings.Features],
    classroom: Classroom,
    number: int,
) -> Taught:
    """Teach simulator-supervised features again, with renders near an estimate added.

    It goes on from the weights there are, as sequential neural posterior estimation does
    (Papamakarios and Murray, 2016). Other features stay as they are. The features keep
    being standardised by the widened prior's renders.

    Args:
        taught: from :func:`make_features` or from here; its extractor is changed in place.
        scenes: to render.
        options: as they were given to :func:`make_features`.
        classroom: likewise.
        number: of the round, from 0; those that asked for no more rounds stay as they are.
    """
    every = [options] if isinstance(options, settings.Options) else list(options)
    extractor = taught.extractor
    parts = list(extractor.parts) if isinstance(extractor, Combined) else [extractor]
    shown = taught.shown + draw_labelled(classroom, scenes, "rendering near the estimate")
    grades = []
    for index, (part, option) in enumerate(zip(parts, every, strict=True)):
        if not isinstance(option, settings.SimulatorFeatures) or option.refine <= number:
            continue
        if isinstance(part, SimulatorNetwork):
            part.requires_grad_(True)
            seed = derive(classroom.seed, "features", index, "near", len(shown))
            generator = torch.Generator().manual_seed(seed)
            epochs = max(1, option.epochs // 4)
            grades.append(
                _teach(part, shown, option, epochs, generator, classroom, peak=_AGAIN_PEAK)
            )
            part.standardise(shown[: taught.wide].tensor)
            part.requires_grad_(False)
    return Taught(extractor, shown, taught.wide, grades[0] if grades else taught.grade)


def _renders(option: settings.Features) -> int:
    """How many wide renders features need."""
    if isinstance(option, settings.SimulatorFeatures | settings.TaskNetFeatures):
        return option.renders
    return _STANDARDISING


def _loaded(option: settings.Features) -> PretrainedFeatures | None:
    if not isinstance(option, settings.PretrainedFeatures):
        return None
    return load_pretrained(option.model, option.weights)


def _make(
    option: settings.Features,
    pretrained: PretrainedFeatures | None,
    shown: Labelled,
    classroom: Classroom,
) -> tuple[FeatureExtractor, Grade | None]:
    match option:
        case settings.SimulatorFeatures():
            return _simulator(option, shown[: option.renders], classroom)
        case settings.TaskNetFeatures():
            return _tasknet(option, shown[: option.renders], classroom), None
        case settings.PixelFeatures():
            simple: PixelFeatures | RandomConvFeatures = PixelFeatures(option.size)
        case settings.RandomConvFeatures():
            simple = RandomConvFeatures(option.size, option.seed)
        case settings.PretrainedFeatures():
            assert pretrained is not None  # what _loaded gave
            pretrained.to(classroom.device).standardise(shown[:_STANDARDISING].tensor)
            return pretrained, None
    simple.standardise(shown.tensor)
    return simple, None


def _simulator(
    option: settings.SimulatorFeatures, shown: Labelled, classroom: Classroom
) -> tuple[SimulatorNetwork, Grade]:
    """The best of up to three networks, each from another start."""
    size = classroom.renderer.image_size
    lesson = make_lesson(classroom.codec, shown.labels, size)
    best: tuple[SimulatorNetwork, Grade] | None = None
    for attempt in range(_TRIES):
        seed = derive(classroom.seed, "start", attempt)
        generator = torch.Generator().manual_seed(derive(seed, "teach"))
        with initial_weights(seed):
            network = SimulatorNetwork(lesson, option.width, option.size).to(classroom.device)
        graded = _teach(network, shown, option, option.epochs, generator, classroom)
        in_vain = best is not None and _in_vain(best[1], graded, option.max_error)
        if best is None or graded.loss < best[1].loss:
            best = network, graded
        if best[1].worst <= option.max_error or in_vain:
            break
        if attempt + 1 < _TRIES:
            classroom.progress.log(
                f"the features' worst held-out error {best[1].worst:.2f} is above "
                f"{option.max_error:g}; teaching them again from another start"
            )
    assert best is not None  # _TRIES is at least 1
    network, graded = best
    network.standardise(shown.tensor)
    network.randomised = option.randomise_training
    return network, graded


def _in_vain(before: Grade, after: Grade, limit: float) -> bool:
    """Whether another start reads no better what was read badly.

    Then it is not the start that matters: it does not show in the images, or is too hard.
    """
    poor = [label for label, error in before.error.items() if error > limit]
    return all(after.error[label] > 0.9 * before.error[label] for label in poor)


def _teach(
    network: SimulatorNetwork,
    shown: Labelled,
    option: settings.SimulatorFeatures,
    epochs: int,
    generator: torch.Generator,
    classroom: Classroom,
    peak: float = 4e-3,
) -> Grade:
    """Teach and grade; every tenth image is held out."""
    truth = network.lesson.truth_of(shown.scenes, shown.labels, shown.cells)
    images, (known, held_out) = shown.tensor, _split(len(shown))
    classroom.progress.start("teaching the features", epochs)
    teach(
        network,
        images[known],
        truth[known],
        epochs=epochs,
        randomise=option.randomise_appearance,
        generator=generator,
        peak=peak,
        progress=lambda done, total, loss: classroom.progress.advance(done, loss=loss),
    )
    classroom.progress.finish()
    graded = grade(network, images[held_out], truth[held_out])
    errors = ", ".join(f"{label} {error:.2f}" for label, error in graded.error.items())
    classroom.progress.log(f"held-out error (1: as good as the mean): {errors}")
    return graded


def _tasknet(
    option: settings.TaskNetFeatures, shown: Labelled, classroom: Classroom
) -> TaskNetFeatures:
    names, target = category_targets(shown.labels)
    network = TaskNetFeatures(
        names,
        option.size,
        exclusive=bool((target.sum(dim=1) == 1).all()),
        seed=derive(classroom.seed, "start"),
    ).to(classroom.device)
    classroom.progress.start("teaching the task network", option.epochs)
    teach_categories(
        network,
        shown.tensor,
        target,
        epochs=option.epochs,
        generator=torch.Generator().manual_seed(derive(classroom.seed, "teach")),
        progress=lambda done, loss: classroom.progress.advance(done, loss=loss),
    )
    classroom.progress.finish()
    network.standardise(shown.tensor)
    return network


def _split(count: int) -> tuple[Tensor, Tensor]:
    """Rows to teach with, and rows to grade with; the same ones however many follow."""
    rows = torch.arange(count)
    held_out = rows % _HELD_OUT == _HELD_OUT - 1
    if not bool(held_out.any()):
        return rows, rows
    return rows[~held_out], rows[held_out]
