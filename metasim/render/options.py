"""The settings of worker processes, as an experiment's ``renderer.workers`` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from metasim.options import Options

__all__ = ["Recycle", "Workers"]


class Recycle(Options):
    """When a worker is ended and another takes its place.

    Attributes:
        renders: after so many images; None: never for that.
        memory: MiB that its resident set may not pass; None: never for that.
    """

    renders: Annotated[int, Field(ge=1)] | None = None
    memory: Annotated[float, Field(gt=0)] | None = None


class Workers(Options):
    """The processes that a renderer lives in.

    Attributes:
        count: how many; "auto" is one for each core that this process may use.
        executor: what runs them: "local" is processes on this machine.
        python: the interpreter they run; None is this process's own.
        start: seconds that a worker may take until it is ready.
        timeout: seconds that it may take for one chunk of scenes.
        recycle: when one is replaced.
    """

    count: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    executor: Literal["local"] = "local"
    python: Path | None = None
    start: Annotated[float, Field(gt=0)] = 120.0
    timeout: Annotated[float, Field(gt=0)] = 300.0
    recycle: Recycle = Recycle()
