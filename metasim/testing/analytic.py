"""A renderer whose images are closed-form functions of the scene's attributes.

Gradients of anything computed from its images are known exactly, by automatic
differentiation of :meth:`AnalyticRenderer.render_tensor`; estimators are tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError, did_you_mean
from metasim.render.base import Label, Rendered, Renderer
from metasim.scene.graph import Scene

if TYPE_CHECKING:
    import torch

__all__ = ["AnalyticRenderer"]

_OPAQUE = 0.25
_REACH = 9  # pixels from a blob's middle beyond which it is below _OPAQUE for certain
_MOVES = ("x", "y", "yaw")


class AnalyticRenderer(Renderer):
    """Draws blobs: a long lobe and a small round one at its head, both Gaussian.

    With d the way from (x, y) to a pixel's centre, a its part along the blob's heading and
    b its part across, both in pixels, a blob's brightness there is::

        0.6 exp(-a^2 / 12.5 - b^2 / 2.88) + 0.35 exp(-((a - 3)^2 + b^2) / 2.42)

    Several blobs combine as ``1 - prod(1 - brightness)``. At yaw 0 the heading is to the
    right, and it turns counter-clockwise as seen, so no turn but a full one looks the same.
    A pixel belongs to the front-most (last) blob that is brighter than 0.25 there.

    Kinds: ``scene`` (no attributes) and ``blob`` (``x`` and ``y`` in pixels, the middle of
    the image where absent; ``yaw`` in degrees).
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = {
        "scene": frozenset(),
        "blob": frozenset(_MOVES),
    }
    differentiable: ClassVar[frozenset[str]] = frozenset(_MOVES)
    example: ClassVar[Mapping[str, Any] | None] = {
        "root": {
            "name": "scene",
            "kind": "scene",
            "children": [
                {
                    "name": "blob",
                    "kind": "blob",
                    "attributes": {
                        "x": {
                            "prior": {"normal": {"mean": 8, "std": 2}},
                            "unit": "px",
                            "range": [0, 16],
                            "mutable": True,
                        },
                        "y": {
                            "prior": {"normal": {"mean": 8, "std": 2}},
                            "unit": "px",
                            "range": [0, 16],
                            "mutable": True,
                        },
                        "yaw": {
                            "prior": {"normal": {"mean": 0, "std": 10}},
                            "unit": "deg",
                            "range": [0, 360],
                            "mutable": True,
                            "periodic": True,
                        },
                    },
                }
            ],
        }
    }

    def __init__(self, image_size: Sequence[int] = (16, 16)) -> None:
        self.image_size = (int(image_size[0]), int(image_size[1]))

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, brightness rounded to whole levels of 255."""
        shape = (len(scenes), *self.image_size)
        images, instances = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int32)
        labels = []
        for row, scene in enumerate(scenes):
            blobs = self._blobs(scene)
            dark = np.ones(self.image_size)
            for instance, place in enumerate(blobs.values(), start=1):
                bright = _brightness(np, *_pixels(self.image_size), *place)
                dark *= 1 - bright
                instances[row][bright > _OPAQUE] = instance
            images[row] = np.rint((1 - dark) * 255).astype(np.uint8)[..., None]
            labels.append(
                tuple(
                    _label(scene, node, instance, place, instances[row] == instance)
                    for instance, (node, place) in enumerate(blobs.items(), start=1)
                )
            )
        return Rendered(images, instances, tuple(labels))

    def render_tensor(
        self,
        scenes: Sequence[Scene],
        overrides: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Draw a batch of scenes exactly, with gradients.

        Args:
            scenes: B scenes.
            overrides: attribute name -> (rows, values): int64 (R,) rows of the nodes of all
                scenes put one after the other, and their values (R,) in the attribute's unit.

        Returns:
            (B, 3, H, W) in [0, 1], of the values' dtype; float32 where there are none.

        Raises:
            DataError: when there is no such attribute, or a row is not that of a blob.
        """
        import torch

        for name in overrides:
            if name not in _MOVES:
                raise DataError(f"a blob has no {name!r}; {did_you_mean(name, _MOVES)}")
        dtype = next((v.dtype for _, v in overrides.values()), torch.float32)
        pixel_x, pixel_y = (torch.from_numpy(p).to(dtype) for p in _pixels(self.image_size))
        filled, first = [], 0
        moved = {
            name: dict(zip(rows.tolist(), values, strict=True))
            for name, (rows, values) in overrides.items()
        }
        for scene in scenes:
            dark = torch.ones(self.image_size, dtype=dtype)
            for node, place in self._blobs(scene).items():
                mine = [
                    moved.get(name, {}).pop(first + node, torch.tensor(value, dtype=dtype))
                    for name, value in zip(_MOVES, place, strict=True)
                ]
                dark = dark * (1 - _brightness(torch, pixel_x, pixel_y, *mine))
            filled.append(1 - dark)
            first += len(scene.nodes)
        for name, left in moved.items():
            if left:
                raise DataError(f"row {next(iter(left))} of {name!r} must be that of a blob")
        grey = torch.stack(filled) if filled else torch.zeros((0, *self.image_size), dtype=dtype)
        return grey[:, None].expand(-1, 3, -1, -1)

    def _blobs(self, scene: Scene) -> dict[int, tuple[float, float, float]]:
        """(x, y, yaw) of the blobs, by node index."""
        height, width = self.image_size
        return {
            index: (
                float(node.attributes.get("x", width / 2)),
                float(node.attributes.get("y", height / 2)),
                float(node.attributes.get("yaw", 0.0)),
            )
            for index, node in enumerate(scene.nodes)
            if node.kind == "blob"
        }


def _pixels(size: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres of the pixels: x (1, W) and y (H, 1)."""
    return np.arange(size[1])[None, :] + 0.5, np.arange(size[0])[:, None] + 0.5


def _brightness(xp: Any, pixel_x: Any, pixel_y: Any, x: Any, y: Any, yaw: Any) -> Any:
    """The formula of the class, for numpy or torch."""
    cos, sin = xp.cos(yaw * (math.pi / 180)), xp.sin(yaw * (math.pi / 180))
    dx, dy = pixel_x - x, pixel_y - y
    along, across = cos * dx - sin * dy, sin * dx + cos * dy
    body = 0.6 * xp.exp(-(along**2) / 12.5 - across**2 / 2.88)
    return body + 0.35 * xp.exp(-((along - 3) ** 2 + across**2) / 2.42)


def _label(
    scene: Scene,
    node: int,
    instance: int,
    place: tuple[float, float, float],
    mask: npt.NDArray[np.bool_],
) -> Label:
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    x, y, yaw = place
    around = np.arange(-_REACH, _REACH + 1) + 0.5
    window = (math.floor(x) + around)[None, :], (math.floor(y) + around)[:, None]
    own = int(np.count_nonzero(_brightness(np, *window, x, y, yaw) > _OPAQUE))
    name = scene.nodes[node].name
    return Label(instance, node, name, "blob", "blob", box, rows.size / max(own, 1))
