"""Settings given on the command line, as in ``training.lr=1e-3``, put over those of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from metasim.config.shape import TAGS, Slot, slots
from metasim.errors import ConfigError, Mistake
from metasim.yamlfile import COMMAND_LINE, MAX_DEPTH, Document, Mark, Place, parse

__all__ = ["RendererOptions", "apply", "put_options"]

RendererOptions = Callable[[Any, Place], frozenset[str] | None]
"""The option names of the renderer that a specification names; None where unknown."""


def _split(override: str) -> tuple[str, str]:
    """Key and value of ``key=value``.

    Raises:
        ConfigError: when there is no key or no ``=``, or the key is endless.
    """
    key, equals, value = override.partition("=")
    steps = key.split(".")
    if not equals or not all(steps):
        message = f"must be key=value, such as training.lr=1e-3, got {override!r}"
        raise ConfigError([Mistake(message, COMMAND_LINE)])
    if len(steps) > MAX_DEPTH:
        message = f"a key must have at most {MAX_DEPTH} parts, got {len(steps)}"
        raise ConfigError([Mistake(message, COMMAND_LINE, key=f"{key[:60]}...")])
    return key, value


def _value_of(key: str, text: str) -> Document:
    """The value of ``key=text``, read as YAML; its marks say "command line".

    Raises:
        ConfigError: when the text is not YAML.
    """
    try:
        document = parse(text, COMMAND_LINE)
    except ConfigError as error:
        raise ConfigError(
            [Mistake(m.message, COMMAND_LINE, key=key) for m in error.mistakes]
        ) from None
    for marks in (document.keys, document.values):
        marks.update(dict.fromkeys(marks, Mark(COMMAND_LINE)))
    document.mistakes = [
        Mistake(m.message, COMMAND_LINE, key=".".join(part for part in (key, m.key) if part))
        for m in document.mistakes
    ]
    return document


def apply(
    document: Document,
    overrides: Sequence[str],
    model: type[BaseModel],
    renderer_options: RendererOptions,
) -> None:
    """Put ``overrides`` into ``document``, one after the other.

    Setting one member of a choice replaces the others: options that the file gives and that
    only they have are dropped. Mistakes are added to the document's.

    Args:
        document: changed in place.
        overrides: each ``dotted.key=YAML``.
        model: the type of the whole document, which knows its choices.
        renderer_options: tells which options a renderer takes.
    """
    for override in overrides:
        try:
            key, text = _split(override)
            value = _value_of(key, text)
            document.mistakes += value.mistakes
            _set(document, _steps(key), value, model, renderer_options)
        except ConfigError as error:
            document.mistakes += error.mistakes


def put_options(document: Document, place: Place, options: Sequence[str]) -> None:
    """Put ``key=YAML`` settings into the mapping at ``place``; mistakes are the document's."""
    for option in options:
        try:
            key, text = _split(option)
            value = _value_of(key, text)
        except ConfigError as error:
            document.mistakes += error.mistakes
            continue
        document.mistakes += value.mistakes
        document.graft((*place, key), value)
        document.keys[(*place, key)] = Mark(COMMAND_LINE)


def _steps(key: str) -> Place:
    return tuple(int(step) if step.isdecimal() else step for step in key.split("."))


def _set(
    document: Document,
    place: Place,
    value: Document,
    model: type[BaseModel],
    renderer_options: RendererOptions,
) -> None:
    place = _make_room(document, place)
    parent = place[:-1]
    before = _at(document.data, parent)
    old = dict(before) if isinstance(before, dict) else {}
    document.graft(place, value)
    document.keys[place] = Mark(COMMAND_LINE)
    _drop_other_members(document, parent, place[-1], model)
    if place[-1] == "use" and parent and parent[-1] == "renderer":
        _drop_renderer_options(document, parent, old, renderer_options)


def _make_room(document: Document, place: Place) -> Place:
    """Make every mapping on the way to ``place``; returns the place as the data knows it."""
    here: Any = document.data
    done: Place = ()
    for depth, step in enumerate(place):
        if isinstance(here, dict):
            done = (*done, str(step))
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            done = (*done, step)
        else:
            raise _cannot_enter(place, depth, here)
        if depth + 1 == len(place):
            break
        below = here.get(done[-1]) if isinstance(here, dict) else here[step]
        # Naming another member of a choice replaces whatever stood there, a list included.
        if below is None or (place[depth + 1] in TAGS and not isinstance(below, dict)):
            below = {}
            document.graft(done, Document(below, {}, {(): Mark(COMMAND_LINE)}))
            document.keys[done] = Mark(COMMAND_LINE)
        here = below
    return done


def _at(data: Any, place: Place) -> Any:
    for step in place:
        data = data[step]
    return data


def _cannot_enter(place: Place, depth: int, found: Any) -> ConfigError:
    key, above = ".".join(map(str, place)), ".".join(map(str, place[:depth]))
    if isinstance(found, list):
        message = f"{above} is a list of {len(found)}; name an entry, such as {above}.0"
    else:
        message = f"{above} is {found!r} and holds no keys; set {above} as a whole"
    return ConfigError([Mistake(message, COMMAND_LINE, key=key)])


def _drop_other_members(
    document: Document, parent: Place, key: str | int, model: type[BaseModel]
) -> None:
    slot = next((s for s in slots(model, document.data) if s.place == parent), None)
    if slot is None or len(slot.members) < 2 or not isinstance(slot.data, dict):
        return
    chosen = slot.member({slot.tag: slot.data.get(slot.tag)} if slot.tag else {key: None})
    if chosen is None or (slot.tag and key != slot.tag):
        return
    others = {name for member in slot.members for name in member.model_fields}
    _drop(document, slot, others - set(chosen.model_fields))


def _drop(document: Document, slot: Slot, names: set[str] | frozenset[str]) -> None:
    """Drop what the file gave; what was asked for on the command line is never passed over."""
    for name in names & set(slot.data):
        place = (*slot.place, name)
        if document.mark(place, key=True).file != COMMAND_LINE:
            document.forget(place)
            del slot.data[name]


def _drop_renderer_options(
    document: Document, parent: Place, old: dict[str, Any], renderer_options: RendererOptions
) -> None:
    """Drop the options of the renderer that was there and that the new one does not have."""
    spec = _at(document.data, parent)
    before, after = renderer_options(old, parent), renderer_options(spec, parent)
    given = spec.get("options")
    if before is not None and after is not None and isinstance(given, dict):
        _drop(document, Slot((*parent, "options"), given), before - after)
