"""Progress for people: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from metasim.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress

__all__ = ["BarProgress", "LineProgress", "progress_on"]


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Progress]:
    """Progress that suits ``stream``: a bar where it is a terminal, else lines."""
    if not stream.isatty():
        yield LineProgress(stream)
        return
    bars = BarProgress(stream)
    try:
        yield bars
    finally:
        bars.close()


def _shown(numbers: dict[str, float | str]) -> str:
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in numbers.items()
    )


class LineProgress:
    """Writes a line when a stage starts and ends, and between at most every few seconds.

    Args:
        stream: where to.
        seconds: shortest time between two lines about the same stage.
    """

    def __init__(self, stream: TextIO, seconds: float = 5.0) -> None:
        self._stream = stream
        self._seconds = seconds
        self._stage = ""
        self._total: int | None = None
        self._began = self._told = 0.0
        self._last = ""

    def start(self, stage: str, total: int | None) -> None:
        """Write that a stage begins."""
        self._stage, self._total, self._last = stage, total, ""
        self._began = self._told = time.monotonic()
        self.log(f"{stage} ...")

    def advance(self, done: int, **numbers: float | str) -> None:
        """Write how far the stage is, unless that was done just now."""
        of = f"/{self._total}" if self._total is not None else ""
        self._last = f"{self._stage}: {done}{of}  {_shown(numbers)}".rstrip()
        if time.monotonic() - self._told >= self._seconds:
            self._told = time.monotonic()
            self.log(self._last)

    def finish(self) -> None:
        """Write how far the stage came, and how long it took."""
        took = time.monotonic() - self._began
        self.log(f"{self._last or self._stage}  done in {took:.1f} s")

    def log(self, message: str) -> None:
        """Write a line."""
        self._stream.write(f"{message}\n")
        self._stream.flush()


class BarProgress:
    """One bar for each stage, on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bars: RichProgress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=Console(file=stream),
        )
        self._task = self._bars.add_task("", visible=False, numbers="")
        self._bars.start()

    def start(self, stage: str, total: int | None) -> None:
        """Begin a new bar."""
        self._task = self._bars.add_task(stage, total=total, numbers="")

    def advance(self, done: int, **numbers: float | str) -> None:
        """Move the bar."""
        self._bars.update(self._task, completed=done, numbers=_shown(numbers))

    def finish(self) -> None:
        """Leave the bar as it is."""
        self._bars.stop_task(self._task)

    def log(self, message: str) -> None:
        """Write a line above the bars."""
        self._bars.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        """Give the terminal back."""
        self._bars.stop()
