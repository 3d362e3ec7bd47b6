"""Blender as a Python module: importing it, keeping it quiet, choosing a device."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, Literal

from metasim.errors import MissingExtraError, PluginError

__all__ = ["Device", "lacks", "quiet", "start", "trouble", "use_device"]

Device = Literal["auto", "cpu", "gpu"]

_PURPOSE: Final = "the renderer 'blender'"
_LIBRARIES: Final = "libx11-6 libxext6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1"
_PYTHONS: Final = ((3, 11), (3, 13))
_PATIENCE: Final = 120.0
# It ends before Blender can crash as Python ends, which harms nobody.
_PROBE: Final = "import bpy, cycles, os; cycles.CyclesRender; os._exit(0)"
_GPUS: Final = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")


def start() -> tuple[ModuleType, Any]:
    """The modules ``bpy`` and the class ``cycles.CyclesRender``.

    Raises:
        MissingExtraError: when bpy is not installed.
        PluginError: when it cannot be loaded, with what to do.
    """
    try:
        with _as_it_was(), _on_one_core():
            bpy = importlib.import_module("bpy")
            cycles = importlib.import_module("cycles")
            return bpy, cycles.CyclesRender
    except ModuleNotFoundError as error:
        if error.name == "bpy" and sys.version_info[:2] in _PYTHONS:
            raise MissingExtraError("bpy", "blender", _PURPOSE) from error
        if error.name == "bpy":
            raise PluginError(_not_installed()) from error
        raise PluginError(trouble(str(error))) from error
    except (AttributeError, ImportError) as error:
        raise PluginError(trouble(str(error))) from error


def lacks() -> list[str]:
    """What keeps bpy from being used, tried in another process: it is large, and may crash."""
    if importlib.util.find_spec("bpy") is None:
        return [_not_installed()]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [trouble(f"it takes more than {_PATIENCE} seconds")]
    said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
    return [trouble(said[-1])] if done.returncode else []


def _not_installed() -> str:
    if sys.version_info[:2] in _PYTHONS:
        return f"{_PURPOSE} needs bpy: pip install 'metasim[blender]'"
    here = platform.python_version()
    known = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    return f"{_PURPOSE} needs bpy, of which there are builds for Python {known}, and this is {here}"


def trouble(message: str) -> str:
    """What is wrong, and what to do, where bpy is installed and cannot be loaded.

    Args:
        message: of the error.
    """
    library = re.search(r"(\S+\.so[.\d]*): cannot open shared object file", message)
    if library:
        return (
            f"{_PURPOSE} needs the system library {library[1]}, which is not installed; on "
            f"Debian and Ubuntu: apt install {_LIBRARIES}"
        )
    return (
        f"{_PURPOSE} needs a bpy with Cycles, and this one cannot be loaded ({message}); install "
        "it anew: pip install --force-reinstall 'metasim[blender]'"
    )


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Take back what importing bpy does to the process: search paths and environment variables.

    A studio's colour configuration is hidden from it: with other names for what an sRGB
    picture is, colours would be others.
    """
    path, environment = list(sys.path), dict(os.environ)
    os.environ.pop("OCIO", None)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Let this thread see one core of its own.

    As it is loaded, bpy makes threads for all cores that it sees. They have nothing to do where
    each process has a core, but spin while they wait: rendering would take twice the power.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what Blender itself writes to standard output, 50 lines for each render."""
    try:
        shown = os.dup(1)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is not None:
        sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(shown, 1)
        os.close(shown)


def use_device(bpy: Any, wanted: Device) -> str:
    """Choose what Cycles computes on.

    Args:
        bpy: the module.
        wanted: "auto" takes a GPU where there is one.

    Returns:
        Cycles' name for it, "CPU" or "GPU".

    Raises:
        PluginError: when a GPU is asked for and none is found.
    """
    if wanted == "cpu":
        return "CPU"
    settings = bpy.context.preferences.addons["cycles"].preferences
    for kind in _GPUS:
        try:
            found = [each for each in settings.get_devices_for_type(kind) if each.type == kind]
        except ValueError:  # this build does not know the kind
            continue
        if found:
            settings.compute_device_type = kind
            for each in settings.devices:
                each.use = each.type == kind
            return "GPU"
    if wanted == "gpu":
        raise PluginError(
            f"device: gpu needs a GPU that Cycles can use ({', '.join(_GPUS)}), and none was "
            "found; install its driver, or take device: cpu"
        )
    return "CPU"
