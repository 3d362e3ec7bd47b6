"""From settings to a renderer in worker processes, and how those find its code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metasim.errors import PluginError
from metasim.render.base import Renderer
from metasim.render.drawing import kinds_of
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.render.transport import Transport

__all__ = ["hire", "place_of"]


def hire(
    found: type[Renderer],
    name: str,
    path: str,
    options: Mapping[str, Any],
    folder: Path | None = None,
    workers: Workers | None = None,
) -> WorkerPool:
    """A renderer in worker processes.

    Args:
        found: its class.
        name: what people call it.
        path: where it was found, as ``module:Class``.
        options: keyword arguments of its constructor.
        folder: where its module was looked for besides Python's own path.
        workers: their settings.

    Raises:
        MetasimError: what building the renderer raises.
        PluginError: when an option cannot be handed over, or no worker gets ready.
    """
    workers = workers or Workers()
    module, _, attribute = path.partition(":")
    plain = _plain(options, "options", name)
    task = {"name": name, "module": module, "attribute": attribute, "options": plain}
    needed = dict.fromkeys(m.partition(".")[0] for m in ("metasim", module, found.__module__))
    modules = {top: place_of(top) for top in needed}
    folders = [] if folder is None else [os.path.abspath(folder)]
    kinds = kinds_of(found, options, name)
    transport = _TRANSPORTS[workers.executor](task, modules, folders, workers)
    return WorkerPool(found, kinds, name, transport, workers)


def _local(
    task: Mapping[str, Any], modules: Mapping[str, Any], folders: Sequence[str], workers: Workers
) -> Transport:
    """Processes on this machine."""
    if os.name != "posix":
        raise PluginError(
            f"the renderer {task['name']!r} must live in worker processes, which need Linux or "
            "macOS; this is another system"
        )
    from metasim.render.local import LocalTransport  # of modules that other systems do not have

    return LocalTransport(task, modules, folders, workers.python)


def _ray(
    task: Mapping[str, Any], modules: Mapping[str, Any], folders: Sequence[str], workers: Workers
) -> Transport:
    """Actors of a Ray cluster, which have to have all that is installed here."""
    from metasim.render.remote import RayTransport
    from metasim.render.shipping import modules_in

    file, inside = modules[task["module"].partition(".")[0]]
    at = Path(file if inside is None else inside[0])
    beside = [Path(folder) for folder in folders if at.is_relative_to(folder)]
    sources = modules_in(beside[0]) if beside else {}
    count = None if workers.count == "auto" else workers.count
    return RayTransport(task, sources, workers.address, count)


_TRANSPORTS = {"local": _local, "ray": _ray}


def place_of(top: str) -> tuple[str | None, list[str] | None]:
    """Where a top-level module that was imported is, as a worker's finder takes it.

    Returns:
        Its file (None for a package without one), and the folders of a package.

    Raises:
        PluginError: when it has no place that another process could find it at.
    """
    module = sys.modules[top]
    file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    if top == "__main__" or (file is None and folders is None):
        raise PluginError(
            f"the module {top!r} must be one that other processes can import; put the renderer "
            "into a file of its own"
        )
    inside = None if folders is None else [os.path.abspath(folder) for folder in folders]
    return None if file is None else os.path.abspath(file), inside


def _plain(value: Any, key: str, name: str) -> Any:
    """An option as JSON has it; what YAML gives is that already.

    Raises:
        PluginError: naming the option that is not.
    """
    if isinstance(value, Mapping) and all(isinstance(part, str) for part in value):
        return {part: _plain(below, f"{key}.{part}", name) for part, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(below, f"{key}.{place}", name) for place, below in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise PluginError(
        f"{key} of the renderer {name!r} must be a number, text, true, false, or a list or mapping "
        f"of such, since it is handed to worker processes, got {value!r}"
    )
