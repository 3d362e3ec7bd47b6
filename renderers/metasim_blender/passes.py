"""What one render gives: read from memory, or from files where a build of Blender has no other way.

Blender keeps no pixels that Python could read after a render without a window. While
Cycles' ``render`` is running, though, the engine's result can be asked for; so that method is
wrapped while images are made, and tells what it sees.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from metasim.errors import PluginError, RenderError
from metasim_blender.engine import quiet
from metasim_blender.exr import read_exr

__all__ = ["FileReader", "MemoryReader", "Passes", "Reader", "choose_reader"]

Plane = npt.NDArray[np.float32]

# Names differ by version: the second are those of Blender 5.
_COMBINED: Final = ("Combined",)
_DEPTH: Final = ("Depth", "Z")
_NORMAL: Final = ("Normal",)
_INDEX: Final = ("IndexOB", "Object Index")
_SHARED_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Passes:
    """Planes of one render, top row first.

    Attributes:
        combined: (H, W, 4) linear light, multiplied by the share of the pixel that is covered.
        depth: (H, W) metres along the camera's axis at the pixel's centre; 1e10 for nothing.
        normal: (H, W, 3) in the world's frame, the mean over a pixel's samples.
        index: (H, W) number of the object at the pixel's centre, 0 for none.
    """

    combined: Plane
    depth: Plane
    normal: Plane
    index: Plane


class Reader(Protocol):
    """A way from a scene of Blender's to its passes."""

    def open(self) -> AbstractContextManager[None]:
        """Within the block :meth:`render` may be called."""
        ...

    def render(self) -> Passes:
        """Render the scene as it is.

        Raises:
            RenderError: when Blender did not give the passes.
        """
        ...


class MemoryReader:
    """Reads passes out of the running engine.

    Args:
        bpy: the module.
        scene: of Blender's.
        engine_class: ``cycles.CyclesRender``.
    """

    def __init__(self, bpy: Any, scene: Any, engine_class: Any) -> None:
        self._bpy, self._scene, self._engine_class = bpy, scene, engine_class
        self._named: dict[str, Plane] = {}
        self._problems: list[BaseException] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within the block the engine tells what it renders."""
        original: Callable[[Any, Any], None] = self._engine_class.render
        size = _size(self._scene)

        # Blender swallows what is raised while it renders; it is raised again afterwards.
        def render(engine: Any, depsgraph: Any) -> None:
            try:
                original(engine, depsgraph)
                _take(engine.get_result(), size, self._named)
            except BaseException as problem:
                self._problems.append(problem)

        self._engine_class.render = render
        try:
            with quiet():
                yield
        finally:
            self._engine_class.render = original

    def render(self) -> Passes:
        """See :class:`Reader`."""
        self._named.clear()
        self._problems.clear()
        _run(self._bpy, self._scene, write=False)
        if self._problems:
            raise self._problems[0]
        return _chosen(self._named)


class FileReader:
    """Reads passes from files in memory, or on disk where there is no such file system."""

    def __init__(self, bpy: Any, scene: Any) -> None:
        self._bpy, self._scene = bpy, scene
        self._file = Path()
        settings = scene.render.image_settings
        if hasattr(settings, "media_type"):  # since Blender 5
            settings.media_type = "MULTI_LAYER_IMAGE"
            settings.use_exr_interleave = True  # all passes in one part
        settings.file_format = "OPEN_EXR_MULTILAYER"
        settings.color_depth, settings.exr_codec = "32", "NONE"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within the block there is a folder to write to."""
        where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="metasim-", dir=where) as folder, quiet():
            self._file = Path(folder) / "passes.exr"
            self._scene.render.filepath = str(self._file)
            yield

    def render(self) -> Passes:
        """See :class:`Reader`."""
        self._file.unlink(missing_ok=True)
        _run(self._bpy, self._scene, write=True)
        named: dict[str, dict[str, Plane]] = {}
        for name, plane in read_exr(self._file).items():
            whole, _, channel = name.rpartition(".")
            named.setdefault(whole.rpartition(".")[2], {})[channel] = plane
        orders = ("RGBA", "XYZ", "X", "Z", "V")
        return _chosen(
            {
                name: np.stack([channels[c] for c in order], axis=-1)[::-1]
                for name, channels in named.items()
                for order in orders
                if set(order) == channels.keys()
            }
        )


def choose_reader(bpy: Any, scene: Any, engine_class: Any) -> Reader:
    """The first way that works, tried on a small image.

    Args:
        bpy: the module.
        scene: of Blender's, with a camera.
        engine_class: ``cycles.CyclesRender``.

    Raises:
        PluginError: when none does.
    """
    problems = []
    ways: tuple[Callable[[], Reader], ...] = (
        lambda: MemoryReader(bpy, scene, engine_class),
        lambda: FileReader(bpy, scene),
    )
    for make in ways:
        try:
            reader = make()
            _try(reader, scene)
        except Exception as problem:  # another build may lack anything
            problems.append(f"{type(problem).__name__}: {problem}")
        else:
            if problems:
                logging.getLogger(__name__).warning(
                    "this build of Blender gives no passes in memory (%s); they are read from "
                    "files, which takes longer",
                    problems[0],
                )
            return reader
    raise PluginError(
        f"Blender {bpy.app.version_string} gives no passes, neither in memory nor in files "
        f"({'; '.join(problems)}); install bpy 4.5"
    )


def _try(reader: Reader, scene: Any) -> None:
    """Render a few pixels.

    Raises:
        RenderError: when what came back is no image.
    """
    render, cycles = scene.render, scene.cycles
    before = render.resolution_x, render.resolution_y, cycles.samples, cycles.use_denoising
    render.resolution_x, render.resolution_y, cycles.samples, cycles.use_denoising = 8, 4, 1, False
    try:
        with reader.open():
            passes = reader.render()
    finally:
        render.resolution_x, render.resolution_y, cycles.samples, cycles.use_denoising = before
    shapes = passes.combined.shape, passes.depth.shape, passes.normal.shape, passes.index.shape
    if shapes != ((4, 8, 4), (4, 8), (4, 8, 3), (4, 8)):
        raise RenderError(f"passes must be of the image's size, got {shapes}")


def _size(scene: Any) -> tuple[int, int]:
    return scene.render.resolution_y, scene.render.resolution_x


def _run(bpy: Any, scene: Any, *, write: bool) -> None:
    try:
        bpy.ops.render.render(write_still=write, scene=scene.name)
    except RuntimeError as error:
        raise RenderError(f"Blender could not render: {str(error).strip()}") from error


def _take(result: Any, size: tuple[int, int], named: dict[str, Plane]) -> None:
    """Copy all passes of the engine's result, bottom row first."""
    for layer in result.layers:
        for each in layer.passes:
            plane = np.empty((*size, each.channels), np.float32)
            each.rect.foreach_get(plane.reshape(-1))
            named[each.name] = plane


def _chosen(named: dict[str, Plane]) -> Passes:
    """The passes by their names, (H, W, channels), bottom row first.

    Raises:
        RenderError: when one is missing.
    """

    def plane(names: tuple[str, ...]) -> Plane:
        for name in names:
            if name in named:
                return named[name][::-1]
        raise RenderError(
            f"Blender must give a pass called {' or '.join(names)}, got {sorted(named) or 'none'}"
        )

    return Passes(plane(_COMBINED), plane(_DEPTH)[..., 0], plane(_NORMAL), plane(_INDEX)[..., 0])
