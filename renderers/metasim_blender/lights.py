"""Lamps: suns where images are to be fast, discs near by where they are to look real."""

from __future__ import annotations

import math
from typing import Any, Final

from metasim_blender.colour import linear
from metasim_blender.vocabulary import Light

__all__ = ["put_out", "set_lamp", "set_sun"]

_GOOD: Final = 0.8  # light reflected by white that faces a light of strength 1
_AWAY: Final = 3.0  # metres from the table's middle to a lamp
_SMALLEST: Final = 0.1  # degrees; a disc without extent has no light to give


def set_sun(lamp: Any, light: Light) -> None:
    """Parallel light; its strength is in W/m2 at right angles."""
    _turn(lamp, light)
    lamp.data.energy = math.pi * _GOOD * light.strength
    lamp.data.angle = math.radians(light.size)


def set_lamp(lamp: Any, light: Light) -> None:
    """A disc that from the table's middle is as bright and as large as the sun it stands for."""
    _turn(lamp, light)
    across, up = math.radians(light.azimuth), math.radians(light.elevation)
    lamp.location = (
        _AWAY * math.cos(up) * math.sin(across),
        -_AWAY * math.cos(up) * math.cos(across),
        _AWAY * math.sin(up),
    )
    lamp.data.shape = "DISK"
    lamp.data.size = 2 * _AWAY * math.tan(math.radians(max(light.size, _SMALLEST)) / 2)
    # Of its watts a disc gives 1 / pi^2 per square metre and metre of distance squared ahead.
    lamp.data.energy = math.pi**2 * _AWAY**2 * _GOOD * light.strength
    lamp.visible_camera = False


def put_out(lamp: Any) -> None:
    """No light; Cycles then leaves the lamp out of its samples."""
    lamp.data.energy = 0.0


def _turn(lamp: Any, light: Light) -> None:
    lamp.rotation_euler = (math.radians(90 - light.elevation), 0.0, math.radians(light.azimuth))
    lamp.data.color = linear(light.colour).tolist()
