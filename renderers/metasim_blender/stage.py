"""The scene in Blender: built once, then moved, recoloured and lit anew for each image.

What an image does not show is parked far away rather than removed or hidden: making an object
anew takes 5 to 80 ms, hiding one 2.4 ms. Of each mesh there is one object more than was ever
shown, since Cycles builds the ray tracing structure of a mesh with a single user anew whenever
that is moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from metasim_blender.colour import linear
from metasim_blender.lights import put_out, set_lamp, set_sun
from metasim_blender.materials import Profile
from metasim_blender.passes import Passes, choose_reader
from metasim_blender.silhouette import NEAR
from metasim_blender.view import stand
from metasim_blender.vocabulary import Layout, Table, View, mixed
from metasim_blender.wardrobe import Look, Wardrobe

__all__ = ["Settings", "Stage"]

_FAR: Final = 1e4  # metres; what is parked is beyond
_PARKED: Final = -1e5
_APART: Final = 10.0
_SENSOR: Final = 32.0  # millimetres
_BOUNCES: Final = 4
_ASIDE: Final = 1 / 2048  # pixels right and up of its centre, where Cycles looks at a pixel first

Three = tuple[float, float, float]
Colour = tuple[float, float, float, float]


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

    Raises:
        PluginError: when this build of Blender gives no passes.
    """

    def __init__(self, bpy: Any, engine_class: Any, wardrobe: Wardrobe, settings: Settings) -> None:
        self._bpy, self._wardrobe, self._profile = bpy, wardrobe, settings.profile
        self._scene = bpy.data.scenes.new("metasim")
        self._slots: dict[Look, list[Any]] = {}
        self._lamps: list[Any] = []
        self._was: dict[Any, tuple[Any, ...]] = {}
        self._numbers = 0
        self._world = self._make_world() if settings.profile == "quality" else None
        _configure(self._scene, settings)
        self._camera = self._add(bpy.data.objects.new("camera", bpy.data.cameras.new("camera")))
        self._camera.data.clip_start, self._camera.data.clip_end = NEAR, _FAR
        self._camera.data.sensor_width = _SENSOR
        self._camera.data.shift_x = self._camera.data.shift_y = -_ASIDE / max(settings.size)
        self._scene.camera = self._camera
        try:
            self._reader = choose_reader(bpy, self._scene, engine_class)
        except Exception:
            self.close()
            raise

    def open(self) -> AbstractContextManager[None]:
        """Within the block :meth:`shoot` may be called."""
        return self._reader.open()

    def shoot(self, layout: Layout, places: Sequence[Three]) -> tuple[Passes, list[int]]:
        """One image.

        Args:
            layout: what it shows.
            places: of the objects' origins, in metres.

        Returns:
            Its passes, and the numbers of the objects in ``Passes.index``, in order.

        Raises:
            RenderError: when Blender did not give one.
        """
        numbers = self._set_things(layout, places)
        self._set_lights(layout)
        self._change(self._camera, _set_camera, layout.view)
        if self._world is not None:
            self._change(self._world, _set_glow, layout.ground.ambient)
        self._scene.cycles.seed = mixed(layout.seed, 0)
        self._scene.update_tag()  # else Cycles goes on with the seed that it had
        return self._reader.render(), numbers

    def close(self) -> None:
        """Remove the stage from Blender; it may come twice."""
        if self._scene is None:
            return
        data = self._bpy.data
        self._scene.render.use_persistent_data = False  # frees what Cycles keeps
        known = {"CAMERA": data.cameras, "LIGHT": data.lights}
        for each in list(self._scene.collection.objects):
            kind, its = each.type, each.data
            data.objects.remove(each)
            if kind in known:
                known[kind].remove(its)
        if self._world is not None:
            data.worlds.remove(self._world)
        data.scenes.remove(self._scene)
        self._scene = None

    def _add(self, thing: Any) -> Any:
        self._scene.collection.objects.link(thing)
        return thing

    def _make_world(self) -> Any:
        """A world that gives light from everywhere."""
        world = self._bpy.data.worlds.new("metasim")
        if world.node_tree is None:  # since Blender 5 there always is one
            world.use_nodes = True
        world.cycles.sampling_method = "NONE"
        self._scene.world = world
        return world

    def _change(self, thing: Any, how: Callable[..., None], *state: Any) -> None:
        """Set something of Blender's, unless it is so already: each change costs time."""
        if self._was.get(thing) != state:
            how(thing, *state)
            self._was[thing] = state

    def _set_things(self, layout: Layout, places: Sequence[Three]) -> list[int]:
        used: dict[Look, int] = {}
        ambient, table = layout.ground.ambient, layout.table
        if table.width and table.depth:
            slot = self._slot(("", table.texture), used)
            self._change(slot, _set_table, table, ambient)
        numbers = []
        for placed, place in zip(layout.objects, places, strict=True):
            slot = self._slot((placed.model, placed.texture), used)
            turn = tuple(map(math.radians, (placed.roll, placed.pitch, placed.yaw)))
            colour = (*linear(placed.colour).tolist(), ambient)
            self._change(slot, _set_thing, place, turn, (placed.scale,) * 3, colour)
            numbers.append(slot.pass_index)
        for look, slots in self._slots.items():
            for slot in slots[used.get(look, 0) :]:
                self._change(slot, _park)
        return numbers

    def _slot(self, look: Look, used: dict[Look, int]) -> Any:
        """The next free object that looks so, made where there is none left."""
        slots = self._slots.setdefault(look, [])
        if not slots:
            _park(self._make(look))  # the one that is never shown
        place = used.get(look, 0)
        if place == len(slots):
            slots.append(self._make(look))
            if look[0]:
                self._numbers += 1
                slots[-1].pass_index = self._numbers
        used[look] = place + 1
        return slots[place]

    def _make(self, look: Look) -> Any:
        return self._add(self._bpy.data.objects.new("thing", self._wardrobe.mesh(look)))

    def _set_lights(self, layout: Layout) -> None:
        if self._profile == "unlit":
            return
        sun = self._profile == "fast"
        while len(self._lamps) < len(layout.lights):
            lamp = self._bpy.data.lights.new("lamp", "SUN" if sun else "AREA")
            lamp.cycles.use_multiple_importance_sampling = not sun
            self._lamps.append(self._add(self._bpy.data.objects.new("lamp", lamp)))
        for lamp, light in zip(self._lamps, layout.lights, strict=False):
            self._change(lamp, set_sun if sun else set_lamp, light)
        for lamp in self._lamps[len(layout.lights) :]:
            self._change(lamp, put_out)


def _set_thing(thing: Any, place: Three, turn: Three, scale: Three, colour: Colour) -> None:
    thing.location, thing.rotation_euler, thing.scale, thing.color = place, turn, scale, colour


def _set_table(slab: Any, table: Table, ambient: float) -> None:
    red, green, blue = linear(table.colour).tolist()
    nought = (0.0, 0.0, 0.0)
    _set_thing(slab, nought, nought, (table.width, table.depth, 1.0), (red, green, blue, ambient))


def _park(thing: Any) -> None:
    thing.location, thing.scale = (_APART * thing.pass_index, 0.0, _PARKED), (1e-3,) * 3


def _set_camera(camera: Any, view: View) -> None:
    place, angles = stand(view)
    camera.location, camera.rotation_euler = place, tuple(map(math.radians, angles))
    camera.data.lens = _SENSOR / 2 / math.tan(math.radians(view.fov) / 2)


def _set_glow(world: Any, ambient: float) -> None:
    node = world.node_tree.nodes["Background"]
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
    render.film_transparent = True  # the background is put behind by us
    render.threads_mode, render.threads = "FIXED", 1
    cycles.device = settings.device
    cycles.samples = settings.samples
    cycles.sampling_pattern = "TABULATED_SOBOL"
    cycles.use_adaptive_sampling = cycles.use_auto_tile = cycles.use_light_tree = False
    cycles.use_denoising = settings.denoise
    cycles.light_sampling_threshold = cycles.sample_clamp_indirect = 0.0
    cycles.pixel_filter_type = "BOX"
    cycles.max_bounces = _BOUNCES if settings.profile == "quality" else 0
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
