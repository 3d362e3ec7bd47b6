"""What is installed, what each extra would add, which devices there are, and what is wrong."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from metasim.errors import MetasimError
from metasim.render.cores import cores
from metasim.render.drawing import calling
from metasim.render.plugins import installed, load_renderer

__all__ = ["EXTRAS", "diagnose"]

EXTRAS = {
    "blender": "the renderer 'blender': Blender's Cycles as a Python module (bpy)",
    "unity": "the renderer 'unity': Unity players over ML-Agents",
    "ray": "renderers on many machines (workers.executor: ray)",
    "vision": "pretrained features of torchvision and transformers",
    "tensorboard": "curves in TensorBoard besides metrics.jsonl",
    "dev": "the tests, linters and benchmarks of metasim itself",
}
"""What each extra adds."""

_GIB = 2**30
_LEAST_MEMORY = 2 * _GIB


def diagnose() -> dict[str, Any]:
    """What can be told of this installation; JSON values only.

    Returns:
        ``python``, ``platform``, ``cores``, ``memory`` (bytes), ``packages`` (name ->
        version, null where missing), ``extras`` (name -> installed, missing, adds),
        ``renderers`` (names), ``lacking`` (renderer -> what keeps it from drawing here, for
        those that cannot), ``devices`` and ``problems`` (what is wrong, what to do).
    """
    requirements = _requirements()
    needed = [r for r, extra in requirements if not extra]
    packages = {r.name: _version(r.name) for r in needed}
    extras = {name: _extra(name, requirements) for name in EXTRAS}
    devices, trouble = _devices()
    memory = _memory()
    return {
        "metasim": _version("metasim"),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": cores(),
        "memory": memory,
        "packages": packages,
        "extras": extras,
        "renderers": list(installed()),
        "lacking": {name: told for name in installed() if (told := _lacking(name))},
        "devices": devices,
        "problems": [*_problems(needed, requirements), *_scarcity(memory), *trouble],
    }


def _lacking(renderer: str) -> list[str]:
    """What keeps a renderer from drawing here; its own word where it can be loaded."""
    try:
        found = load_renderer(renderer)
        with calling(f"asking the renderer {renderer!r} what it lacks"):
            return [str(told) for told in found.lacks()]
    except MetasimError as error:
        return [str(error)]


def _requirements() -> list[tuple[Requirement, str]]:
    """Each requirement of metasim, and the extra it belongs to ("" for none)."""
    try:
        lines = metadata.requires("metasim") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for requirement in map(Requirement, lines):
        extra = next((e for e in EXTRAS if _applies(requirement, e)), None)
        if _applies(requirement, ""):
            found.append((requirement, ""))
        elif extra:
            found.append((requirement, extra))
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str, requirements: Collection[tuple[Requirement, str]]) -> dict[str, Any]:
    """Whether an extra is installed, what is missing of it, and what it would add."""
    names = _packages(name, requirements)
    missing = [package for package in names if _version(package) is None]
    return {
        "adds": EXTRAS[name],
        "installed": bool(names) and not missing,
        "missing": missing,
        "available": bool(names),
        "install": f"pip install 'metasim[{name}]'",
    }


def _packages(extra: str, requirements: Collection[tuple[Requirement, str]]) -> list[str]:
    """What an extra brings, with what other extras that it names bring."""
    found = []
    for requirement in (r for r, its in requirements if its == extra):
        inside = [p for other in requirement.extras for p in _packages(other, requirements)]
        found += inside if requirement.name == "metasim" else [requirement.name]
    return found


def _devices() -> tuple[list[str], list[str]]:
    """The devices torch can use, and what went wrong asking for them."""
    version = _version("torch")
    if version is None or find_spec("torch") is None:
        return ["cpu"], []
    if version.endswith("+cpu") and sys.platform != "darwin":
        return ["cpu"], []  # built without any other; importing it would only take long
    try:
        import torch
    except Exception as error:  # a broken installation raises almost anything
        return ["cpu"], [f"torch cannot be imported ({error}); reinstall it"]
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [
            f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found, []


def _problems(needed: list[Requirement], every: list[tuple[Requirement, str]]) -> list[str]:
    if not every:
        return [
            "metasim is not installed as a package, so that its renderers are not found; "
            "in its folder run: pip install -e ."
        ]
    problems = []
    for requirement in needed:
        version = _version(requirement.name)
        if version is None:
            problems.append(
                f"the package {requirement.name} is missing; pip install '{_bare(requirement)}'"
            )
    for requirement, _ in every:
        version = _version(requirement.name)
        if version and not requirement.specifier.contains(Version(version), prereleases=True):
            problems.append(
                f"{requirement.name} {version} does not fit; pip install '{_bare(requirement)}'"
            )
    return [*dict.fromkeys(problems), *_conflicts()]


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _conflicts() -> list[str]:
    """Versions that are known not to work together, though each alone is fine."""
    found = []
    numpy, bpy, pyarrow = (_major(name) for name in ("numpy", "bpy", "pyarrow"))
    if numpy is not None and numpy >= 2 and bpy is not None and bpy < 5:
        found.append("Blender's bpy before 5 needs numpy 1; pip install 'numpy>=1.26,<2'")
    if numpy is not None and numpy < 2 and pyarrow is not None and pyarrow >= 26:
        found.append("pyarrow 26 refuses numpy 1; pip install 'pyarrow<26'")
    torch, vision = (_version(name) for name in ("torch", "torchvision"))
    if torch and vision and ("+cpu" in torch) != ("+cpu" in vision) and sys.platform == "linux":
        found.append(
            f"torch {torch} and torchvision {vision} may be builds of different kinds, of which "
            "torchvision cannot be imported; install both for the CPU or both for one CUDA"
        )
    return found


def _major(name: str) -> int | None:
    version = _version(name)
    return Version(version).major if version else None


def _scarcity(memory: int | None) -> list[str]:
    if memory is not None and memory < _LEAST_MEMORY:
        return [f"only {memory / _GIB:.1f} GiB of memory; make training.batch_size smaller"]
    return []


def _memory() -> int | None:
    """The memory this process may use in bytes, a container's limit included."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return min(whole, int(limit)) if limit.isdecimal() else whole
