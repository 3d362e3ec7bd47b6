"""Reading a batch of scenes into arrays, one entry for each digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim.scene.graph import Attributes, Scene
from metasim_mnist.glyphs import GlyphSet
from metasim_mnist.noise import uniforms

__all__ = ["KINDS", "PLACED", "SHADED", "Batch", "check_values", "read_scenes"]

PLACED: Final = ("x", "y", "yaw", "scale", "shear", "intensity")
"""A digit's numeric attributes, in which the drawing is differentiable."""

SHADED: Final = ("level", "noise")
"""A scene's attributes, in which the drawing is differentiable."""

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "scene": frozenset(SHADED),
    "digit": frozenset({"class", "glyph", *PLACED}),
}
"""The node kinds and attributes of the digit renderers."""

_LIMITS = {"scale": (0.0, 64.0), "shear": (-8.0, 8.0), "noise": (0.0, np.inf)}


@dataclass(frozen=True, slots=True)
class Batch:
    """B scenes with D digits in all.

    Attributes:
        scene: int64 (D,), the scene each digit is in, rising.
        layer: int64 (D,), how many digits of its scene lie behind it.
        node: its index in ``Scene.nodes``, D of them.
        name: its node's name, D of them.
        code: int64 (D,), its class, as a position in ``GlyphSet.classes``.
        exemplar: int64 (D,), its row in ``GlyphSet.images``.
        digits: float64 (D,) by name, for every name in ``PLACED``.
        scenes: float64 (B,) by name, for every name in ``SHADED``.
        seeds: uint64 (B,).
        shader: int64 (B,), index of the node the scene's attributes are read from, -1 if none.
    """

    scene: npt.NDArray[np.int64]
    layer: npt.NDArray[np.int64]
    node: Sequence[int]
    name: Sequence[str]
    code: npt.NDArray[np.int64]
    exemplar: npt.NDArray[np.int64]
    digits: Mapping[str, npt.NDArray[np.float64]]
    scenes: Mapping[str, npt.NDArray[np.float64]]
    seeds: npt.NDArray[np.uint64]
    shader: npt.NDArray[np.int64]


def read_scenes(scenes: Sequence[Scene], glyphs: GlyphSet, size: tuple[int, int]) -> Batch:
    """The attributes of all scenes as arrays, absent ones filled in.

    A digit without ``class`` or ``glyph`` gets one that follows from the scene's seed and
    the node's index; without ``x`` or ``y`` it stands in the middle.

    Args:
        scenes: B scenes.
        glyphs: the exemplars.
        size: (H, W) of the image.

    Raises:
        DataError: naming a kind, class or value that cannot be drawn.
    """
    found, grounds, shader = _walk(scenes)
    attributes = [digit[3] for digit in found]
    scene = np.array([digit[0] for digit in found], np.int64)
    node = [digit[2] for digit in found]
    seeds = np.array([s.seed & 0xFFFFFFFFFFFFFFFF for s in scenes], np.uint64)
    drawn = np.array(node, np.uint64) * np.uint64(2)
    code = _codes(attributes, glyphs, uniforms(seeds[scene], drawn))
    glyph = _column(attributes, "glyph", np.nan)
    glyph = np.where(np.isnan(glyph), uniforms(seeds[scene], drawn + np.uint64(1)), glyph)
    defaults = {"x": size[1] / 2, "y": size[0] / 2, "scale": 1.0, "intensity": 1.0}
    batch = Batch(
        scene=scene,
        layer=np.array([digit[1] for digit in found], np.int64),
        node=node,
        name=[digit[4] for digit in found],
        code=code,
        exemplar=glyphs.exemplar(code, glyph),
        digits={name: _column(attributes, name, defaults.get(name, 0.0)) for name in PLACED},
        scenes={name: _column(grounds, name, 0.0) for name in SHADED},
        seeds=seeds,
        shader=np.array(shader, np.int64),
    )
    check_values({**batch.digits, **batch.scenes})
    return batch


_NOTHING = Attributes()


def _walk(
    scenes: Sequence[Scene],
) -> tuple[list[tuple[int, int, int, Attributes, str]], list[Attributes], list[int]]:
    """(scene, layer, node, attributes, name) of the digits; ground attributes; their nodes."""
    found, grounds, shader = [], [], []
    for row, scene in enumerate(scenes):
        ground, ground_node, layer = _NOTHING, -1, 0
        for index, node in enumerate(scene.nodes):
            if node.kind == "digit":
                found.append((row, layer, index, node.attributes, node.name))
                layer += 1
            elif node.kind != "scene":
                raise DataError(
                    f"this renderer draws nodes of kind {' and '.join(sorted(KINDS))}, got "
                    f"{node.kind!r} (node {node.name!r}); use another renderer or kind"
                )
            elif ground_node < 0:
                ground, ground_node = node.attributes, index
        grounds.append(ground)
        shader.append(ground_node)
    return found, grounds, shader


def _column(attributes: Sequence[Attributes], name: str, default: float) -> npt.NDArray[np.float64]:
    values: list[Any] = [a.get(name, default) for a in attributes]
    try:
        return np.array(values, np.float64)
    except ValueError:
        wrong = next(v for v in values if isinstance(v, str))
        raise DataError(f"attribute {name!r} must be a number, got {wrong!r}") from None


def _codes(
    attributes: Sequence[Attributes], glyphs: GlyphSet, share: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    known = {None: -1, **glyphs.codes}
    try:
        codes = np.array([known[a.get("class")] for a in attributes], np.int64)
    except KeyError as error:
        raise DataError(
            f"a digit's class must be one of {', '.join(glyphs.classes)}, got {error.args[0]!r}"
        ) from None
    return np.where(codes < 0, (share * len(glyphs.classes)).astype(np.int64), codes)


def check_values(values: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Refuse values that cannot be drawn.

    Args:
        values: by attribute, of all digits or scenes.

    Raises:
        DataError: naming the attribute and the first such value.
    """
    for name, given in values.items():
        if not np.isfinite(given).all():
            raise DataError(f"attribute {name!r} must be a finite number, got NaN or infinity")
        low, high = _LIMITS.get(name, (-np.inf, np.inf))
        wrong = given[(given < low) | (given > high)]
        if wrong.size:
            raise DataError(
                f"attribute {name!r} must lie between {low:g} and {high:g}, got {wrong[0]:g}; "
                "give it a range in the grammar"
            )
