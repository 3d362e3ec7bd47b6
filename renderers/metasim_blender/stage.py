"""The scene in Blender: built once, then moved, recoloured and lit anew for each image.

What an image does not show is parked far away rather than removed or hidden: making objects
anew takes 5 to 80 ms, and hiding one 2.4 ms. Of each mesh there is a second object that stays
parked, since Cycles builds the ray tracing structure of a mesh with one user anew whenever that
is moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import RenderError
from metasim_blender import engine
from metasim_blender.colour import linear
from metasim_blender.materials import Profile
from metasim_blender.passes import Passes, from_named, receiving
from metasim_blender.silhouette import NEAR
from metasim_blender.view import stand
from metasim_blender.vocabulary import Layout, Light, Table, View, mixed
from metasim_blender.wardrobe import Wardrobe

__all__ = ["Settings", "Stage"]

_FAR: Final = 1e4  # metres; what is parked is beyond
_PARKED: Final = -1e5
_SENSOR: Final = 32.0  # millimetres
_GOOD: Final = 0.8  # light reflected by white that faces a light of strength 1
_LAMP: Final = 3.0  # metres from the table's middle to a lamp of finite distance
_SMALLEST: Final = 0.1  # degrees; a lamp without extent has no light to give
_BOUNCES: Final = 4

State = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """How images are made.

    Attributes:
        size: (H, W) in pixels.
        profile: how surfaces and lights are computed.
        samples: of each pixel.
        device: "CPU" or "GPU".
        denoise: whether noise is filtered out.
    """

    size: tuple[int, int]
    profile: Profile
    samples: int
    device: str
    denoise: bool


class Stage:
    """Blender's side of a renderer.

    Args:
        bpy: the module.
        engine_class: ``cycles.CyclesRender``.
        wardrobe: makes what stands on the stage.
        settings: of all images.
    """

    def __init__(self, bpy: Any, engine_class: Any, wardrobe: Wardrobe, settings: Settings) -> None:
        self._bpy, self._engine_class, self._wardrobe = bpy, engine_class, wardrobe
        self._settings = settings
        self._scene = bpy.data.scenes.new("metasim")
        self._slots: dict[tuple[str, str, str], list[Any]] = {}
        self._lamps: list[Any] = []
        self._was: dict[Any, State] = {}
        self._numbers = 0
        self._named: dict[str, npt.NDArray[np.float32]] | None = None
        _configure(self._scene, settings)
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._camera.data.clip_start, self._camera.data.clip_end = NEAR, _FAR
        self._camera.data.sensor_width = _SENSOR
        self._scene.collection.objects.link(self._camera)
        self._scene.camera = self._camera
        self._glow = self._make_world() if settings.profile == "quality" else None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within the block images can be made."""
        with (
            engine.quiet(),
            receiving(self._engine_class, self._settings.size) as self._named,
        ):
            yield
        self._named = None

    def shoot(self, layout: Layout) -> tuple[Passes, npt.NDArray[np.int32]]:
        """One image.

        Returns:
            Its passes, and the numbers of ``layout.objects`` in ``Passes.index``, in order.

        Raises:
            RenderError: when Blender did not give one.
        """
        if self._named is None:
            raise RenderError("images are made within open()")
        numbers = self._set_objects(layout)
        self._set_lights(layout)
        self._set_camera(layout.view)
        if self._glow is not None:
            self._change(self._glow, (layout.ground.ambient,), _set_glow)
        self._scene.cycles.seed = mixed(layout.seed, 0)
        self._scene.update_tag()  # else Cycles goes on with the seed that it had
        self._named.clear()
        self._bpy.ops.render.render(scene=self._scene.name)
        return from_named(self._named), numbers

    def close(self) -> None:
        """Remove the scene from Blender."""
        if self._scene is not None:
            data = self._bpy.data
            for each in list(self._scene.collection.objects):
                data.objects.remove(each)
            data.scenes.remove(self._scene)
            data.orphans_purge(do_recursive=True)
            self._scene = None

    def _make_world(self) -> Any:
        """A world that gives light from everywhere; its node, or None where it is dark."""
        world = self._bpy.data.worlds.new("metasim")
        world.use_nodes = True
        world.cycles.sampling_method = "NONE"
        self._scene.world = world
        return world.node_tree.nodes["Background"]

    def _change(self, key: Any, state: State, how: Any) -> None:
        """Set something of Blender's, unless it is so already: each change costs time."""
        if self._was.get(key) != state:
            how(key, *state)
            self._was[key] = state

    def _set_objects(self, layout: Layout) -> npt.NDArray[np.int32]:
        used: dict[tuple[str, str, str], int] = {}
        ambient = layout.ground.ambient
        table = layout.table
        if table.width and table.depth:
            slot = self._slot(("table", "", table.texture), used)
            self._change(slot, _table_state(table, ambient), _set_object)
        numbers = []
        for placed, place in zip(layout.objects, self._wardrobe.places(layout), strict=True):
            slot = self._slot(("object", placed.model, placed.texture), used)
            turn = tuple(map(math.radians, (placed.roll, placed.pitch, placed.yaw)))
            colour = (*linear(placed.colour).tolist(), ambient)
            self._change(slot, (place, turn, (placed.scale,) * 3, colour), _set_object)
            numbers.append(slot.pass_index)
        for key, slots in self._slots.items():
            for slot in slots[used.get(key, 0) :]:
                self._change(slot, _parked(slot), _set_object)
        return np.array(numbers, np.int32)

    def _slot(self, key: tuple[str, str, str], used: dict[tuple[str, str, str], int]) -> Any:
        """The next free object that looks so, made where there is none left."""
        slots = self._slots.setdefault(key, [])
        if not slots:
            _set_object(self._place(key), *_PARKING)
        place = used.get(key, 0)
        if place == len(slots):
            slots.append(self._place(key))
            if key[0] == "object":
                self._numbers += 1
                slots[-1].pass_index = self._numbers
        used[key] = place + 1
        return slots[place]

    def _place(self, key: tuple[str, str, str]) -> Any:
        made = self._bpy.data.objects.new("-".join(key), self._wardrobe.mesh(key))
        self._scene.collection.objects.link(made)
        return made

    def _set_lights(self, layout: Layout) -> None:
        sun = self._settings.profile != "quality"
        while len(self._lamps) < len(layout.lights):
            lamp = self._bpy.data.lights.new("lamp", "SUN" if sun else "AREA")
            lamp.cycles.use_multiple_importance_sampling = not sun
            self._lamps.append(self._bpy.data.objects.new("lamp", lamp))
            self._scene.collection.objects.link(self._lamps[-1])
        for lamp, light in zip(self._lamps, layout.lights, strict=False):
            self._change(lamp, (light,), _set_sun if sun else _set_lamp)
        for lamp in self._lamps[len(layout.lights) :]:
            self._change(lamp, (None,), _put_out)

    def _set_camera(self, view: View) -> None:
        self._change(self._camera, (view,), _set_camera)


_PARKING: Final = ((0.0, 0.0, _PARKED), (0.0, 0.0, 0.0), (1e-3,) * 3, (1.0,) * 4)


def _parked(slot: Any) -> State:
    place = (10.0 * slot.pass_index, 0.0, _PARKED)
    return (place, *_PARKING[1:])


def _table_state(table: Table, ambient: float) -> State:
    colour = (*linear(table.colour).tolist(), ambient)
    return ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (table.width, table.depth, 1.0), colour)


def _set_object(slot: Any, place: State, turn: State, scale: State, colour: State) -> None:
    slot.location, slot.rotation_euler, slot.scale, slot.color = place, turn, scale, colour


def _set_camera(camera: Any, view: View) -> None:
    place, angles = stand(view)
    camera.location, camera.rotation_euler = place, tuple(map(math.radians, angles))
    camera.data.lens = _SENSOR / 2 / math.tan(math.radians(view.fov) / 2)


def _set_sun(lamp: Any, light: Light) -> None:
    _turn_lamp(lamp, light)
    lamp.data.energy = math.pi * _GOOD * light.strength
    lamp.data.angle = math.radians(light.size)


def _set_lamp(lamp: Any, light: Light) -> None:
    """A disc as large, seen from the table's middle, as the sun that it stands for."""
    _turn_lamp(lamp, light)
    across, up = math.radians(light.azimuth), math.radians(light.elevation)
    lamp.location = (
        _LAMP * math.cos(up) * math.sin(across),
        -_LAMP * math.cos(up) * math.cos(across),
        _LAMP * math.sin(up),
    )
    lamp.data.shape = "DISK"
    lamp.data.size = 2 * _LAMP * math.tan(math.radians(max(light.size, _SMALLEST)) / 2)
    lamp.data.energy = math.pi**2 * _LAMP**2 * _GOOD * light.strength
    lamp.visible_camera = False


def _turn_lamp(lamp: Any, light: Light) -> None:
    lamp.rotation_euler = (math.radians(90 - light.elevation), 0.0, math.radians(light.azimuth))
    lamp.data.color = linear(light.colour).tolist()


def _put_out(lamp: Any, _nothing: None) -> None:
    lamp.data.energy = 0.0


def _set_glow(node: Any, ambient: float) -> None:
    node.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    node.inputs["Strength"].default_value = ambient


def _configure(scene: Any, settings: Settings) -> None:
    """Everything that stays as it is."""
    render, cycles, layer = scene.render, scene.cycles, scene.view_layers[0]
    render.engine = "CYCLES"
    render.resolution_y, render.resolution_x = settings.size
    render.resolution_percentage = 100
    render.use_persistent_data = True
    render.use_compositing = render.use_sequencer = False
    render.film_transparent = True
    render.threads_mode, render.threads = "FIXED", 1
    cycles.device = settings.device
    cycles.samples = settings.samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = settings.denoise
    cycles.use_auto_tile = False
    cycles.use_light_tree = False
    cycles.light_sampling_threshold = 0.0
    cycles.sample_clamp_indirect = 0.0
    cycles.pixel_filter_type = "BOX"
    cycles.max_bounces = _BOUNCES if settings.profile == "quality" else 0
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
