"""How a result came about: versions, code, configuration, machine, command, time.

Of code there is metasim's own and that of the renderers which the run names, whoever wrote them;
of files there are those that the renderers' options name, such as a folder of glyphs.

A run that went on with other code than it began with tells of both: what :func:`collect` gave at
the start stays as it was, and an entry is added under ``continued`` for every change.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metasim.errors import DataError

__all__ = [
    "class_digest",
    "code_differences",
    "code_digest",
    "collect",
    "content_digest",
    "continued",
    "digest",
    "file_digest",
    "git_state",
    "option_files",
    "package_versions",
]

PACKAGES = (
    "metasim",
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pydantic",
    "torchmetrics",
    "torchvision",
    "bpy",
    "mlagents-envs",
    "ray",
)
"""The distributions whose versions can change a result."""

# What systems and Python leave in a folder by themselves is none of its content.
_NOT_CONTENT = frozenset({"__pycache__", "desktop.ini", "thumbs.db"})


def collect(
    argv: Sequence[str] | None = None,
    now: datetime | None = None,
    *,
    config: str | None = None,
    renderers: Mapping[str, Mapping[str, str]] | None = None,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that tells how a run came about, as JSON values.

    Nothing is imported for it: versions are read from the packages' metadata.

    Args:
        argv: the command line; this process's by default.
        now: the time; the present one by default.
        config: the :func:`digest` of the run's configuration, where there is one.
        renderers: for each renderer, by name, its ``code`` (:func:`class_digest`), and the
            distribution and version it was ``installed`` with; what is not known is left out.
        files: the :func:`content_digest` of what the renderers' options name, by dotted key.
    """
    found = {} if config is None else {"config": config}
    return found | {
        "time": (now or datetime.now()).astimezone().isoformat(timespec="seconds"),
        "command": list(sys.argv if argv is None else argv),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": package_versions(),
        "renderers": {name: dict(about) for name, about in (renderers or {}).items()},
        "files": dict(files or {}),
        **_own_code(),
    }


@cache
def _own_code() -> dict[str, Any]:
    """What this process runs; looked at once, since modules do not change once imported."""
    package = Path(__file__).parent
    return {"git": git_state(package.parent), "code": code_digest([package])}


def code_differences(made: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what code and files of two provenances differ, in words; what either lacks is equal.

    Args:
        made: of a run; what it was last continued with counts.
        now: of what is to go on with it.
    """
    before = [made, *made.get("continued", ())][-1]
    packages, renderers, files = (
        _changed(before.get(key, {}), now.get(key, {}))
        for key in ("packages", "renderers", "files")
    )
    return [
        *(f"the run was made with {name} {was}, this is {ours}" for name, was, ours in packages),
        *_own_differences(before, now),
        *(
            f"files of the renderer {name!r} differ from the run's"
            if key == "code"
            else f"the renderer {name!r} was of {was}, this is of {ours}"
            for name, *about in renderers
            for key, was, ours in _changed(*about)
        ),
        *(f"what {key} names holds other files than the run was drawn from" for key, *_ in files),
    ]


def _own_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In metasim's own files, or in the commit where those are not known."""
    code, ours = before.get("code"), now.get("code")
    commit, here = ((p.get("git") or {}).get("commit") for p in (before, now))
    if None not in (code, ours):
        between = f" (commit {commit}, this is {here})" if commit != here else ""
        return [f"files of metasim differ from the run's{between}"] if code != ours else []
    if None not in (commit, here) and commit != here:
        return [f"the run was made at commit {commit}, this is {here}"]
    return []


def _changed(made: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Name and both values of what is told by both, and differently."""
    both = [(name, was, now[name]) for name, was in made.items() if name in now]
    return [(name, was, ours) for name, was, ours in both if was != ours]


def continued(made: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a run that goes on with other code: all there was, and ``now`` added."""
    return {**made, "continued": [*made.get("continued", ()), dict(now)]}


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def code_digest(folders: Sequence[Path]) -> str:
    """One digest of all Python files below some folders: of their names and what is in them."""
    whole = hashlib.sha256()
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*.py")):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            whole.update(f"{name} {digest(path.read_bytes())}\n".encode())
    return whole.hexdigest()


def class_digest(found: type) -> str | None:
    """One digest of the code that a class comes from; None where no file of it can be read.

    That is all Python files of its package; of a class in a module of its own, the module's
    file alone. A folder without ``__init__.py`` is no package of its own: others may add to it.
    """
    parts = found.__module__.split(".")
    for name in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
        package = sys.modules.get(name)
        if getattr(package, "__file__", None) and (folders := getattr(package, "__path__", None)):
            return code_digest([Path(folder) for folder in folders])
    file = getattr(sys.modules.get(found.__module__), "__file__", None)
    if file and len(parts) > 1:
        return code_digest([Path(file).parent])
    try:
        return digest(Path(file).read_bytes()) if file else None
    except OSError:
        return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """One digest of a file, or of all files below a folder: of their names and what is in them.

    Links are followed. Hidden files are passed over.

    Raises:
        DataError: when something cannot be read.
    """
    whole = hashlib.sha256()
    try:
        for file in _files_below(path, frozenset()) if path.is_dir() else [path]:
            content = file_digest(file)
            # ascii(), since a name need not be text.
            whole.update(f"{file.relative_to(path).as_posix()!a} {content}\n".encode())
    except OSError as error:
        raise DataError(
            f"{error.filename or path} must be readable, since images are drawn from it: "
            f"{error.strerror or error}"
        ) from None
    return whole.hexdigest()


def _files_below(folder: Path, around: frozenset[Path]) -> Iterator[Path]:
    """The files of a folder in order; a link back to a folder ``around`` it is passed over."""
    real = folder.resolve()
    if real in around:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _NOT_CONTENT:
            continue
        if path.is_dir():
            yield from _files_below(path, around | {real})
        elif path.is_file():
            yield path


def option_files(options: Any, key: str = "options") -> dict[str, str]:
    """The :func:`content_digest` of each file and folder that a renderer's options name.

    A text names one where it is the absolute path of what is there, as all paths of a loaded
    configuration are.

    Args:
        options: or a part of them.
        key: the dotted key of that.

    Raises:
        DataError: when something cannot be read.
    """
    parts: Iterable[tuple[Any, Any]]
    if isinstance(options, Mapping):
        parts = options.items()
    elif isinstance(options, (list, tuple)):
        parts = enumerate(options)
    else:
        return {key: content_digest(Path(options))} if _names_files(options) else {}
    return {
        k: told for name, part in parts for k, told in option_files(part, f"{key}.{name}").items()
    }


def _names_files(value: Any) -> bool:
    if not (isinstance(value, (str, Path)) and os.path.isabs(value)):
        return False
    whole_disk = Path(value) == Path(Path(value).anchor)  # "/" is text that happens to be a path
    return not whole_disk and (os.path.isfile(value) or os.path.isdir(value))


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
