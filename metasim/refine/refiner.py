"""Refiners as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import TypeAdapter, ValidationError

from metasim.errors import DataError
from metasim.learn.archive import unpack
from metasim.refine.base import Form, Refiner
from metasim.refine.conditions import channels
from metasim.refine.make import make_method
from metasim.refine.options import Encoded, Refine, Trained
from metasim.refine.styled import StyledRefiner
from metasim.refine.trained import TrainedRefiner

__all__ = [
    "Form",
    "Refiner",
    "StyledRefiner",
    "TrainedRefiner",
    "read_refiner",
    "read_state",
    "refiner_of",
]

_SETTINGS: Final = TypeAdapter[Refine](Refine)


def read_refiner(path: Path, device: torch.device | None = None) -> Refiner:
    """The refiner in a file.

    Raises:
        DataError: when there is none, or it is damaged, or VGG19, where it needs that, is not what
            it was made with.
        MissingExtraError: when VGG19 must be fetched, and what does that is missing.
    """
    return refiner_of(read_state(path), path, device)


def read_state(path: Path) -> dict[str, Any]:
    """What a refiner's file holds.

    Raises:
        DataError: when there is none, or it is damaged.
    """
    try:
        return unpack(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} must be a refiner's file: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can make torch's reader raise anything
        raise DataError(
            f"{path} must be a refiner's file, as metasim writes it, but is not, or is damaged "
            f"({type(error).__name__})"
        ) from None


def refiner_of(state: Mapping[str, Any], path: Path, device: torch.device | None = None) -> Refiner:
    """The refiner that a state tells of.

    Raises:
        DataError: when it does not fit.
        MissingExtraError: when VGG19 must be fetched, and what does that is missing.
    """
    try:
        options = _SETTINGS.validate_python(state["options"])
        high, wide = state["size"]
        form = Form((high, wide), tuple(state["condition"]), tuple(state["classes"]))
        if isinstance(options, Trained):
            return _trained(state, options, form, device)
        return _styled(state, options, form, path, device)
    except (LookupError, TypeError, ValueError, RuntimeError, ValidationError) as error:
        raise DataError(
            f"{path} must hold the networks of the method that it names, but they do not fit "
            f"({' '.join(str(error).split())[:200]})"
        ) from None


def _trained(
    state: Mapping[str, Any], options: Trained, form: Form, device: torch.device | None
) -> TrainedRefiner:
    told = channels(form.condition, form.classes)
    method = make_method(options, form.size, told, seed=0, training=False)
    method.load_state_dict(state["networks"])
    return TrainedRefiner(options, method, form, device)


def _styled(
    state: Mapping[str, Any],
    options: Encoded,
    form: Form,
    path: Path,
    device: torch.device | None,
) -> StyledRefiner:
    found = StyledRefiner(options, state["styles"].numpy(), form, int(state["seed"]), device)
    if found.fingerprint != state["encoder"]:
        source = options.weights or "what torchvision gives"
        raise DataError(
            f"{path} must be used with the weights of VGG19 that it was made with, but {source} "
            f"has others (fingerprint {found.fingerprint}, not {state['encoder']}); bring the "
            "weights back, or make another refiner"
        )
    return found
