"""What the JSON of frames says (PROTOCOL.md, sections 3 to 7)."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, FailFast, Field, GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import core_schema

from metasim.render.base import Label
from metasim.render.geometry import Camera, Pose
from metasim.render.size import LARGEST_SIDE

__all__ = [
    "REQUEST_BYTES",
    "Configure",
    "Failure",
    "Hello",
    "Images",
    "Meshes",
    "ModelTold",
    "Models",
    "PlaneTold",
    "Render",
]

REQUEST_BYTES: Final = 4_000_000
"""The longest frame that any player takes."""

T = TypeVar("T")

# Whole numbers may be written 3 or 3.0, hence not strict.
_Whole = Annotated[int, Field(ge=0, lt=1 << 31)]
_Count = Annotated[int, Field(ge=1, le=1 << 24)]
_Side = Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]
_Box = tuple[_Side, _Side, _Side, _Side]
_Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_List = Annotated[list[T], FailFast()]  # else a long one that is wrong makes as many errors
_Size = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class Configure(BaseModel):
    """What is wanted."""

    protocols: _List[int]
    image_size: tuple[_Size, _Size]
    planes: _List[str]


class Hello(BaseModel):
    """What a player is.

    Attributes:
        protocol: the version that it speaks.
        player: its name and version.
        image_size: (H, W) of the images.
        planes: names of those that it sends, in order.
        cameras: whether it tells the camera of each image.
        models: whether it tells the models of classes.
        rows: in which order the rows of its planes are.
        kinds: kind -> attributes that it understands.
        categories: kind -> classes that it can have.
        request_bytes: the longest frame that it takes.
    """

    protocol: int
    player: Annotated[str, Field(max_length=200)] = "a player"
    image_size: tuple[_Size, _Size]
    planes: _List[str]
    cameras: bool = False
    models: bool = False
    rows: Literal["top-down", "bottom-up"]
    kinds: dict[str, tuple[str, ...]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    request_bytes: Annotated[int, Field(ge=4096)] = REQUEST_BYTES


class Render(BaseModel):
    """Scenes to draw."""

    scenes: Annotated[_List[Any], Field(min_length=1, max_length=4096)]


@dataclass(slots=True)
class PlaneTold:
    """Where a plane lies among the bytes of all."""

    name: str
    type: str
    offset: _Whole


def _of(cls: type, **kinds: Any) -> GetPydanticSchema:
    """Objects of a frozen dataclass, made at once: thousands a second are.

    Args:
        cls: the dataclass, which has slots.
        kinds: of those of its fields that are told; the others are left without a value.
    """
    defaults = {field.name: field.default for field in fields(cls)}

    def schema(_: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        told = []
        for name, kind in kinds.items():
            one = handler.generate_schema(kind)
            if defaults[name] is not MISSING:
                one = core_schema.with_default_schema(one, default=defaults[name])
            told.append(core_schema.dataclass_field(name, one))
        arguments = core_schema.dataclass_args_schema(cls.__name__, told)
        return core_schema.dataclass_schema(cls, arguments, [*kinds], slots=True)

    return GetPydanticSchema(schema)


_Rotation = tuple[_Real, _Real, _Real, _Real, _Real, _Real, _Real, _Real, _Real]
_Vector = tuple[_Real, _Real, _Real]
_Pose = Annotated[Pose, _of(Pose, rotation=_Rotation, translation=_Vector, scale=_Real)]
_Camera = Annotated[Camera, _of(Camera, fx=_Real, fy=_Real, cx=_Real, cy=_Real, world=_Pose | None)]
_Label = Annotated[
    Label,
    _of(
        Label,
        instance=_Whole,
        node=_Whole,
        category=str,
        box=_Box,
        visible=_Real,
        full_box=_Box | None,
        pose=_Pose | None,
    ),
]


class Images(BaseModel):
    """Images of some scenes.

    Attributes:
        first: place of the first scene in the request.
        count: how many scenes.
        planes: of the images, in order.
        labels: of each image; their ``name`` and ``kind``, which are the scene's, have no value.
        cameras: of each image, where they are told.
    """

    first: _Whole
    count: _Whole
    planes: _List[PlaneTold]
    labels: _List[_List[_Label]]
    cameras: _List[_Camera] = []


class Models(BaseModel):
    """The models are asked for."""


@dataclass(slots=True)
class ModelTold:
    """How many corners and faces the model of a class has."""

    category: str
    vertices: _Count
    faces: _Count


class Meshes(BaseModel):
    """Models of some classes."""

    models: Annotated[_List[ModelTold], Field(max_length=4096)]


class Failure(BaseModel):
    """What went wrong."""

    code: str = ""
    message: str = "no message"
    scene: _Whole | None = None
