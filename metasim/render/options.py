"""The settings of worker processes, as an experiment's ``renderer.workers`` has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

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
        count: how many; "auto" is one for each core that this process may use, or that Ray's
            cluster has.
        executor: what runs them: "local" is processes on this machine, "ray" actors on all
            machines of a Ray cluster.
        address: "host:port" of the cluster; "auto" is that of RAY_ADDRESS, or where there is none
            one that is started on this machine. Of Ray alone.
        python: the interpreter they run; None is this process's own. Not of Ray.
        start: seconds that a worker may take until it is ready.
        timeout: seconds that it may take for one chunk of scenes.
        recycle: when one is replaced.
    """

    count: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    executor: Literal["local", "ray"] = "local"
    address: str = "auto"
    python: Path | None = None
    start: Annotated[float, Field(gt=0)] = 120.0
    timeout: Annotated[float, Field(gt=0)] = 300.0
    recycle: Recycle = Recycle()

    @field_validator("address")
    @classmethod
    def _of_a_cluster(cls, address: str, others: ValidationInfo) -> str:
        if others.data.get("executor") == "local" and address != "auto":
            raise ValueError(f"must be left out unless executor is ray, got {address!r}")
        if not re.fullmatch(r"auto|[^/\s]+:[0-9]+", address):
            raise ValueError(
                "must be auto or HOST:PORT of a cluster that this machine belongs to (started with "
                f"'ray start'), got {address!r}"
            )
        return address

    @field_validator("python")
    @classmethod
    def _of_this_machine(cls, python: Path | None, others: ValidationInfo) -> Path | None:
        if others.data.get("executor") == "ray" and python is not None:
            raise ValueError(
                "must be left out where executor is ray, whose workers run the interpreter that "
                f"'ray start' was run with on their machine, got {str(python)!r}"
            )
        return python
