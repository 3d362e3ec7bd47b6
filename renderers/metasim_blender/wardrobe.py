"""Meshes and pictures in Blender's data: made when first needed, kept, shared by all objects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError
from metasim_blender.colour import linear
from metasim_blender.materials import COLOURS, Profile, Shading, make_material
from metasim_blender.model import Model
from metasim_blender.textures import TEXTURES
from metasim_blender.vocabulary import PLAIN

__all__ = ["Look", "Wardrobe"]

Look = tuple[str, str]
"""(model, texture) of what stands on the stage; the table's model is ""."""

_SHARP: Final = np.radians(38)  # edges of a larger angle are not smoothed
_SLAB: Final = 0.03  # metres; the table's thickness


class Wardrobe:
    """What things look like.

    Args:
        bpy: the module.
        models: by name.
        textures: files by name, besides those of the package.
        profile: how surfaces are computed.

    Raises:
        DataError: when a picture is none.
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
        self._meshes: dict[Look, Any] = {}
        self._materials: list[Any] = []
        self._pictures: dict[str | Path | bytes, Any] = {}
        self._backdrops: dict[str, npt.NDArray[np.float32]] = {}
        try:
            for name in textures:
                self._picture(name)
            for surface in (s for model in models.values() for s in model.surfaces):
                self._own_picture(surface.picture)
        except DataError:
            self.close()
            raise

    def mesh(self, look: Look) -> Any:
        """The mesh that looks so, with its materials."""
        if look not in self._meshes:
            model, texture = look
            self._meshes[look] = self._make(self._models[model] if model else _slab(), texture)
        return self._meshes[look]

    def backdrop(self, name: str, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """A picture as linear light, cut and scaled to fill (H, W, 3), top row first."""
        if name not in self._backdrops:
            picture = self._picture(name)
            width, height = picture.size
            values = np.empty(width * height * 4, np.float32)
            picture.pixels.foreach_get(values)
            light = values.reshape(height, width, 4)[::-1, :, :3]
            if not picture.is_float:
                light = linear(light).astype(np.float32)
            self._backdrops[name] = _fill(light, size)
        return self._backdrops[name]

    def close(self) -> None:
        """Remove everything from Blender; nothing may use it any more."""
        data = self._bpy.data
        for known, made in (
            (data.meshes, self._meshes.values()),
            (data.materials, self._materials),
            (data.images, self._pictures.values()),
        ):
            for each in made:
                known.remove(each)
        self._meshes, self._materials, self._pictures = {}, [], {}

    def _make(self, model: Model, texture: str) -> Any:
        mesh = self._bpy.data.meshes.new("metasim")
        mesh.from_pydata(model.vertices.tolist(), [], model.faces.tolist())
        if model.colours is not None:
            colours = np.concatenate([model.colours, np.ones((*model.faces.shape, 1))], axis=-1)
            layer = mesh.attributes.new(COLOURS, "FLOAT_COLOR", "CORNER")
            layer.data.foreach_set("color", colours.astype(np.float32).reshape(-1))
        if model.uv is not None:
            layer = mesh.uv_layers.new(name="uv")
            uv = np.nan_to_num(model.uv)  # NaN only in surfaces that are not mapped
            layer.data.foreach_set("uv", uv.astype(np.float32).reshape(-1))
        if len(model.surfaces) > 1:
            mesh.polygons.foreach_set("material_index", model.surface_of.astype(np.int32))
        _smooth(mesh, model)
        for surface, mapped in zip(model.surfaces, _mapped(model), strict=True):
            plain = texture == PLAIN
            shading = Shading(
                surface.colour if plain else (1.0, 1.0, 1.0),
                plain and model.colours is not None,
                self._own_picture(surface.picture) if plain else self._picture(texture),
                mapped,
                surface.roughness,
                surface.metallic,
            )
            self._materials.append(make_material(self._bpy, shading, self._profile))
            mesh.materials.append(self._materials[-1])
        return mesh

    def _own_picture(self, picture: Path | bytes | None) -> Any:
        """The picture that a model brings."""
        if picture is None:
            return None
        if picture not in self._pictures:
            made = self._load(picture) if isinstance(picture, Path) else self._unpack(picture)
            self._pictures[picture] = made
        return self._pictures[picture]

    def _picture(self, name: str) -> Any:
        """The picture of a texture."""
        if name not in self._pictures:
            file = self._textures.get(name)
            self._pictures[name] = self._built_in(name) if file is None else self._load(file)
        return self._pictures[name]

    def _built_in(self, name: str) -> Any:
        values = TEXTURES[name]()[::-1]
        height, width = values.shape[:2]
        picture = self._bpy.data.images.new(name, width, height)
        whole = np.concatenate([values, np.ones((height, width, 1))], axis=-1)
        picture.pixels.foreach_set(whole.astype(np.float32).reshape(-1))
        picture.pack()  # else Cycles does not get to see the pixels
        return picture

    def _load(self, path: Path) -> Any:
        try:
            picture = self._bpy.data.images.load(os.fspath(path))
        except RuntimeError as error:
            raise DataError(f"cannot read the picture {path}: {error}") from error
        return self._checked(picture, str(path))

    def _unpack(self, data: bytes) -> Any:
        picture = self._bpy.data.images.new("metasim", 1, 1)
        picture.pack(data=data, data_len=len(data))
        picture.source = "FILE"
        return self._checked(picture, "the picture within a model's file")

    def _checked(self, picture: Any, what: str) -> Any:
        if 0 in picture.size[:]:
            self._bpy.data.images.remove(picture)
            raise DataError(f"{what} must be an image (PNG, JPEG, ...), and cannot be read as one")
        return picture


def _mapped(model: Model) -> list[bool]:
    """Of each surface, whether all of its corners have a place in a picture."""
    count = len(model.surfaces)
    if model.uv is None:
        return [False] * count
    bare = np.isnan(model.uv).any((1, 2))
    mapped: list[bool] = (np.bincount(model.surface_of[bare], minlength=count) == 0).tolist()
    return mapped


def _smooth(mesh: Any, model: Model) -> None:
    """Normals as the file has them, or smooth but for sharp edges."""
    if model.normals is None:
        mesh.shade_smooth()
        mesh.set_sharp_from_angle(angle=_SHARP)
    else:
        mesh.normals_split_custom_set(model.normals.reshape(-1, 3).tolist())


def _fill(picture: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The middle of a picture, as large as fits, as means over areas (H, W, 3)."""
    height, width = picture.shape[:2]
    scale = min(height / size[0], width / size[1])
    down, across = _shares(height, size[0], scale), _shares(width, size[1], scale)
    filled: npt.NDArray[np.float64] = np.einsum(
        "hr,rcx,wc->hwx", down, picture, across, optimize=True
    )
    return filled.astype(np.float32)


def _shares(given: int, wanted: int, scale: float) -> npt.NDArray[np.float64]:
    """(wanted, given): the share of each wanted pixel, ``scale`` wide, in each given one."""
    start = (given - wanted * scale) / 2
    ends = start + scale * np.arange(wanted + 1)
    at = np.arange(given)[None]
    held = np.minimum(ends[1:, None], at + 1) - np.maximum(ends[:-1, None], at)
    shares: npt.NDArray[np.float64] = np.clip(held, 0, None)
    shares /= shares.sum(1, keepdims=True)
    return shares


def _slab() -> Model:
    """The table: 1 x 1 m, its top at z = 0; a picture lies over all of its top."""
    around = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    vertices = np.array([(x, y, z) for z in (0.0, -_SLAB) for x, y in around])
    sides = [(i, i + 4, (i + 1) % 4 + 4, (i + 1) % 4) for i in range(4)]
    quads = [(0, 1, 2, 3), (7, 6, 5, 4), *sides]
    faces = np.array([half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))], np.int32)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return Model(
        vertices,
        faces,
        np.repeat(flat[:, None], 3, axis=1),
        vertices[faces][..., :2] + 0.5,
        surface_of=np.zeros(len(faces), np.int32),
    )
