"""Finding renderers: entry points in the group ``metasim.renderers``, or ``module:Class``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from metasim.errors import PluginError, did_you_mean
from metasim.render.base import Renderer

__all__ = ["GROUP", "installed", "load_renderer", "make_renderer"]

GROUP = "metasim.renderers"


def installed() -> dict[str, EntryPoint]:
    """The installed renderer plugins by name; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def load_renderer(name: str, folder: Path | None = None) -> type[Renderer]:
    """The renderer class called ``name``.

    Args:
        name: an installed plugin's name, or ``package.module:Class``.
        folder: where ``module`` is looked for besides Python's own path, for example the
            folder of the YAML file that names it.

    Raises:
        PluginError: when there is none, it cannot be imported, or it is not a renderer.
    """
    if ":" in name:
        found = _import(name, folder)
    else:
        known = installed()
        if name not in known:
            raise PluginError(
                f"no renderer is called {name!r}; {did_you_mean(name, list(known))} "
                "(or give package.module:Class)"
            )
        found = _import(known[name].value, None)
    if not (inspect.isclass(found) and issubclass(found, Renderer)):
        raise PluginError(f"{name!r} must be a subclass of metasim.render.Renderer, got {found!r}")
    if inspect.isabstract(found):
        raise PluginError(f"{name!r} must have a method 'render'; write one, or name its subclass")
    if not isinstance(getattr(found, "kinds", None), Mapping):
        raise PluginError(f"{name!r} must have a class attribute 'kinds': kind -> attribute names")
    return found


def make_renderer(
    name: str, options: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Renderer:
    """A renderer called ``name``, built with ``options`` as keyword arguments.

    Raises:
        PluginError: as :func:`load_renderer`, and when an option is unknown.
    """
    found = load_renderer(name, folder)
    options = dict(options or {})
    check_options(found, options, name)
    return found(**options)


def check_options(found: type[Renderer], options: Mapping[str, Any], name: str) -> None:
    """Refuse options that the renderer's constructor does not take, and ask for those it needs.

    Raises:
        PluginError: naming the option and the nearest one there is.
    """
    parameters = inspect.signature(found).parameters
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in parameters.values():
        needed = parameter.default is parameter.empty and parameter.kind not in variadic
        if needed and parameter.name not in options:
            raise PluginError(f"renderer {name!r} must be given the option {parameter.name!r}")
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise PluginError(
                f"renderer {name!r} has no option {option!r}; "
                f"{did_you_mean(option, list(parameters))}"
            )


def _import(path: str, folder: Path | None) -> Any:
    module_name, _, attribute = path.partition(":")
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a plugin's module may fail in any way
        raise PluginError(
            f"cannot import {module_name!r} for renderer {path!r}: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise PluginError(
            f"module {module_name!r} has no {attribute!r}; {did_you_mean(attribute, public)}"
        )
    return getattr(module, attribute)
