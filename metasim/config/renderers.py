"""What can be told of a renderer before it is built: its options and what it draws."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from metasim.config.grammars import grammar_nodes
from metasim.config.validation import type_mistake
from metasim.errors import Mistake, PluginError, did_you_mean
from metasim.render.base import Renderer
from metasim.render.drawing import kinds_of
from metasim.render.plugins import load_renderer
from metasim.yamlfile import Document, Place

__all__ = [
    "PathOption",
    "drawing_mistakes",
    "drawn_size",
    "find",
    "option_mistakes",
    "option_names",
    "path_options",
]


def find(use: Any, folder: Path | None) -> type[Renderer] | str:
    """The renderer class called ``use``, or what is wrong with that name.

    Args:
        use: a plugin's name or ``module:Class``.
        folder: where ``module`` is looked for besides Python's own path.
    """
    if not isinstance(use, str):
        return "must be the name of a renderer"
    try:
        return load_renderer(use, folder)
    except PluginError as error:
        return str(error)


def option_names(found: type[Renderer] | str) -> frozenset[str] | None:
    """The options a renderer takes; None where that is not known or it takes any."""
    if isinstance(found, str):
        return None
    parameters = inspect.signature(found).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL)


class PathOption(NamedTuple):
    """A text among a renderer's options that its constructor says may be a path.

    Attributes:
        place: of it within the options.
        written: the text.
        names: what may be said instead, which is no path: the default, and texts that the
            annotation names.
    """

    place: Place
    written: str
    names: tuple[str, ...]


def path_options(found: type[Renderer] | str, options: Mapping[str, Any]) -> list[PathOption]:
    """The texts that may be paths, of mappings and lists within the options too."""
    if isinstance(found, str):
        return []
    parameters = inspect.signature(found).parameters
    paths = []
    for name, hint in _hints(found).items():
        if name in parameters and name in options:
            default = parameters[name].default
            names = (default,) if isinstance(default, str) else ()
            paths += _paths(hint, (name,), options[name], names)
    return paths


def _paths(hint: Any, place: Place, value: Any, names: tuple[str, ...] = ()) -> list[PathOption]:
    """The texts in ``value`` that an annotation says may be paths."""
    members = _members(hint)
    if isinstance(value, str):
        named = [text for part in members if get_origin(part) is Literal for text in get_args(part)]
        return [PathOption(place, value, (*names, *named))] if Path in members else []
    found = []
    for part in members:
        inner = get_args(part)
        if isinstance(value, dict) and _is_a(part, Mapping) and len(inner) == 2:
            found += [
                p for key, each in value.items() for p in _paths(inner[1], (*place, key), each)
            ]
        elif isinstance(value, list) and _is_a(part, Sequence) and inner:
            found += [
                p for i, each in enumerate(value) for p in _paths(inner[0], (*place, i), each)
            ]
    return found


def _members(hint: Any) -> list[Any]:
    """The alternatives that an annotation leaves."""
    if get_origin(hint) is Annotated:
        return _members(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [hint]


def _is_a(hint: Any, kind: type) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, kind)


def drawn_size(found: type[Renderer] | str, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) of what a renderer will draw, None where only building it can tell.

    Known of a renderer with the option ``image_size``, named as what the contract has it set.

    Args:
        found: the renderer's class, or what is wrong with its name.
        options: all that it will be built with.
    """
    if isinstance(found, str):
        return None
    parameter = inspect.signature(found).parameters.get("image_size")
    if parameter is None:
        return None
    size = options.get("image_size", parameter.default)
    if not (isinstance(size, (list, tuple)) and len(size) == 2):
        return None
    height, width = size
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def option_mistakes(
    document: Document,
    place: Place,
    found: type[Renderer],
    options: Mapping[str, Any],
    given: frozenset[str],
    *,
    files: bool = True,
) -> list[Mistake]:
    """What is wrong with a renderer's options: unknown, missing, of another type, not there.

    Args:
        document: gives the positions.
        place: of the renderer's specification.
        found: the renderer's class.
        options: all of them.
        given: those to judge; the others came from elsewhere and are judged there.
        files: whether the files and folders they name must be there.
    """
    known = option_names(found)
    hints = _hints(found)
    paths = path_options(found, options) if files else []
    mistakes = []
    for name, value in options.items():
        here = (*place, "options", name)
        if name not in given:
            continue
        if known is not None and name not in known:
            message = f"the renderer has no such option; {did_you_mean(name, sorted(known))}"
            mistakes.append(document.mistake(here, message, key=True))
            continue
        wrong = type_mistake(hints[name], value) if name in hints else None
        if wrong is not None:
            mistakes.append(document.mistake(here, wrong))
            continue
        for path in paths:
            if path.place[0] == name and (missing := _path_mistake(path)):
                mistakes.append(document.mistake((*place, "options", *path.place), missing))
    for name, parameter in inspect.signature(found).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in options:
            here = (*place, "options", name)
            mistakes.append(document.mistake(here, "is an option the renderer must be given"))
    return mistakes


def drawing_mistakes(
    document: Document,
    place: Place,
    grammar: Any,
    found: type[Renderer],
    use: str,
    options: Mapping[str, Any],
) -> list[Mistake]:
    """Kinds and attributes of a grammar that a renderer does not know.

    Args:
        document: gives the positions.
        place: of the grammar.
        grammar: its plain data, right or wrong: what else is amiss must not hide this.
        found: the renderer's class.
        use: the renderer's name, for messages.
        options: of the renderer, right or wrong.

    Raises:
        PluginError: when the renderer does not say what it knows.
    """
    kinds, mistakes = kinds_of(found, options, use), []
    for here, node in grammar_nodes(place, grammar):
        kind, attributes = node.get("kind"), node.get("attributes")
        if not isinstance(kind, str):
            continue
        if kind not in kinds:
            near = did_you_mean(kind, list(kinds))
            message = f"the renderer {use!r} draws no {kind!r}; {near}"
            mistakes.append(document.mistake((*here, "kind"), message))
            continue
        known = kinds[kind]
        for name in attributes if isinstance(attributes, dict) else ():
            if name not in known:
                near = did_you_mean(name, list(known))
                message = f"the renderer {use!r} knows no {name!r} of a {kind!r}; {near}"
                mistakes.append(document.mistake((*here, "attributes", name), message, key=True))
    return mistakes


def _hints(found: type[Renderer]) -> dict[str, Any]:
    """What a constructor's annotations say, each resolved by itself.

    One that cannot be resolved says nothing of its own option, and hides no other.
    """
    init = found.__init__
    known = getattr(inspect.unwrap(init), "__globals__", {})
    hints: dict[str, Any] = {}
    for name, written in getattr(init, "__annotations__", {}).items():
        alone = SimpleNamespace(__annotations__={name: written})
        with suppress(Exception):  # annotations of plugins may be anything
            hints |= get_type_hints(alone, known, include_extras=True)
    return hints


def _path_mistake(path: PathOption) -> str | None:
    """What is wrong with what may be a path; None where nothing is."""
    if path.written in path.names or Path(path.written).exists():
        return None
    but = "".join(f"{name!r} or " for name in dict.fromkeys(path.names))
    return f"must be {but}a file or folder that is there; {path.written} does not exist"
