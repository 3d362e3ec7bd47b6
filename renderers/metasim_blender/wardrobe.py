"""Meshes and pictures in Blender's data: made when first needed, kept, shared by all objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.colour import linear
from metasim_blender.materials import COLOURS, Profile, Shading, make_material
from metasim_blender.model import Model
from metasim_blender.textures import TEXTURES
from metasim_blender.view import placement
from metasim_blender.vocabulary import PLAIN, Layout

__all__ = ["Wardrobe"]

_SHARP: Final = np.radians(38)  # edges of a larger angle are not smoothed
_SLAB: Final = 0.03  # metres; the table's thickness


class Wardrobe:
    """What objects look like.

    Args:
        bpy: the module.
        models: by name.
        textures: files by name.
        profile: how surfaces are computed.
    """

    def __init__(
        self,
        bpy: Any,
        models: Mapping[str, Model],
        textures: Mapping[str, Path],
        profile: Profile,
    ) -> None:
        self._bpy, self._models, self._textures = bpy, models, textures
        self._profile: Profile = profile
        self._meshes: dict[tuple[str, str, str], Any] = {}
        self._pictures: dict[str, Any] = {}

    def mesh(self, key: tuple[str, str, str]) -> Any:
        """The mesh of ("table" or "object", model, texture), with its materials."""
        if key not in self._meshes:
            kind, model, texture = key
            shape = _slab() if kind == "table" else self._models[model]
            self._meshes[key] = self._make(shape, texture)
        return self._meshes[key]

    def places(self, layout: Layout) -> list[tuple[float, float, float]]:
        """Where the objects' origins are, in metres."""
        found = []
        for placed in layout.objects:
            x, y, z = placement(placed, self._models[placed.model].vertices)[1].tolist()
            found.append((x, y, z))
        return found

    def _make(self, model: Model, texture: str) -> Any:
        mesh = self._bpy.data.meshes.new("metasim")
        mesh.from_pydata(model.vertices.tolist(), [], model.faces.tolist())
        _smooth(mesh, model)
        if model.colours is not None:
            colours = np.concatenate([model.colours, np.ones((*model.faces.shape, 1))], axis=-1)
            layer = mesh.attributes.new(COLOURS, "FLOAT_COLOR", "CORNER")
            layer.data.foreach_set("color", colours.astype(np.float32).ravel())
        if model.uv is not None:
            layer = mesh.uv_layers.new(name="uv")
            layer.data.foreach_set("uv", model.uv.astype(np.float32).ravel())
        for surface in model.surfaces:
            picture = self._picture(texture) if texture != PLAIN else self._own(surface.picture)
            shading = Shading(
                surface.colour,
                model.colours is not None,
                picture,
                model.uv is not None,
                surface.roughness,
                surface.metallic,
            )
            mesh.materials.append(make_material(self._bpy, "metasim", shading, self._profile))
        if len(model.surfaces) > 1:
            mesh.polygons.foreach_set("material_index", model.surface_of.astype(np.int32))
        return mesh

    def _own(self, picture: Path | bytes | None) -> Any:
        """The picture that a model's file brings."""
        if picture is None:
            return None
        return self._load(picture) if isinstance(picture, Path) else None

    def _picture(self, name: str) -> Any:
        if name not in self._pictures:
            made = self._load(self._textures[name]) if name in self._textures else self._built(name)
            self._pictures[name] = made
        return self._pictures[name]

    def _built(self, name: str) -> Any:
        values = TEXTURES[name]()[::-1]
        height, width = values.shape[:2]
        picture = self._bpy.data.images.new(name, width, height)
        whole = np.concatenate([values, np.ones((height, width, 1))], axis=-1)
        picture.pixels.foreach_set(whole.astype(np.float32).ravel())
        picture.update()
        picture.pack()
        return picture

    def _load(self, path: Path) -> Any:
        try:
            picture = self._bpy.data.images.load(str(path), check_existing=True)
        except RuntimeError as error:
            raise DataError(f"cannot read the picture {path}: {error}") from error
        return picture

    def backdrop(self, name: str, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """A picture as linear light, cut and scaled to fill (H, W, 3), top row first."""
        picture = self._picture(name)
        width, height = picture.size
        values = np.empty(width * height * 4, np.float32)
        picture.pixels.foreach_get(values)
        light = values.reshape(height, width, 4)[::-1, :, :3]
        if not picture.is_float:
            light = linear(light).astype(np.float32)
        return _fill(light, size).astype(np.float32)


def _smooth(mesh: Any, model: Model) -> None:
    """Normals as the file has them, or smooth but for sharp edges."""
    if model.normals is None:
        mesh.shade_smooth()
        mesh.set_sharp_from_angle(angle=_SHARP)
    else:
        mesh.normals_split_custom_set(model.normals.reshape(-1, 3).tolist())


def _fill(picture: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The middle of a picture, as large as fits, as means over areas (H, W, 3)."""
    height, width = picture.shape[:2]
    scale = min(height / size[0], width / size[1])
    left = _shares(height, size[0], scale)
    right = _shares(width, size[1], scale)
    found: npt.NDArray[np.float64] = np.einsum(
        "hr,rcx,wc->hwx", left, picture, right, optimize=True
    )
    return found


def _shares(given: int, wanted: int, scale: float) -> npt.NDArray[np.float64]:
    """(wanted, given): how much of each given pixel each wanted one, ``scale`` wide, holds."""
    start = (given - wanted * scale) / 2
    ends = start + scale * np.arange(wanted + 1)
    low, high = ends[:-1, None], ends[1:, None]
    at = np.arange(given)[None]
    held = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    shares: npt.NDArray[np.float64] = held / held.sum(1, keepdims=True)
    return shares


def _slab() -> Model:
    """The table: 1 x 1 m, its top at z = 0; a picture lies on all of its top."""
    corners: Sequence[tuple[float, float]] = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    vertices = np.array([(x, y, z) for z in (0.0, -_SLAB) for x, y in corners])
    quads = [
        (0, 1, 2, 3),
        (7, 6, 5, 4),
        *((i, i + 4, (i + 1) % 4 + 4, (i + 1) % 4) for i in range(4)),
    ]
    faces = np.array([(a, b, c) for a, b, c, d in quads for a, b, c in ((a, b, c), (a, c, d))])
    uv = vertices[faces][..., :2] + 0.5
    flat = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )
    normals = np.repeat((flat / np.linalg.norm(flat, axis=1)[:, None])[:, None], 3, axis=1)
    return Model(
        vertices, faces.astype(np.int32), normals, uv, surface_of=np.zeros(len(faces), np.int32)
    )
