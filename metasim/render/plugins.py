"""Finding renderers: entry points in the group ``metasim.renderers``, or ``module:Class``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Set
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from metasim.errors import PluginError, did_you_mean
from metasim.provenance import class_digest
from metasim.render.base import Renderer
from metasim.render.drawing import calling, files_read

if TYPE_CHECKING:
    from metasim.render.options import Workers

__all__ = [
    "GROUP",
    "check_options",
    "code_of",
    "files_of",
    "installed",
    "load_renderer",
    "make_renderer",
]

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
    found = _import(_path_of(name), folder if ":" in name else None)
    if not (inspect.isclass(found) and issubclass(found, Renderer)):
        raise PluginError(f"{name!r} must be a subclass of metasim.render.Renderer, got {found!r}")
    if inspect.isabstract(found):
        raise PluginError(f"{name!r} must have a method 'render'; write one, or name its subclass")
    kinds = getattr(found, "kinds", None)
    if not isinstance(kinds, Mapping) or not all(map(_is_names, kinds.values())):
        raise PluginError(
            f"{name!r} must have a class attribute 'kinds': kind -> frozenset of attribute names"
        )
    return found


def _path_of(name: str) -> str:
    """Where the renderer called ``name`` is, as ``module:Class``."""
    if ":" in name:
        return name
    known = installed()
    if name not in known:
        raise PluginError(
            f"no renderer is called {name!r}; {did_you_mean(name, list(known))} "
            "(or give package.module:Class)"
        )
    return known[name].value


def _is_names(attributes: Any) -> bool:
    return isinstance(attributes, Set) and all(isinstance(name, str) for name in attributes)


def code_of(name: str, folder: Path | None = None) -> dict[str, str]:
    """What tells of the code of the renderer called ``name``.

    Returns:
        Its ``code`` (:func:`metasim.provenance.class_digest`), and the distribution and version
        it was ``installed`` with; what is not known is left out.

    Raises:
        PluginError: as :func:`load_renderer`.
    """
    point = installed().get(name)
    dist = point.dist if point is not None else None
    about = {
        "code": class_digest(load_renderer(name, folder)),
        "installed": f"{dist.name} {dist.version}" if dist is not None else None,
    }
    return {key: told for key, told in about.items() if told is not None}


def files_of(
    name: str, options: Mapping[str, Any], folder: Path | None = None, key: str = "options"
) -> dict[str, str]:
    """What tells of the files of the renderer called ``name``, as :func:`code_of` of its code.

    Args:
        name: as of :func:`load_renderer`.
        options: keyword arguments of its constructor.
        folder: as of :func:`load_renderer`.
        key: what the options are called.

    Returns:
        Digests, as of :func:`metasim.render.drawing.files_read`.

    Raises:
        PluginError: as :func:`load_renderer`.
        DataError: when something cannot be read.
        RenderError: when its ``reads`` raised.
    """
    return files_read(load_renderer(name, folder), options, key)


def make_renderer(
    name: str,
    options: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    workers: Workers | None = None,
) -> Renderer:
    """A renderer called ``name``, built with ``options`` as keyword arguments.

    Args:
        name: as of :func:`load_renderer`.
        options: keyword arguments of its constructor.
        folder: as of :func:`load_renderer`.
        workers: the processes it is to live in; None is this one, unless it is ``isolated``.

    Raises:
        PluginError: as :func:`load_renderer`, when an option is unknown, and when the
            constructor raises or sets no size.
        DataError: as the constructor raises it, of files that it cannot use.
    """
    found = load_renderer(name, folder)
    options = dict(options or {})
    check_options(found, options, name)
    if workers is not None or found.isolated:
        from metasim.render.hire import hire  # with settings, whose library takes long to import

        return hire(found, name, _path_of(name), options, folder, workers)
    with calling(f"building the renderer {name!r}", PluginError):
        renderer = found(**options)
    size = getattr(renderer, "image_size", None)
    if not _is_size(size):
        raise PluginError(
            f"the constructor of {name!r} must set image_size to (height, width), two whole "
            f"numbers of at least 1, got {size!r}"
        )
    return renderer


def _is_size(size: Any) -> bool:
    pair = isinstance(size, (tuple, list)) and len(size) == 2
    return pair and all(isinstance(side, (int, np.integer)) and side > 0 for side in size)


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


_folders: list[Path] = []
"""What was added to Python's path, where it was not there."""


def _refuse_namesake(module: ModuleType, folder: Path | None) -> None:
    """Refuse a module of another experiment's folder, where ``folder`` has one of its name."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None)
    if folder is None or file is None:
        return
    there = Path(file).resolve()
    if there.is_relative_to(folder.resolve()) or not any(map(there.is_relative_to, _folders)):
        return  # Python's own path comes first
    if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file():
        raise PluginError(
            f"the module {top!r} in {folder} must have a name of its own, but {file} is called so "
            "too, and is imported first; rename it"
        )


def _import(path: str, folder: Path | None) -> Any:
    module_name, _, attribute = path.partition(":")
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
        _folders.append(folder.resolve())
    with calling(f"importing {module_name!r} for the renderer {path!r}", PluginError):
        module = importlib.import_module(module_name)
    _refuse_namesake(module, folder)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise PluginError(
            f"module {module_name!r} has no {attribute!r}; {did_you_mean(attribute, public)}"
        )
    return getattr(module, attribute)
