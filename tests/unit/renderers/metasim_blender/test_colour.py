"""SRGB to linear light and back."""

from __future__ import annotations

import numpy as np
import pytest

from metasim_blender.colour import linear, quantise, srgb


def test_known_values():
    """Of IEC 61966-2-1: mid-grey 188 is half of the light."""
    np.testing.assert_allclose(linear([0, 0.04045, 1]), [0, 0.0031308, 1], atol=1e-7)
    assert 255 * srgb(0.5) == pytest.approx(187.5, abs=0.1)


def test_every_level_comes_back():
    levels = np.arange(256)
    assert (quantise(linear(levels / 255).astype(np.float32)) == levels).all()


def test_light_is_rounded_to_the_nearest_level():
    light = np.linspace(0, 1, 100_001)
    off = np.abs(255 * srgb(light) - quantise(light.astype(np.float32)))
    assert off.max() < 0.53


def test_what_is_too_bright_is_white():
    assert quantise(np.array([-1, 1.0, 7.5, 1e9], np.float32)).tolist() == [0, 255, 255, 255]
