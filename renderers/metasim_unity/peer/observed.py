"""The peer as a build that knows nothing of metasim: environment parameters, a camera sensor."""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from metasim.render.base import Renderer
from metasim.scene.graph import Attributes, Node, Scene
from metasim_unity.frames import channel_messages
from metasim_unity.parameters import PARAMETERS, PNG

__all__ = ["Observing", "Watched"]

Watched = Literal["hwc", "chw"]


class Observing:
    """Observes a scene whose attributes are environment parameters, called ``kind.attribute``.

    Args:
        renderer: draws it.
        layout: how an observation's numbers are ordered.
        compressed: whether it is a PNG, or numbers.
        late: by how many messages observations lag behind.
    """

    def __init__(
        self, renderer: Renderer, layout: Watched = "hwc", compressed: bool = True, late: int = 0
    ) -> None:
        self._renderer, self._layout, self._compressed = renderer, layout, compressed
        self._parameters: dict[str, float] = {}
        self._scene = self._built()
        self._frames: deque[dict[str, Any]] = deque(maxlen=late + 1)
        self._look()

    def hear(self, side_channel: bytes, reset: bool) -> None:
        """Take parameters; a reset is when they act."""
        for channel, message in channel_messages(side_channel):
            if channel == PARAMETERS:
                (length,) = struct.unpack_from("<i", message)
                name = bytes(message[4 : 4 + length]).decode()
                (self._parameters[name],) = struct.unpack_from("<f", message, 8 + length)
        if reset:
            self._scene = self._built()
        self._look()

    def side_channel(self) -> bytes:
        """Nothing."""
        return b""

    def observations(self) -> Iterable[Mapping[str, Any]]:
        """What the camera saw, some messages ago."""
        return [self._frames[0]]

    def _built(self) -> Scene:
        told: dict[str, dict[str, float | str]] = {"object": {}}
        for name, value in self._parameters.items():
            kind, _, attribute = name.partition(".")
            if kind not in self._renderer.kinds:
                continue
            classes = self._renderer.known_categories.get(kind, ())
            meant = classes[int(value)] if attribute == "class" else value
            told.setdefault(kind, {})[attribute] = meant
        root = Node("scene", "scene", Attributes(told.pop("scene", {})))
        below = [Node(kind, kind, Attributes(values), 0) for kind, values in told.items()]
        return Scene((root, *below))

    def _look(self) -> None:
        image = self._renderer.render([self._scene]).images[0]
        shape = image.shape if self._layout == "hwc" else (3, *image.shape[:2])
        seen: dict[str, Any] = {"shape": list(shape), "name": "camera"}
        if self._compressed:
            seen |= {"compression_type": PNG, "compressed_data": _png(image)}
        else:
            numbers = image if self._layout == "hwc" else np.moveaxis(image, 2, 0)
            seen["float_data"] = (numbers.astype(np.float32) / 255).ravel().tolist()
        self._frames.append(seen)


def _png(image: Any) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()
