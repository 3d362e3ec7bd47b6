"""The folder of a run: made once and never used again, found, written by one process at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from metasim.errors import RunError
from metasim.files import exclusive, write_atomic

__all__ = ["RunFolder", "plain"]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CONFIG = "config.yaml"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that counts as a run once it holds a configuration.

    Attributes:
        path: of the folder.
    """

    path: Path

    @classmethod
    def create(cls, output: Path, name: str, seed: int, now: datetime | None = None) -> Self:
        """A new run ``<output>/<name>/<timestamp>-s<seed>/``; an existing one is never used.

        Args:
            output: the folder of all runs, made where it is missing.
            name: the experiment's.
            seed: the run's.
            now: its time, local; the present one by default.

        Raises:
            RunError: when the name cannot be a folder's, or the folder cannot be made.
        """
        parent = output / plain(name, "name of an experiment")
        stem = f"{now or datetime.now():%Y%m%d-%H%M%S}-s{seed}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            number = 1
            while True:
                path = parent / (stem if number == 1 else f"{stem}-{number}")
                try:
                    path.mkdir()  # the one step that decides between two processes
                    break
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise RunError(
                f"a run cannot be made in {parent}: {error.strerror}; set output.dir to a folder "
                "you can write to"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run in the directory ``path``.

        Raises:
            RunError: when there is no run.
        """
        if not path.is_dir():
            state = "it is a file" if path.exists() else "it does not exist"
            raise RunError(f"{path} must be the directory of a run; {state}")
        if not (path / _CONFIG).is_file():
            below = sorted(path.glob(f"*/{_CONFIG}"))
            advice = f"did you mean {below[-1].parent}?" if below else "give one made by metasim"
            raise RunError(f"{path} must be the directory of a run; it has no {_CONFIG}; {advice}")
        return cls(path)

    @classmethod
    def find(cls, path: Path, prefer: Callable[[Self], bool] = lambda run: True) -> Self:
        """The run in the directory ``path``, or the newest of the runs in it.

        Args:
            path: of a run or of a folder of runs.
            prefer: of several, those come first for which this is true.

        Raises:
            RunError: when there is no run.
        """
        below = [cls(found.parent) for found in path.glob(f"*/{_CONFIG}")]
        if below and not (path / _CONFIG).is_file():
            below = [run for run in below if prefer(run)] or below
            return max(below, key=lambda run: run.config_path.stat().st_mtime_ns)
        return cls.open(path)

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / _CONFIG

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this run for the length of the block.

        The lock of a process that died is free at once.

        Raises:
            RunError: naming the process that holds it.
        """
        with ExitStack() as stack:
            try:
                with self._telling(self.path):
                    stack.enter_context(exclusive(self.path / ".lock"))
            except BlockingIOError as error:
                raise RunError(
                    f"{self.path} must be used by one process at a time; {error} trains in it; "
                    "wait until it ends, or end it"
                ) from None
            yield

    def _kept(self) -> str:
        """What is safe when writing fails."""
        return "what was there is"

    def _write(self, path: Path, data: str | bytes) -> None:
        with self._telling(path):
            write_atomic(path, data)

    @contextmanager
    def _telling(self, path: Path, verb: str = "written") -> Iterator[None]:
        """Say what is kept when the disk is full or refuses."""
        try:
            yield
        except BlockingIOError:
            raise
        except OSError as error:
            begun = self.config_path.is_file()
            again = f"go on with --resume {self.path}" if begun else "start the run again"
            raise RunError(
                f"{path} cannot be {verb}: {error.strerror or error}; {self._kept()} kept, mend "
                f"the cause and {again}"
            ) from error


def plain(name: str, what: str) -> str:
    """``name`` if it can be one of a file or folder of a run and cannot lead elsewhere.

    Raises:
        RunError: when it cannot, saying ``what`` it was to be.
    """
    if not _PLAIN.fullmatch(name):
        raise RunError(
            f"the {what} must be of letters, digits, '.', '_' and '-' and not begin with '.' or "
            f"'-', got {name!r}"
        )
    return name
