"""Feature extractors as plain data, so that a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metasim.errors import RunError
from metasim.learn import options as settings
from metasim.learn.codec import SceneCodec
from metasim.learn.features.base import Combined, FeatureExtractor
from metasim.learn.features.lesson import Lesson
from metasim.learn.features.pretrained import PretrainedFeatures, load_pretrained
from metasim.learn.features.simple import PixelFeatures, RandomConvFeatures
from metasim.learn.features.simulator import SimulatorNetwork
from metasim.learn.features.tasknet import TaskNetFeatures
from metasim.learn.initial import initial_weights

__all__ = ["describe_features", "restore_features"]


def describe_features(extractor: FeatureExtractor) -> dict[str, Any]:
    """What :func:`restore_features` needs, in tensors, strings, numbers, lists and dicts.

    Pretrained weights are not part of it, only a fingerprint of them: they are on disk, or
    at the hub, already.
    """
    parts = extractor.parts if isinstance(extractor, Combined) else [extractor]
    return {"parts": [_describe(part) for part in parts]}


def restore_features(
    description: Mapping[str, Any],
    codec: SceneCodec,
    options: settings.Features | Sequence[settings.Features],
) -> FeatureExtractor:
    """The extractor that :func:`describe_features` described; nothing is rendered or taught.

    Args:
        description: from a checkpoint.
        codec: of the grammar.
        options: as they were given to ``make_features``.

    Raises:
        RunError: when the description is damaged, or that of other features.
    """
    every = [options] if isinstance(options, settings.Options) else list(options)
    try:
        parts = list(description["parts"])
        if [part["use"] for part in parts] != [option.use for option in every]:
            raise RunError(
                f"the checkpoint must hold features {[option.use for option in every]}, got "
                f"{[part['use'] for part in parts]}; resume with the settings the run was "
                "started with"
            )
        with initial_weights():
            made = [_restore(p, codec, o) for p, o in zip(parts, every, strict=True)]
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise RunError(
            f"the checkpoint's features must fit this experiment, but do not ({first}); resume "
            "with the settings the run was started with, or from another checkpoint"
        ) from None
    return made[0] if len(made) == 1 else Combined(made).eval()


def _describe(part: Any) -> dict[str, Any]:
    state = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    match part:
        case SimulatorNetwork():
            return {
                "use": "simulator",
                "categories": list(part.lesson.categories),
                "image_size": list(part.lesson.image_size),
                "windows": part.lesson.windows,
                "width": part.width,
                "size": part.size,
                "randomised": part.randomised,
                "state": state,
            }
        case PixelFeatures():
            return {"use": "pixels", "size": part.size, "state": state}
        case RandomConvFeatures():
            return {"use": "random_conv", "size": part.size, "state": state}
        case TaskNetFeatures():
            return {
                "use": "tasknet",
                "categories": list(part.categories),
                "size": part.size,
                "exclusive": part.exclusive,
                "state": state,
            }
        case PretrainedFeatures():
            return {
                "use": "pretrained",
                "model": part.model,
                "fingerprint": part.fingerprint,
                "state": {name: state[name] for name in ("centre", "spread")},
            }
    raise TypeError(f"{type(part).__name__} cannot be described")


def _restore(
    data: Mapping[str, Any], codec: SceneCodec, option: settings.Features
) -> FeatureExtractor:
    part: FeatureExtractor
    match option:
        case settings.SimulatorFeatures():
            height, width = data["image_size"]
            lesson = Lesson(codec, data["categories"], (height, width), data["windows"])
            part = SimulatorNetwork(lesson, data["width"], data["size"])
            part.randomised = data["randomised"]
        case settings.PixelFeatures():
            part = PixelFeatures(data["size"])
        case settings.RandomConvFeatures():
            part = RandomConvFeatures(data["size"])
        case settings.TaskNetFeatures():
            part = TaskNetFeatures(data["categories"], data["size"], exclusive=data["exclusive"])
        case settings.PretrainedFeatures():
            return _restore_pretrained(data, option)
    part.load_state_dict(data["state"])
    return part.eval().requires_grad_(False)


def _restore_pretrained(
    data: Mapping[str, Any], option: settings.PretrainedFeatures
) -> PretrainedFeatures:
    part = load_pretrained(option.model, option.weights)
    if part.fingerprint != data["fingerprint"]:
        raise RunError(
            f"the weights of {option.model!r} must be those the run was started with, but they "
            "have changed; bring the old file back, or start a new run"
        )
    part.centre.copy_(data["state"]["centre"])
    part.spread.copy_(data["state"]["spread"])
    return part
