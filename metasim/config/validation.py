"""Checking a document against a pydantic model: every mistake, each with its position."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from metasim.config.shape import Slot, slots
from metasim.errors import Mistake, did_you_mean
from metasim.yamlfile import Document, Place

__all__ = ["check", "fill_choices", "show", "type_mistake"]

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def check(
    model: type[M],
    document: Document,
    broken: Collection[Place] = (),
    told: Collection[Place] = (),
) -> tuple[M | None, list[Mistake]]:
    """The model that a document describes, or what is wrong with it.

    Numbers, text and booleans must be written as such: ``"10"`` is no number.

    Args:
        model: what the document should be.
        document: as read; positions come from its marks.
        broken: places known to be wrong already; nothing is said of them or below them.
        told: places of which a mistake is told already; a rule that the whole around one
            breaks is passed over, since it says the same from further away.

    Returns:
        The model and no mistakes, or None and at least one, unless all are known already.
    """
    payload = _listed(model, document.data)
    try:
        return model.model_validate_json(json.dumps(payload), strict=True), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    known = {slot.place: slot for slot in slots(model, document.data)}
    by_place: dict[Place, list[ErrorDetails]] = {}
    for detail in found:
        place = _place(detail, document.data)
        known_already = any(_within(place, start) for start in broken) or (
            # A rule of the whole cannot be judged where a part could not be read.
            detail["type"] == "value_error"
            and any(_within(spot, place) for spot in (*told, *broken))
        )
        if not known_already and not _echo(detail):
            by_place.setdefault(place, []).append(detail)
    return None, [
        _mistake(document, place, details, known)
        for place, details in by_place.items()
        if not _superseded(place, details, by_place)
    ]


def fill_choices(model: type[BaseModel], document: Document) -> None:
    """Write the key that names a choice wherever one with a default was made without it."""
    while True:
        for slot in slots(model, document.data):
            data = slot.data
            tag = slot.tag
            if tag and slot.default and isinstance(data, dict) and tag not in data:
                data[tag] = getattr(slot.default, tag)
                break  # what belongs below has only now become known
        else:
            return


def type_mistake(annotation: Any, value: Any) -> str | None:
    """What is wrong with ``value`` for a constructor's annotation; None where nothing is.

    Args:
        annotation: a type; one that pydantic does not know accepts everything.
        value: plain data from YAML.
    """
    try:
        adapter = TypeAdapter(annotation)
    except Exception:  # annotations of plugins may be anything, also unresolvable
        return None
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        inside = [d for d in error.errors(include_url=False) if not _echo(d)]
        return "; ".join(dict.fromkeys(_describe([d], None) for d in inside))
    return None


def show(value: Any) -> str:
    """``value`` as it would be written in YAML, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    text = "nothing" if value is None else repr(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(model: type[BaseModel], data: Any) -> Any:
    """``data`` with a lone entry of a list of choices put into a list."""
    if not isinstance(data, dict):
        return data
    lone = {
        slot.place[0]
        for slot in slots(model, data)
        if len(slot.place) == 1
        and slot.tagged
        and isinstance(model.model_fields[str(slot.place[0])].default, tuple)
    }
    return {key: [value] if key in lone else value for key, value in data.items()}


def _place(detail: ErrorDetails, data: Any) -> Place:
    """Where in ``data`` an error is; pydantic also lists the union members it tried."""
    place: list[str | int] = []
    last = len(detail["loc"]) - 1
    for i, step in enumerate(detail["loc"]):
        in_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if in_list or (isinstance(data, Mapping) and step in data):
            data = data[step]
        elif not (detail["type"] == "missing" and i == last):
            continue
        place.append(step)
    if detail["type"] == "union_tag_invalid":
        place.append(detail["ctx"]["discriminator"].strip("'"))
    return tuple(place)


def _within(place: Place, around: Place) -> bool:
    return place[: len(around)] == around


def _echo(detail: ErrorDetails) -> bool:
    """Whether a list is only called too short because some entry of it is wrong."""
    length = detail.get("ctx", {}).get("min_length", 0)
    given = detail["input"]
    return detail["type"] == "too_short" and isinstance(given, list) and len(given) >= length


def _superseded(place: Place, details: list[ErrorDetails], by_place: Mapping[Place, Any]) -> bool:
    """Whether only types are wrong here, while another union member got further."""
    deeper = any(p != place and _within(p, place) for p in by_place)
    return deeper and all(d["type"] in _EXPECTED for d in details)


def _mistake(
    document: Document, place: Place, details: list[ErrorDetails], known: Mapping[Place, Slot]
) -> Mistake:
    kind = details[0]["type"]
    message = _describe(details, known.get(place[:-1]))
    slot = known.get(place)
    tag = (slot and slot.tag) or "use"
    if slot and slot.members and kind.endswith("_type") and tag in slot.members[0].model_fields:
        default = slot.members[0].model_fields[tag].default
        # A renderer is any name: then what was written is likely the one that is meant.
        example = default if slot.tagged else slot.data if isinstance(slot.data, str) else "NAME"
        message = message.replace("a mapping", f"a mapping such as {{{tag}: {example}}}", 1)
    return document.mistake(place, message, key=kind == "extra_forbidden")


def _describe(details: list[ErrorDetails], around: Slot | None) -> str:
    """What must hold, what was got, and what to do.

    Args:
        details: the errors at one place, several where a union's members all failed.
        around: what belongs at the place above.
    """
    known = [*_EXPECTED, "literal_error"] if len(details) > 1 else _EXPECTED
    if all(d["type"] in known for d in details):
        wanted = list(dict.fromkeys(_expected(d) for d in details))
        listed = " or ".join([", ".join(wanted[:-1]), wanted[-1]] if wanted[1:] else wanted)
        return f"must be {listed}, got {show(details[0]['input'])}"
    first = next(d for d in details if d["type"] not in _EXPECTED)
    return _describe_one(first, around)


def _expected(detail: ErrorDetails) -> str:
    if detail.get("ctx", {}).get("class_name") == "_Tagged":
        return "a distribution such as {normal: {mean: 0, std: 10}}"
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    return _EXPECTED[detail["type"]]


def _describe_one(detail: ErrorDetails, around: Slot | None) -> str:
    kind, given = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(detail['loc'][-1]), around.keys if around else [])}"
    if kind == "missing":
        if isinstance(detail["loc"][-1], int):
            return f"the list must have at least {detail['loc'][-1] + 1} entries"
        return "is missing and must be given"
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]:g}, got {show(given)}"
    if kind == "literal_error":
        known = re.findall(r"'([^']+)'", context["expected"])
        return f"must be {context['expected']}, got {show(given)}{_advice(given, known)}"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        given = context["tag"]
        return f"must be one of {', '.join(tags)}, got {show(given)}{_advice(given, tags)}"
    if kind == "union_tag_not_found" and re.fullmatch(r"'\w+'", context["discriminator"]):
        return f"must name its kind with the key {context['discriminator']}"
    if kind == "too_short":
        return f"must have at least {context['min_length']} entries, got {context['actual_length']}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries, got {context['actual_length']}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}, got {show(given)}"
    if kind == "value_error":
        return str(context["error"])
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {show(given)}"


def _advice(given: Any, known: Sequence[str]) -> str:
    near = did_you_mean(str(given), known)
    return f"; {near}" if near.startswith("did") else ""
