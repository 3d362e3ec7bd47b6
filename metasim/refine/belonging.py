"""What a refinement was begun with, so that it goes on with nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from metasim.refine.base import Form
from metasim.refine.options import Encoded, Trained
from metasim.refine.sampling import Domains

__all__ = ["belongings", "differences"]


def belongings(
    options: Trained | Encoded, domains: Domains, form: Form, seed: int
) -> dict[str, Any]:
    """Digests of all images, and the settings, as plain data.

    Which preset filled in settings does not count, nor do those that are of experiments alone.
    """
    settings = options.model_dump(mode="json")
    return {
        "renders": _digest(domains.sim),
        "target images": _digest(domains.real),
        "conditions": "" if domains.condition is None else _digest(domains.condition),
        "pairs": domains.paired,
        "form": [list(form.size), list(form.condition), list(form.classes)],
        "seed": seed,
        "settings": {
            name: value
            for name, value in settings.items()
            if name not in options.of_experiments | {"preset"}
        },
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, for people; of settings the name, and both values."""
    told = []
    for name, value in now.items():
        known = before.get(name)
        if name != "settings":
            if known != value:
                told.append(f"{known} became {value}" if name == "seed" else f"other {name}")
            continue
        known = known if isinstance(known, Mapping) else {}
        told += [
            f"{key} {known.get(key)!r} became {value.get(key)!r}"
            for key in {**known, **value}
            if known.get(key) != value.get(key)
        ]
    return told


def _digest(images: npt.NDArray[Any]) -> str:
    """Of the shape and of all values, without a copy of them."""
    found = hashlib.sha256(f"{images.dtype} {images.shape}".encode())
    for image in images:
        found.update(image.tobytes())
    return found.hexdigest()
