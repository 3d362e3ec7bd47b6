"""Builds that know nothing of metasim: environment parameters in, visual observations out."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt

from metasim.errors import PluginError, RenderError
from metasim.render.geometry import Mesh
from metasim.scene.graph import Scene
from metasim_unity.canvas import Canvas
from metasim_unity.faults import PlayerError
from metasim_unity.frames import on_channel
from metasim_unity.session import Session

__all__ = ["PARAMETERS", "PNG", "Layout", "Observed", "Parameter", "kinds_of", "read_parameters"]

Layout = Literal["auto", "hwc", "chw"]

PARAMETERS: Final = UUID("534c891e-810f-11ea-a9d0-822485860400")
"""ML-Agents' side channel of environment parameters."""

_FLOAT: Final = 0  # the type of a parameter
_SEED: Final = "seed"
_EXCHANGES: Final = 1000  # without an observation
_COLOURS: Final = (1, 3)
PNG: Final = 1  # the type of compression


@dataclass(frozen=True, slots=True)
class Parameter:
    """The environment parameter that an attribute becomes.

    Attributes:
        name: the parameter's.
        scale: by which a number is multiplied.
        offset: that is added then.
        values: the numbers that texts stand for.
    """

    name: str
    scale: float = 1.0
    offset: float = 0.0
    values: Mapping[str, float] | None = None

    def of(self, value: object) -> float:
        """The number for an attribute's value.

        Raises:
            RenderError: when it is a text that has none.
        """
        if isinstance(value, str):
            if self.values is None or value not in self.values:
                raise RenderError(
                    f"the parameter {self.name!r} must have a number for {value!r}: add it to its "
                    f"'values', which are {dict(self.values or {})}"
                )
            return self.values[value]
        assert isinstance(value, (int, float))
        return self.scale * value + self.offset


def read_parameters(told: Mapping[str, Any]) -> dict[tuple[str, str], Parameter]:
    """The option ``parameters``: by kind and attribute, the environment's parameters.

    The seed of a scene is under ``("", "seed")``.

    Raises:
        PluginError: naming what is wrong.
    """
    found = {}
    for key, value in told.items():
        kind, _, attribute = key.rpartition(".")
        if not attribute or not (kind or attribute == _SEED):
            raise PluginError(
                f"keys of 'parameters' must be kind.attribute, or 'seed' for a scene's seed, got "
                f"{key!r}"
            )
        found[kind, attribute] = _parameter(key, value)
    return found


def _parameter(key: str, told: Any) -> Parameter:
    wanted = (
        f"parameters.{key} must be the name of an environment parameter, or a mapping with 'name', "
        f"and 'scale' and 'offset' or 'values' if need be; got {told!r}"
    )
    if isinstance(told, str) and told:
        return Parameter(told)
    if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
        raise PluginError(wanted)
    if {*told} - {"name", "scale", "offset", "values"}:
        raise PluginError(wanted)
    values = told.get("values")
    if values is not None and not isinstance(values, Mapping):
        raise PluginError(wanted)
    numbers = [told.get("scale", 1.0), told.get("offset", 0.0), *(values or {}).values()]
    if not all(_is_number(number) for number in numbers):
        raise PluginError(wanted)
    texts = None if values is None else {str(text): float(n) for text, n in values.items()}
    return Parameter(told["name"], float(numbers[0]), float(numbers[1]), texts)


def _is_number(value: Any) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value)


def kinds_of(told: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The kinds and attributes that the option ``parameters`` speaks of, and a root "scene"."""
    found: dict[str, set[str]] = {"scene": set()}
    for key in told:
        kind, _, attribute = str(key).rpartition(".")
        if kind:
            found.setdefault(kind, set()).add(attribute)
    return {kind: frozenset(names) for kind, names in found.items()}


class Observed:
    """Draws scenes with a build that has an agent with a camera sensor.

    Each scene is a reset with other parameters, and the agent's next observation its image. There
    are no labels, since the build gives none.

    Args:
        session: with the player, which has begun.
        size: (H, W) of the images; the sensor's must be the same.
        parameters: of attributes.
        observation: which of the agent's visual observations is the image.
        settle: steps after the reset, until a frame shows the scene.
        layout: how the numbers of an observation are ordered: rows, columns, colours ("hwc", as
            ML-Agents before 3.0 has it), or colours first ("chw"); "auto" looks at the shape.

    Attributes:
        models: none, since the build tells none.
    """

    def __init__(
        self,
        session: Session,
        size: tuple[int, int],
        parameters: Mapping[tuple[str, str], Parameter],
        observation: int = 0,
        settle: int = 0,
        layout: Layout = "auto",
    ) -> None:
        self._session, self._size, self._parameters = session, size, parameters
        self._observation, self._settle, self._layout = observation, settle, layout
        self.models: Mapping[str, Mesh] = {}

    def canvas(self, count: int) -> Canvas:
        """What so many images are drawn on."""
        return Canvas(count, self._size, ("images", "instances"), seen=False)

    def draw(self, canvas: Canvas, scenes: Sequence[Scene]) -> None:
        """Draw the rest of a batch.

        Args:
            canvas: of the whole batch.
            scenes: the whole batch.

        Raises:
            PlayerError: when the player is gone, or observes nothing that can be used.
            RenderError: when a scene cannot be told in parameters.
        """
        for row in range(canvas.drawn, len(scenes)):
            canvas.planes["images"][row] = self._draw(scenes[row], row)
            canvas.planes["instances"][row] = 0
            canvas.labels.append(())

    def _draw(self, scene: Scene, row: int) -> npt.NDArray[np.uint8]:
        """What is seen of a scene, the batch's row-th."""
        told = b"".join(
            on_channel(_message(name, value), channel=PARAMETERS)
            for name, value in _values(scene, self._parameters, row)
        )
        heard = self._session.exchange(told, reset=True)
        for _ in range(self._settle):
            heard = self._session.exchange(b"")
        image = self._image(heard)
        for _ in range(_EXCHANGES):
            if image is not None:
                break
            image = self._image(self._session.exchange(b""))
        if image is None:
            raise PlayerError(
                f"an agent of the build must observe something, but did not in {_EXCHANGES} steps; "
                "give it a CameraSensorComponent, and behaviour type Default"
            )
        return image

    def _image(self, heard: Any) -> npt.NDArray[np.uint8] | None:
        """The image among what agents observe; None where none does."""
        for agents in heard.agentInfos.values():
            for agent in agents.value:
                if agent.done:
                    continue
                seen = [one for one in agent.observations if len(one.shape) == 3]
                if not seen:
                    continue
                if self._observation >= len(seen):
                    raise PlayerError(
                        f"observation must be below {len(seen)}, the number of the agent's visual "
                        f"observations, got {self._observation}"
                    )
                return _decoded(seen[self._observation], self._size, self._layout)
        return None


def _values(
    scene: Scene, parameters: Mapping[tuple[str, str], Parameter], first: int
) -> Iterator[tuple[str, float]]:
    """The parameters of a scene, with their values."""
    if seed := parameters.get(("", _SEED)):
        yield seed.name, seed.of(scene.seed % (1 << 24))  # which single precision holds exactly
    kinds = [node.kind for node in scene.nodes]
    for node in scene.nodes:
        for name, value in node.attributes.items():
            parameter = parameters.get((node.kind, name))
            if parameter is None:
                raise RenderError(
                    f"every attribute must have a parameter, but {node.kind}.{name} of scene "
                    f"{first} of the batch has none; add it to 'parameters'"
                )
            if kinds.count(node.kind) > 1:
                raise RenderError(
                    f"a scene must have at most one {node.kind!r}, since parameters are one for "
                    f"all, but scene {first} of the batch has {kinds.count(node.kind)}"
                )
            yield parameter.name, parameter.of(value)


def _message(name: str, value: float) -> bytes:
    text = name.encode()
    return struct.pack("<i", len(text)) + text + struct.pack("<if", _FLOAT, value)


def _decoded(seen: Any, size: tuple[int, int], layout: Layout) -> npt.NDArray[np.uint8]:
    """An observation as uint8 (H, W, 3)."""
    shape = tuple(seen.shape)
    if layout == "auto":
        layout = "hwc" if shape[2] in _COLOURS and shape[0] not in _COLOURS else "chw"
    high, wide, colours = shape if layout == "hwc" else (*shape[1:], shape[0])
    if (high, wide) != size or colours not in _COLOURS:
        raise PlayerError(
            f"the camera sensor must give {size[0]} x {size[1]} pixels in 1 or 3 colours, got the "
            f"shape {shape}, read as {layout}; set image_size, or the sensor's size and layout"
        )
    if seen.compression_type == PNG:
        image = _png(seen.compressed_data, size)
    else:
        image = _floats(seen.float_data.data, shape)
        image = image if layout == "hwc" else np.moveaxis(image, 0, 2)
    return np.ascontiguousarray(np.broadcast_to(image, (*size, 3)))


def _png(data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (size[1], size[0]):
                raise PlayerError(
                    f"a compressed observation must be a PNG of {size[0]} x {size[1]} pixels, got "
                    f"{picture.size[1]} x {picture.size[0]}"
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PlayerError(f"a compressed observation must be a PNG, but: {error}") from None


def _floats(data: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    numbers = np.asarray(data, np.float32)
    if numbers.size != math.prod(shape):
        raise PlayerError(
            f"an observation of shape {shape} must have {math.prod(shape)} numbers, got "
            f"{numbers.size}"
        )
    whole: npt.NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(numbers), 0, 1) * 255).astype("u1")
    return whole.reshape(shape)
