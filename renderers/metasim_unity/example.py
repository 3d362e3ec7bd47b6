"""What the sample scene understands, and a grammar that shows all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["EXAMPLE", "KINDS"]

_COLOUR: Final = frozenset({"red", "green", "blue"})

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "scene": _COLOUR | {"ambient"},
    "table": _COLOUR | {"width", "depth"},
    "object": _COLOUR | {"class", "x", "y", "z", "yaw", "roll", "pitch", "scale"},
    "light": _COLOUR | {"azimuth", "elevation", "strength"},
    "camera": frozenset({"distance", "azimuth", "elevation", "fov", "x", "y", "z"}),
}
"""Kinds and attributes of the sample scene of metasim's Unity package, and of the peer."""


def _learned(value: float, low: float, high: float, unit: str = "", **more: Any) -> dict[str, Any]:
    said = {"prior": value, "range": [low, high], "mutable": True, **more}
    return {**said, "unit": unit} if unit else said


def _turn(value: float) -> dict[str, Any]:
    return _learned(value, 0, 360, "deg", periodic=True)


def _colour(red: float, green: float, blue: float, low: float = 0.0) -> dict[str, Any]:
    return {
        name: _learned(value, low, 1)
        for name, value in (("red", red), ("green", green), ("blue", blue))
    }


def _spread(low: float, high: float) -> dict[str, Any]:
    return {"prior": {"uniform": {"low": low, "high": high}}}


EXAMPLE: Final[dict[str, Any]] = {
    "root": {
        "name": "scene",
        "kind": "scene",
        "attributes": {**_colour(0.3, 0.35, 0.4), "ambient": _learned(0.35, 0, 1)},
        "children": [
            {
                "name": "table",
                "kind": "table",
                "attributes": {
                    "width": _learned(1.0, 0.6, 1.4, "m"),
                    "depth": _learned(1.0, 0.6, 1.4, "m"),
                    **_colour(0.8, 0.75, 0.7, 0.3),
                },
            },
            {
                "name": "light",
                "kind": "light",
                "attributes": {
                    "azimuth": _turn(315),
                    "elevation": _learned(50, 20, 90, "deg"),
                    "strength": _learned(0.8, 0.2, 1.2),
                    **_colour(0.9, 0.9, 0.9, 0.6),
                },
            },
            {
                "name": "camera",
                "kind": "camera",
                "attributes": {
                    "distance": _learned(1.6, 1.2, 2.4, "m"),
                    "azimuth": _turn(0),
                    "elevation": _learned(45, 20, 90, "deg"),
                    "fov": _learned(40, 25, 60, "deg"),
                    "x": _learned(0, -0.2, 0.2, "m"),
                    "y": _learned(0, -0.2, 0.2, "m"),
                    "z": _learned(0.05, 0, 0.2, "m"),
                },
            },
            {
                "name": "object",
                "kind": "object",
                "count": {"choice": {"values": [1, 2, 3]}},
                "attributes": {
                    "class": {"prior": {"choice": {"values": ["car", "mug", "house", "chair"]}}},
                    "x": {**_learned(0, -0.4, 0.4, "m"), **_spread(-0.3, 0.3)},
                    "y": {**_learned(0, -0.4, 0.4, "m"), **_spread(-0.3, 0.3)},
                    "z": _learned(0, 0, 0.2, "m"),
                    "yaw": {**_turn(0), **_spread(0, 360)},
                    "roll": _turn(0),
                    "pitch": _turn(0),
                    "scale": _learned(1, 0.7, 1.4),
                    **_colour(0.9, 0.9, 0.9, 0.2),
                },
            },
        ],
    }
}
