"""Blender as a Python module: importing it, keeping it quiet, choosing a device."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from metasim.errors import MissingExtraError, PluginError

__all__ = ["APT", "quiet", "start", "use_device"]

APT: Final = "libx11-6 libxext6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1"
"""Debian's packages of the libraries that bpy loads, window or not."""

_GPUS: Final = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")


def start() -> tuple[ModuleType, Any]:
    """The modules ``bpy`` and ``cycles.CyclesRender``.

    Raises:
        MissingExtraError: when bpy is not installed.
        PluginError: when it cannot be loaded, with what to do.
    """
    # A studio's colour configuration may have other names for what an sRGB picture is.
    studio = os.environ.pop("OCIO", None)
    try:
        bpy = importlib.import_module("bpy")
        cycles = importlib.import_module("cycles")
    except ModuleNotFoundError as error:
        if error.name != "bpy":
            raise PluginError(
                f"this build of bpy has no Cycles ({error}); install bpy 4.5"
            ) from error
        raise MissingExtraError("bpy", "blender", "the renderer 'blender'") from error
    except ImportError as error:
        raise PluginError(_loading(error)) from error
    finally:
        if studio is not None:
            os.environ["OCIO"] = studio
    return bpy, cycles.CyclesRender


def _loading(error: ImportError) -> str:
    """What to do when bpy is there and does not load."""
    library = re.match(r"(\S+\.so\S*): cannot open shared object file", str(error))
    if library:
        return (
            f"Blender needs the system library {library[1]}, which is not installed; on Debian "
            f"and Ubuntu: apt install {APT}"
        )
    return f"Blender's bpy cannot be loaded: {error}"


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what Blender itself writes to standard output, 50 lines for each render."""
    shown = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(shown, 1)
        os.close(shown)


def use_device(bpy: Any, wanted: str) -> str:
    """Choose what Cycles computes on.

    Args:
        bpy: the module.
        wanted: "auto", "cpu" or "gpu".

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
        except (TypeError, ValueError):  # this build does not know the kind
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
