"""The renderer contract: scenes in, images with their labels out.

Nothing here imports torch; a renderer may live in another process, under another Python.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from metasim.errors import Interrupted, RenderError
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Scene

__all__ = ["PIXEL_BYTES", "Label", "Rendered", "Renderer"]

PIXEL_BYTES = 23
"""Of all planes of :class:`Rendered` for each pixel."""


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of one drawn instance.

    Attributes:
        instance: its id in ``Rendered.instances``, at least 1.
        node: index of its node in ``Scene.nodes``.
        name: the node's name.
        kind: the node's kind.
        category: its class for perception, for example "7" or "mug".
        box: (x0, y0, x1, y1) of its visible pixels, half-open; all 0 when none is visible.
        visible: visible share of the instance's own pixels, counting those beyond the
            image's edge and behind other instances as invisible; 0 to 1.
        full_box: the box of all its own pixels, those behind other instances and beyond the
            image's edge included; None where the renderer does not know it.
        pose: from its model's frame to the camera's; None where there is no model.
    """

    instance: int
    node: int
    name: str
    kind: str
    category: str
    box: tuple[int, int, int, int]
    visible: float
    full_box: tuple[int, int, int, int] | None = None
    pose: Pose | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A batch of B images of H x W pixels, with labels.

    Attributes:
        images: uint8 (B, H, W, 3), sRGB.
        instances: int32 (B, H, W); 0 is background, other values are ``Label.instance``.
        labels: one tuple for each image, a label for each instance, seen or not.
        depth: float32 (B, H, W), planar depth (z of the camera's frame) in metres, 0 where there
            is no surface; None where not offered.
        normals: float32 (B, H, W, 3), unit normals in the camera's frame (x right, y down, z
            ahead), turned towards the camera, 0 where there is no surface; None where not
            offered.
        cameras: what each image was seen with; None where not offered.
    """

    images: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]
    labels: tuple[tuple[Label, ...], ...]
    depth: npt.NDArray[np.float32] | None = None
    normals: npt.NDArray[np.float32] | None = None
    cameras: tuple[Camera, ...] | None = None

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def __getitem__(self, rows: slice) -> Rendered:
        """The images of a slice."""
        return Rendered(
            self.images[rows],
            self.instances[rows],
            self.labels[rows],
            None if self.depth is None else self.depth[rows],
            None if self.normals is None else self.normals[rows],
            None if self.cameras is None else self.cameras[rows],
        )

    def copy(self) -> Rendered:
        """The same in memory of its own, which nobody else writes to."""
        return Rendered(
            self.images.copy(),
            self.instances.copy(),
            tuple(map(tuple, self.labels)),
            None if self.depth is None else self.depth.copy(),
            None if self.normals is None else self.normals.copy(),
            None if self.cameras is None else tuple(self.cameras),
        )


class Renderer(ABC):
    """Draws scenes. One required method and a no-op ``close``.

    Subclasses take their options as keyword arguments. Equal scenes must give equal
    pixels: every random choice follows from ``Scene.seed`` and the attributes, never from
    state or from the other scenes of the batch.

    Attributes:
        kinds: node kind -> attributes it understands. A class attribute, so that a run can
            be refused before anything is started. Kinds missing here are refused. Where options
            decide, see :meth:`kinds_of`.
        example: a small grammar in its YAML form, showing every kind and attribute; with it
            ``metasim renderers check`` needs nothing else.
        image_size: (height, width) in pixels, set by the constructor.
        known_categories: kind -> the categories it can have, for kinds whose category need not
            follow from an attribute ``class``. With it all datasets number them alike.
        fresh: whether every call makes new arrays for certain, so that nobody need copy them.
        isolated: whether it must live in worker processes of its own, also where nobody asks for
            them: its engine crashes, or must not be loaded into the user's process. Its module
            is imported there too, so that what is large belongs into the constructor.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]]
    example: ClassVar[Mapping[str, Any] | None] = None
    fresh: ClassVar[bool] = False
    isolated: ClassVar[bool] = False
    image_size: tuple[int, int]
    known_categories: Mapping[str, Sequence[str]] = MappingProxyType({})

    @abstractmethod
    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, in order.

        What is returned is the caller's: no later call may write to its arrays.
        """

    def meshes(self) -> Mapping[str, Mesh]:
        """The model of each category that has one, which ``Label.pose`` speaks of."""
        return {}

    @classmethod
    def kinds_of(cls, options: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
        """The kinds and attributes that it understands when it is built with these options.

        For renderers whose options say so, such as the names of a user's own models. Asked before
        it is built, and in metasim's own process; the built renderer's ``kinds`` are the same.

        Args:
            options: keyword arguments of its constructor, right or wrong.
        """
        return cls.kinds

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files that it reads beside those that its options name: pictures that a model names.

        Results tell what was in them, and do not go on once that is another. Asked before it is
        built, and in metasim's own process.

        Args:
            options: keyword arguments of its constructor; paths in them are absolute.
        """
        return ()

    @classmethod
    def lacks(cls) -> Sequence[str]:
        """What keeps it from drawing on this machine, each with what to do about it.

        ``metasim doctor`` asks it of every installed renderer, before any is built. What is
        large, or must not be loaded into the user's process, is looked at in another.
        """
        return ()

    def close(self) -> None:  # noqa: B027 - most renderers hold nothing
        """Release what the renderer holds; also after an error. It may come twice, or first."""

    def __enter__(self) -> Renderer:
        """The renderer itself; it is closed at the end of the ``with`` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the renderer.

        Raises:
            RenderError: when that fails, unless something else went wrong before it.
        """
        try:
            self.close()
        except (Interrupted, KeyboardInterrupt):
            raise
        except BaseException as problem:
            if error is None:
                raise RenderError(
                    f"closing the renderer {type(self).__name__} raised "
                    f"{type(problem).__name__}: {problem}; what was written is complete"
                ) from problem
