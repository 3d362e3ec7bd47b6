"""The command line with a stand-in for what it starts."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

import metasim
from metasim.starter import write_starter

SUMMARY = {
    "run": "results/x/1",
    "converged": True,
    "renders": 12800,
    "seconds": 9.1,
    "discrepancy": 0.0004,
    "p_value": 0.31,
    "attributes": {
        "digit.yaw": {
            "unit": "deg",
            "periodic": True,
            "prior": {"mean": 0.0, "std": 10.0},
            "learned": {"mean": 90.4, "std": 3.1},
            "target": {"mean": 90.0, "std": 0.0},
            "w1": 2.2,
            "sensitivity": 0.8,
        }
    },
}


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """The folder that ``metasim init`` writes."""
    folder = tmp_path / "first try"
    write_starter(folder)
    return folder


class Runner(types.ModuleType):
    """Stands in for the composition root, so that no test here trains; notes its calls.

    Attributes:
        summary: what every call answers, unless ``act`` is replaced.
        calls: name, arguments and keywords of each.
    """

    summary: ClassVar[dict[str, Any]] = SUMMARY

    def __init__(self) -> None:
        super().__init__("metasim.experiment")
        self.act: Callable[[], dict[str, Any]] = lambda: dict(SUMMARY)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def _called(self, name: str, *args: Any, progress: Any = None, **kwargs: Any) -> dict[str, Any]:
        if progress is not None:
            progress.start("training", 10)
            progress.advance(5, loss=0.25)
            progress.finish()
        self.calls.append((name, args, kwargs))
        return self.act()

    def fail(self, error: BaseException) -> None:
        """Raise from now on."""

        def act() -> dict[str, Any]:
            raise error

        self.act = act

    def train(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("train", *args, **kwargs)

    def resume(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("resume", *args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("generate", *args, **kwargs)

    def report(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._called("report", *args, **kwargs)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    found = Runner()
    monkeypatch.setitem(sys.modules, "metasim.experiment", found)
    monkeypatch.setattr(metasim, "experiment", found, raising=False)
    return found
