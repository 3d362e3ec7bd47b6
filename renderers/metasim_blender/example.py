"""A grammar that shows all kinds and attributes."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["EXAMPLE"]


def _learned(value: float, low: float, high: float, unit: str = "", **more: Any) -> dict[str, Any]:
    said = {"prior": value, "range": [low, high], "mutable": True, **more}
    return {**said, "unit": unit} if unit else said


def _turn(value: float) -> dict[str, Any]:
    return _learned(value, 0, 360, "deg", periodic=True)


def _of(*names: str) -> dict[str, Any]:
    return {"prior": {"choice": {"values": list(names)}}}


EXAMPLE: Final[dict[str, Any]] = {
    "root": {
        "name": "scene",
        "kind": "scene",
        "attributes": {
            "red": _learned(0.3, 0, 1),
            "green": _learned(0.35, 0, 1),
            "blue": _learned(0.4, 0, 1),
            "ambient": _learned(0.35, 0, 1),
            "image": _of("plain", "wood", "speckle"),
        },
        "children": [
            {
                "name": "table",
                "kind": "table",
                "attributes": {
                    "width": _learned(1.0, 0.6, 1.4, "m"),
                    "depth": _learned(1.0, 0.6, 1.4, "m"),
                    "red": _learned(0.8, 0.3, 1),
                    "green": _learned(0.75, 0.3, 1),
                    "blue": _learned(0.7, 0.3, 1),
                    "texture": _of("plain", "wood", "checks", "speckle"),
                },
            },
            {
                "name": "light",
                "kind": "light",
                "attributes": {
                    "azimuth": _turn(315),
                    "elevation": _learned(50, 20, 90, "deg"),
                    "strength": _learned(1, 0.2, 1.5),
                    "red": _learned(1, 0.6, 1),
                    "green": _learned(1, 0.6, 1),
                    "blue": _learned(1, 0.6, 1),
                    "size": _learned(1, 0, 40, "deg"),
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
                    "class": _of("car", "mug", "teapot", "watering_can"),
                    "x": {
                        **_learned(0, -0.4, 0.4, "m"),
                        "prior": {"uniform": {"low": -0.3, "high": 0.3}},
                    },
                    "y": {
                        **_learned(0, -0.4, 0.4, "m"),
                        "prior": {"uniform": {"low": -0.3, "high": 0.3}},
                    },
                    "z": _learned(0, 0, 0.2, "m"),
                    "yaw": {**_turn(0), "prior": {"uniform": {"low": 0, "high": 360}}},
                    "roll": _turn(0),
                    "pitch": _turn(0),
                    "scale": _learned(1, 0.7, 1.4),
                    "red": _learned(1, 0.2, 1),
                    "green": _learned(1, 0.2, 1),
                    "blue": _learned(1, 0.2, 1),
                    "texture": _of("plain", "stripes"),
                },
            },
        ],
    }
}
