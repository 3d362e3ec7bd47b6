"""Which model each part of a configuration's data is meant to be, seen from the types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metasim.scene import distributions
from metasim.scene.distributions import Distribution
from metasim.yamlfile import Place

__all__ = ["DISTRIBUTIONS", "TAGS", "Slot", "slots"]

TAGS = ("use", "method")
"""The keys that tell which member of a choice is meant; each choice has one of them."""


def _yaml_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    _yaml_name(name): found
    for name, found in vars(distributions).items()
    if name in distributions.__all__ and isinstance(found, type) and found is not Distribution
}
"""The distributions by the name they have in YAML."""


@dataclass(frozen=True)
class Slot:
    """One place of a configuration and what belongs there.

    Attributes:
        place: the way to it.
        data: what was written there.
        members: the models it may be; empty for a path.
        default: what stands there when nothing is written, None where unknown.
    """

    place: Place
    data: Any
    members: tuple[type[BaseModel], ...] = ()
    default: Any = None

    @property
    def is_path(self) -> bool:
        """Whether a file or folder is named here."""
        return not self.members

    @property
    def tag(self) -> str | None:
        """The key that chooses among the members; None where there is none."""
        shared = (tag for tag in TAGS if all(tag in m.model_fields for m in self.members))
        return next(shared, None) if len(self.members) > 1 else None

    @property
    def tagged(self) -> bool:
        """Whether a key chooses among the members."""
        return self.tag is not None

    @property
    def model(self) -> type[BaseModel] | None:
        """The member that the data means; None where that cannot be told."""
        return self.members[0] if len(self.members) == 1 else self.member(self.data)

    def member(self, data: Any) -> type[BaseModel] | None:
        """The member that ``data`` chooses, by its tag or by the key that marks a member."""
        if not isinstance(data, dict):
            return None
        for member in self.members:
            if self.tag and data.get(self.tag) == member.model_fields[self.tag].default:
                return member
            if not self.tag and next(iter(member.model_fields)) in data:
                return member
        return None

    @property
    def keys(self) -> list[str]:
        """The keys that may be written here."""
        if self.members == (Distribution,):
            return list(DISTRIBUTIONS)
        return list(self.model.model_fields) if self.model else []


def slots(annotation: Any, data: Any, place: Place = (), default: Any = None) -> Iterator[Slot]:
    """Every place in ``data`` that a model or a path belongs to, the outermost first.

    Args:
        annotation: the type that ``data`` should have.
        data: plain data, right or wrong.
        place: where ``data`` stands.
        default: what stands there when nothing is written.
    """
    annotation = _bare(annotation)
    options = _members(annotation)
    models = tuple(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    if models:
        slot = Slot(place, data, models, default)
        yield slot
        yield from _below(slot)
    for option in options:
        if option is Path:
            yield Slot(place, data)
        elif get_origin(option) in (tuple, list):
            inner = get_args(option)[0]
            # A list of choices may be written as the one choice it holds.
            items = data if isinstance(data, list) else None
            for index, item in enumerate(items or []):
                yield from slots(inner, item, (*place, index))
            if isinstance(data, dict):
                first = default[0] if default else None
                yield from slots(inner, data, place, first)
        elif get_origin(option) is dict and isinstance(data, dict):
            for key, item in data.items():
                yield from slots(get_args(option)[1], item, (*place, key))


def _below(slot: Slot) -> Iterator[Slot]:
    if not isinstance(slot.data, dict):
        return
    if slot.members == (Distribution,):
        for key, item in slot.data.items():
            if key in DISTRIBUTIONS:
                yield from slots(DISTRIBUTIONS[key], item, (*slot.place, key))
    elif slot.model:
        for key, info in slot.model.model_fields.items():
            if key in slot.data:
                default = _default(info)
                yield from slots(info.annotation, slot.data[key], (*slot.place, key), default)


def _default(info: FieldInfo) -> Any:
    return None if info.is_required() else info.get_default(call_default_factory=False)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> list[Any]:
    """What a type may be: the members of a union, also of those within it, or itself."""
    if get_origin(annotation) not in (Union, UnionType):
        return [annotation]
    return [member for part in get_args(annotation) for member in _members(_bare(part))]
