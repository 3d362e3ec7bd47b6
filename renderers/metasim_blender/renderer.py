"""The renderer: options in, images with their ground truth out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt

from metasim.errors import PluginError
from metasim.render.base import Label, Rendered, Renderer
from metasim.render.geometry import Camera, Mesh
from metasim.render.size import check_size
from metasim.scene.graph import Scene
from metasim_blender import engine
from metasim_blender.assets import BUILT_IN, ModelFile, files_beside, find_textures, load_models
from metasim_blender.colour import linear, quantise
from metasim_blender.engine import Device
from metasim_blender.example import EXAMPLE
from metasim_blender.labels import see
from metasim_blender.materials import Profile
from metasim_blender.passes import Passes
from metasim_blender.silhouette import draw_silhouette
from metasim_blender.stage import Settings, Stage
from metasim_blender.textures import TEXTURES
from metasim_blender.view import camera_of, facing, placement, pose_in
from metasim_blender.vocabulary import KINDS, PLAIN, Layout, read_scene
from metasim_blender.wardrobe import Wardrobe

__all__ = ["BlenderRenderer"]

_SAMPLES: Final[Mapping[str, int]] = {"fast": 4, "unlit": 4, "quality": 64}
_NOWHERE: Final = 1e9  # metres; Cycles says 1e10 where there is nothing
_MOST_SAMPLES: Final = 65536


class BlenderRenderer(Renderer):
    """Draws objects on a table with Blender's Cycles.

    Kinds and attributes (all optional; metres, degrees, colours from 0 to 1 in sRGB). The table's
    top is z = 0 and its middle the origin; from the default camera x is to the right, y away.

    - ``scene``: ``red``, ``green``, ``blue`` of the background; ``image``, a texture shown
      behind everything; ``ambient``, light from everywhere.
    - ``table``: ``width``, ``depth`` (none where one is 0), colour, ``texture``.
    - ``object``: ``class``, its model; ``x``, ``y`` of its origin; ``yaw``, counter-clockwise
      from above, after ``roll`` about the model's x and ``pitch`` about y; ``z``, how high its
      lowest point is above the table; ``scale``; a colour that multiplies its own; ``texture``.
    - ``light``: ``azimuth`` and ``elevation`` of where it comes from; ``strength``, 1 for a
      plain good exposure; colour; ``size``, the angle it fills, which makes shadows soft.
    - ``camera``: ``distance``, ``azimuth``, ``elevation`` from the point ``x``, ``y``, ``z`` it
      looks at; ``fov``, across the image's larger side.

    Azimuths are counter-clockwise from above; 0 is at the near side of the table. Any number of
    lights and objects, at most one table and camera; a table, a light and a camera that a scene
    lacks are there with their defaults. A texture takes the place of an object's own colours.

    Args:
        image_size: (H, W) in pixels.
        profile: "fast": matt surfaces, suns with shadows, no light from surface to surface.
            "unlit": surfaces in their own colours, whatever the light. "quality": glossy
            surfaces, lamps at a distance, light that goes on from surface to surface.
        samples: of each pixel; None for 4, and for 64 in "quality".
        models: "builtin" for those of the package; or name -> "builtin", a file (.ply in
            millimetres as BOP has them, .obj, .glb), or {file, unit: m | cm | mm, up: y | z}.
        textures: name -> image file, besides "checks", "speckle", "stripes" and "wood".
        device: what Cycles computes on; "auto" is a GPU where there is one.
        denoise: filter noise out; for images to look at, not for gradients.

    Raises:
        MissingExtraError: when bpy is not installed.
        PluginError: when an option is wrong, or bpy cannot be used.
        DataError: when a model or a picture cannot be used.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    example: ClassVar[Mapping[str, Any] | None] = EXAMPLE
    isolated: ClassVar[bool] = True

    def __init__(
        self,
        image_size: tuple[int, int] = (64, 64),
        profile: Profile = "fast",
        samples: int | None = None,
        models: Literal["builtin"] | Mapping[str, ModelFile] = "builtin",
        textures: Mapping[str, Path] | None = None,
        device: Device = "auto",
        denoise: bool = False,
    ) -> None:
        self.image_size = check_size(image_size)
        count = _checked_samples(samples, profile)
        self._models = load_models(models)
        self._corners = {n: np.ascontiguousarray(m.faces.T) for n, m in self._models.items()}
        files = find_textures(textures or {})
        self._textures = (*TEXTURES, *files)
        self.known_categories = {"object": tuple(self._models)}
        bpy, engine_class = engine.start()
        self._wardrobe = Wardrobe(bpy, self._models, files, profile)
        try:
            settings = Settings(
                self.image_size, profile, count, engine.use_device(bpy, device), bool(denoise)
            )
            self._stage = _staged(bpy, engine_class, self._wardrobe, settings, device)
        except Exception:
            self._wardrobe.close()
            raise

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The materials and pictures that the models' files name."""
        return files_beside(options.get("models", BUILT_IN))

    @classmethod
    def lacks(cls) -> Sequence[str]:
        """Whether bpy is there and can be loaded, tried in another process."""
        return engine.lacks()

    def meshes(self) -> Mapping[str, Mesh]:
        """The models, in metres, z up."""
        return {
            name: Mesh(model.vertices.astype(np.float32), model.faces)
            for name, model in self._models.items()
        }

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, one after the other.

        Raises:
            DataError: when a scene holds something that cannot be drawn.
            RenderError: when Blender did not draw it.
        """
        layouts = [read_scene(scene, tuple(self._models), self._textures) for scene in scenes]
        shape = (len(scenes), *self.image_size)
        images = np.zeros((*shape, 3), np.uint8)
        instances, depth = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        normals = np.zeros((*shape, 3), np.float32)
        labels, cameras = [], []
        with self._stage.open():
            for row, (scene, layout) in enumerate(zip(scenes, layouts, strict=True)):
                camera = camera_of(layout.view, self.image_size)
                stands = [placement(p, self._models[p.model].vertices) for p in layout.objects]
                passes, numbers = self._stage.shoot(layout, [place for _, place in stands])
                depth[row] = np.where(passes.depth < _NOWHERE, passes.depth, 0)
                instances[row] = _instances(passes, numbers)
                images[row] = self._picture(passes, layout)
                normals[row] = facing(passes.normal, depth[row] > 0, camera)
                labels.append(
                    tuple(
                        self._label(scene, layout, place, stand, camera, instances[row], depth[row])
                        for place, stand in enumerate(stands)
                    )
                )
                cameras.append(camera)
        return Rendered(images, instances, tuple(labels), depth, normals, tuple(cameras))

    def close(self) -> None:
        """Take everything out of Blender."""
        self._stage.close()
        self._wardrobe.close()

    def _picture(self, passes: Passes, layout: Layout) -> npt.NDArray[np.uint8]:
        """Put what was rendered before the background."""
        behind = linear(layout.ground.colour).astype(np.float32)
        if layout.ground.image != PLAIN:
            behind = behind * self._wardrobe.backdrop(layout.ground.image, self.image_size)
        left = 1 - passes.combined[..., 3:]
        return quantise(passes.combined[..., :3] + left * behind)

    def _label(
        self,
        scene: Scene,
        layout: Layout,
        place: int,
        stand: tuple[npt.NDArray[np.float64], tuple[float, float, float]],
        camera: Camera,
        instances: npt.NDArray[np.int32],
        depth: npt.NDArray[np.float32],
    ) -> Label:
        """The label of the object at a place in the layout, which stands so."""
        placed = layout.objects[place]
        pose = pose_in(camera, *stand, placed.scale)
        turn = np.array(pose.rotation).reshape(3, 3) * placed.scale
        points = self._models[placed.model].vertices @ turn.T + np.array(pose.translation)
        own = draw_silhouette(points, self._corners[placed.model], camera, self.image_size)
        seen = see(place + 1, own, instances, depth, camera.fx)
        return Label(
            instance=place + 1,
            node=placed.node,
            name=scene.nodes[placed.node].name,
            kind="object",
            category=placed.model,
            box=seen.box,
            visible=seen.visible,
            full_box=seen.full_box,
            pose=pose,
        )


def _staged(
    bpy: Any, engine_class: Any, wardrobe: Wardrobe, settings: Settings, asked: Device
) -> Stage:
    """A stage on the device that was chosen, or on the CPU where a GPU cannot be used after all.

    Raises:
        PluginError: when this build of Blender gives no passes, or the GPU that was asked for none.
    """
    try:
        return Stage(bpy, engine_class, wardrobe, settings)
    except PluginError as error:
        if settings.device == "CPU":
            raise
        if asked == "gpu":
            raise PluginError(
                f"device: gpu needs a GPU that renders, and the one that was found does not "
                f"({error}); see to its driver and memory, or take device: cpu"
            ) from error
        logging.getLogger(__name__).warning(
            "the GPU that was found does not render (%s); the CPU does", error
        )
        return Stage(bpy, engine_class, wardrobe, replace(settings, device="CPU"))


def _instances(passes: Passes, numbers: Sequence[int]) -> npt.NDArray[np.int32]:
    """Cycles' numbers of objects as those of the labels."""
    places = np.zeros(max(numbers, default=0) + 1, np.int32)
    places[list(numbers)] = np.arange(1, len(numbers) + 1)
    return places[passes.index.astype(np.int32)]


def _checked_samples(samples: int | None, profile: str) -> int:
    if profile not in _SAMPLES:
        raise PluginError(f"profile must be one of {', '.join(_SAMPLES)}, got {profile!r}")
    if samples is None:
        return _SAMPLES[profile]
    if isinstance(samples, bool) or not isinstance(samples, int):
        raise PluginError(f"samples must be a whole number, got {samples!r}")
    if not 1 <= samples <= _MOST_SAMPLES:
        raise PluginError(f"samples must be from 1 to {_MOST_SAMPLES}, got {samples}")
    return samples
