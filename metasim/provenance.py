"""How a result came about: versions, machine, command, time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["collect", "git_state", "package_versions"]

PACKAGES = (
    "metasim",
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pydantic",
    "torchvision",
    "bpy",
    "mlagents-envs",
    "ray",
)
"""The distributions whose versions can change a result."""


def collect(argv: Sequence[str] | None = None, now: datetime | None = None) -> dict[str, Any]:
    """Everything that tells how a run came about, as JSON values.

    Nothing is imported for it: versions are read from the packages' metadata.

    Args:
        argv: the command line; this process's by default.
        now: the time; the present one by default.
    """
    return {
        "time": (now or datetime.now()).astimezone().isoformat(timespec="seconds"),
        "command": list(sys.argv if argv is None else argv),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": package_versions(),
        "git": git_state(Path(__file__).parent.parent),
    }


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The versions of those of the named distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(checkout: Path) -> dict[str, Any] | None:
    """The commit that is checked out at ``checkout`` and whether files differ from it.

    None where that folder is not itself the top of a checkout (an installed package may
    lie inside one that has nothing to do with it), has no commit, or there is no git.
    """
    top = _git(checkout, "rev-parse", "--show-toplevel")
    commit = _git(checkout, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top).resolve() != checkout.resolve():
        return None
    return {"commit": commit, "changed": bool(_git(checkout, "status", "--porcelain"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
