"""Modules that lie beside an experiment, sent to machines which do not have them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import ModuleType

from metasim.errors import PluginError

__all__ = ["Shipped", "modules_in"]

_MOST = 16 << 20  # bytes of all modules

Sources = Mapping[str, tuple[str, bytes]]
"""By a module's whole name the file it was read from, and what that holds."""


def modules_in(folder: Path) -> dict[str, tuple[str, bytes]]:
    """The modules and packages in a folder, as :class:`Shipped` takes them.

    What lies beside them and is no Python is left where it is, and so are folders that are no
    packages.

    Raises:
        PluginError: when they cannot be read, or are too many to be a renderer's own.
    """
    found, size = {}, 0
    packages = [init.parent for init in sorted(folder.glob("*/__init__.py"))]
    files = sorted(folder.glob("*.py")), *(sorted(package.rglob("*.py")) for package in packages)
    for path in (path for part in files for path in part):
        parts = path.relative_to(folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not parts or not all(map(str.isidentifier, parts)):
            continue
        try:
            found[".".join(parts)] = str(path), path.read_bytes()
        except OSError as error:
            raise PluginError(
                f"{path} must be readable, since modules beside a renderer are sent to the workers "
                f"with it: {error.strerror or error}"
            ) from None
        size += path.stat().st_size
        if size > _MOST:
            raise PluginError(
                f"the modules in {folder} must be at most {_MOST >> 20} MiB together, since all of "
                "them are sent to the workers with the renderer there; put it into a folder of its "
                "own, or install it on all machines"
            )
    return found


class Shipped(ExecutionLoader):
    """Finds and loads modules that were sent.

    They keep the names of their files, which tracebacks show, and where what else they read from
    beside them may lie here, too.

    Args:
        sources: what was sent.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def serve(self) -> None:
        """Find modules from now on, where Python's own path has none of that name."""
        sys.meta_path.append(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python's import asks."""
        if name not in self.sources:
            return None
        return spec_from_file_location(name, self.get_filename(name), loader=self)

    def get_filename(self, name: str) -> str:
        """The file that a module was read from."""
        return self.sources[name][0]

    def get_source(self, name: str) -> str:
        """A module's text."""
        return decode_source(self.sources[name][1])

    def is_package(self, name: str) -> bool:
        """Whether a module is a package."""
        return Path(self.get_filename(name)).stem == "__init__"
