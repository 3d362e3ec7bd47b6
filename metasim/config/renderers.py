"""What can be told of a renderer before it is built: its options and what it draws."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from metasim.config.grammars import grammar_nodes
from metasim.config.validation import type_mistake
from metasim.errors import Mistake, PluginError, did_you_mean
from metasim.render.base import Renderer
from metasim.render.plugins import load_renderer
from metasim.yamlfile import Document, Place

__all__ = [
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


def path_options(found: type[Renderer] | str) -> dict[str, Any]:
    """The options that a renderer's constructor says may be a path, with their defaults."""
    if isinstance(found, str):
        return {}
    parameters = inspect.signature(found).parameters
    return {
        name: parameters[name].default
        for name, hint in _hints(found).items()
        if name in parameters and _is_path(hint)
    }


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
    paths = path_options(found) if files else {}
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
        if wrong is None and name in paths:
            wrong = _path_mistake(value, paths[name])
        if wrong is not None:
            mistakes.append(document.mistake(here, wrong))
    for name, parameter in inspect.signature(found).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in options:
            here = (*place, "options", name)
            mistakes.append(document.mistake(here, "is an option the renderer must be given"))
    return mistakes


def drawing_mistakes(
    document: Document, place: Place, grammar: Any, found: type[Renderer], use: str
) -> list[Mistake]:
    """Kinds and attributes of a grammar that a renderer does not know.

    Args:
        document: gives the positions.
        place: of the grammar.
        grammar: its plain data, right or wrong: what else is amiss must not hide this.
        found: the renderer's class.
        use: the renderer's name, for messages.
    """
    mistakes = []
    for here, node in grammar_nodes(place, grammar):
        kind, attributes = node.get("kind"), node.get("attributes")
        if not isinstance(kind, str):
            continue
        if kind not in found.kinds:
            near = did_you_mean(kind, list(found.kinds))
            message = f"the renderer {use!r} draws no {kind!r}; {near}"
            mistakes.append(document.mistake((*here, "kind"), message))
            continue
        known = found.kinds[kind]
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


def _is_path(hint: Any) -> bool:
    """Whether an annotation is ``Path``, or a union with it."""
    if get_origin(hint) is Annotated:
        return _is_path(get_args(hint)[0])
    return hint is Path or any(part is Path for part in get_args(hint))


def _path_mistake(value: Any, default: Any) -> str | None:
    """What is wrong with an option that is declared as a path; None where nothing is."""
    if not isinstance(value, str) or value == default or Path(value).exists():
        return None
    but = f"{default!r} or " if isinstance(default, str) else ""
    return f"must be {but}a file or folder that is there; {value} does not exist"
