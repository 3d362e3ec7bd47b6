"""Pools of workers that are seen to leave nothing behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metasim.render import make_renderer
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool

MODULE = "metasim_troubled"

Hire = Callable[..., WorkerPool]


def _children() -> set[int]:
    """The processes that this one has started and that have not ended."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(process.name))
    return found


@pytest.fixture
def module(tmp_path: Path) -> str:
    """The name of a module of troubled renderers, to be found in ``tmp_path``."""
    source = Path(__file__).with_name("troubled.py").read_text(encoding="utf-8")
    (tmp_path / f"{MODULE}.py").write_text(source, encoding="utf-8")
    return MODULE


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """Tells which processes this one has started that have not ended."""
    return _children


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail where the test leaves processes or descriptors."""

    def left() -> tuple[set[int], int]:
        return _children(), len(os.listdir("/proc/self/fd"))

    before = left()
    yield
    assert left() == before


@pytest.fixture
def hire(tmp_path: Path, module: str, nothing_left: None) -> Iterator[Hire]:
    """Build a renderer of the module in workers; closed at the end."""
    made: list[WorkerPool] = []

    def build(name: str = "Troubled", *, workers: Any = 2, **options: Any) -> WorkerPool:
        settings = {"count": workers} if isinstance(workers, int) else workers
        pool = make_renderer(f"{module}:{name}", options, tmp_path, Workers(**settings))
        assert isinstance(pool, WorkerPool)
        made.append(pool)
        return pool

    yield build
    for pool in made:
        pool.close()


@pytest.fixture
def hire_actors(tmp_path: Path, module: str, ray_apart: ModuleType) -> Iterator[Hire]:
    """Build a renderer of the module in workers on Ray; closed at the end."""
    made: list[WorkerPool] = []

    def build(name: str = "Troubled", *, workers: Any = 2, **options: Any) -> WorkerPool:
        settings = {"count": workers} if isinstance(workers, int) else workers
        asked = Workers(executor="ray", **settings)
        pool = make_renderer(f"{module}:{name}", options, tmp_path, asked)
        assert isinstance(pool, WorkerPool)
        made.append(pool)
        return pool

    yield build
    for pool in made:
        pool.close()


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[[], list[tuple[int, int]]]:
    """Seed and process of each image that was drawn to the end, in order."""

    def read() -> list[tuple[int, int]]:
        lines = (tmp_path / "drawn").read_text().splitlines()
        return [(int(seed), int(pid)) for seed, pid in map(str.split, lines)]

    return read


@pytest.fixture
def in_process(tmp_path: Path, module: str) -> Callable[..., Any]:
    """Build a renderer of the module in this process."""
    sys.path.append(str(tmp_path))

    def build(name: str = "Troubled", **options: Any) -> Any:
        return make_renderer(f"{module}:{name}", options, tmp_path)

    return build
