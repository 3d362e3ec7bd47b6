"""Methods of refinement that train in no time, on images of 16 x 16 pixels."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from metasim.refine.options import Refine, Trained

__all__ = ["METHODS", "small"]

_SETTINGS: dict[str, dict[str, Any]] = {
    "simgan": {"width": 4, "blocks": 1},
    "cyclegan": {"width": 4, "blocks": 1, "discriminator_width": 4},
    "cut": {"width": 4, "blocks": 1, "discriminator_width": 4, "patches": 8, "embedding": 4},
    "unit": {"width": 4, "blocks": 1, "layers": 2},
    "pix2pix": {"width": 4, "depth": 3, "discriminator_width": 4},
    "spade": {"width": 2, "hidden": 4, "halvings": 2, "layers": 2},
}
METHODS = tuple(_SETTINGS)
"""All that train networks."""


def small(method: str, **settings: Any) -> Trained:
    """The settings of a method of small networks, with others over them."""
    given = {"method": method, **_SETTINGS[method], **settings}
    options = TypeAdapter[Refine](Refine).validate_python(given)
    assert isinstance(options, Trained)
    return options
