"""The renderer: options in, images with their ground truth out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt

from metasim.render.base import Label, Rendered, Renderer
from metasim.render.geometry import Camera, Mesh
from metasim.scene.graph import Scene
from metasim_blender import engine
from metasim_blender.assets import built_in, load_model
from metasim_blender.colour import linear, quantise
from metasim_blender.example import EXAMPLE
from metasim_blender.labels import label_object
from metasim_blender.passes import Passes
from metasim_blender.silhouette import draw_silhouette
from metasim_blender.stage import Settings, Stage
from metasim_blender.textures import TEXTURES
from metasim_blender.view import camera_of, placement, pose_in
from metasim_blender.vocabulary import KINDS, PLAIN, Layout, read_scene
from metasim_blender.wardrobe import Wardrobe

__all__ = ["BlenderRenderer"]

_SAMPLES: Final = {"fast": 4, "unlit": 4, "quality": 64}
_NOWHERE: Final = 1e9  # metres; Cycles says 1e10 where there is nothing


class BlenderRenderer(Renderer):
    """Draws objects on a table."""

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    example: ClassVar[Mapping[str, Any] | None] = EXAMPLE
    isolated: ClassVar[bool] = True

    def __init__(
        self,
        image_size: Sequence[int] = (64, 64),
        profile: Literal["fast", "unlit", "quality"] = "fast",
        samples: int | None = None,
        device: Literal["auto", "cpu", "gpu"] = "auto",
        denoise: bool = False,
    ) -> None:
        height, width = image_size
        self.image_size = (height, width)
        self._models = {name: load_model(path) for name, path in built_in().items()}
        self._textures = tuple(TEXTURES)
        self.known_categories = {"object": tuple(self._models)}
        bpy, engine_class = engine.start()
        settings = Settings(
            self.image_size,
            profile,
            samples or _SAMPLES[profile],
            engine.use_device(bpy, device),
            denoise,
        )
        self._wardrobe = Wardrobe(bpy, self._models, {}, profile)
        self._stage = Stage(bpy, engine_class, self._wardrobe, settings)

    def meshes(self) -> Mapping[str, Mesh]:
        """The models, in metres."""
        return {
            name: Mesh(model.vertices.astype(np.float32), model.faces)
            for name, model in self._models.items()
        }

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, one after the other."""
        layouts = [read_scene(scene, tuple(self._models), self._textures) for scene in scenes]
        shape = (len(scenes), *self.image_size)
        images = np.zeros((*shape, 3), np.uint8)
        instances, depth = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        normals = np.zeros((*shape, 3), np.float32)
        labels, cameras = [], []
        with self._stage.open():
            for row, layout in enumerate(layouts):
                passes, numbers = self._stage.shoot(layout)
                camera = camera_of(layout.view, self.image_size)
                depth[row] = np.where(passes.depth < _NOWHERE, passes.depth, 0)
                images[row] = self._picture(passes, layout)
                instances[row] = _instances(passes, numbers)
                normals[row] = _normals(passes, depth[row], camera)
                labels.append(self._labels(scenes[row], layout, camera, instances[row], depth[row]))
                cameras.append(camera)
        return Rendered(images, instances, tuple(labels), depth, normals, tuple(cameras))

    def close(self) -> None:
        """Take the scene out of Blender."""
        self._stage.close()

    def _picture(self, passes: Passes, layout: Layout) -> npt.NDArray[np.uint8]:
        """Put what was rendered before the background."""
        behind = linear(layout.ground.colour).astype(np.float32)
        if layout.ground.image != PLAIN:
            behind = behind * self._wardrobe.backdrop(layout.ground.image, self.image_size)
        covered = passes.combined[..., 3:]
        return quantise(passes.combined[..., :3] + (1 - covered) * behind)

    def _labels(
        self,
        scene: Scene,
        layout: Layout,
        camera: Camera,
        instances: npt.NDArray[np.int32],
        depth: npt.NDArray[np.float32],
    ) -> tuple[Label, ...]:
        labels = []
        for instance, placed in enumerate(layout.objects, start=1):
            model = self._models[placed.model]
            turn, place = placement(placed, model.vertices)
            pose = pose_in(camera, turn, place, placed.scale)
            rotation = np.array(pose.rotation).reshape(3, 3)
            points = model.vertices @ (placed.scale * rotation.T) + np.array(pose.translation)
            own = draw_silhouette(points, model.faces, camera, self.image_size)
            node = scene.nodes[placed.node]
            labels.append(
                label_object(instance, placed.node, node, placed.model, own, instances, depth, pose)
            )
        return tuple(labels)


def _instances(passes: Passes, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Cycles' numbers of objects as those of the labels."""
    places = np.zeros(int(numbers.max(initial=0)) + 1, np.int32)
    places[numbers] = np.arange(1, len(numbers) + 1)
    return places[passes.index.astype(np.int32)]


def _normals(
    passes: Passes, depth: npt.NDArray[np.float32], camera: Camera
) -> npt.NDArray[np.float32]:
    """Unit normals in the camera's frame."""
    assert camera.world is not None
    turn = np.array(camera.world.rotation, np.float32).reshape(3, 3)
    normals = passes.normal @ turn.T
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where((depth > 0)[..., None], normals / np.maximum(length, 1e-12), 0)
    return normals.astype(np.float32)
