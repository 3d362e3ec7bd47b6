"""Workers may run another interpreter, which has numpy and nothing else of metasim's."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from metasim.errors import DataError, PluginError
from metasim.render import make_renderer
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.testing import AnalyticRenderer
from tests.unit.render.troubled import Troubled, scenes

Hire = Callable[..., WorkerPool]


@pytest.fixture
def interpreter(tmp_path: Path) -> Callable[..., Path]:
    """Make an interpreter without site-packages; of those it has the named alone."""

    def make(*packages: str) -> Path:
        only = tmp_path / "only"
        only.mkdir()
        installed = Path(np.__file__).parents[1]
        for name in packages:
            (only / name).symlink_to(installed / name)
        program = tmp_path / "python"
        program.write_text(
            f"#!/bin/sh\n"
            f'test -z "$PYTHONPATH$PYTHONHOME" || exit 9\n'
            f'PYTHONPATH="{only}" exec "{sys.executable}" -S "$@"\n'
        )
        program.chmod(0o755)
        return program

    return make


def numpys() -> list[str]:
    """The folders that numpy is made of; wheels keep its libraries in one of their own."""
    installed = Path(np.__file__).parents[1]
    return [name for name in ("numpy", "numpy.libs") if (installed / name).exists()]


def test_an_interpreter_that_has_numpy_alone(
    hire: Hire, interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    python = interpreter(*numpys())
    pool = hire(workers={"count": 2, "python": python})
    np.testing.assert_array_equal(
        pool.render(scenes(30)).images, Troubled().render(scenes(30)).images
    )
    with pytest.raises(DataError, match=r"heavy: \[\]"):
        hire("Threaded", workers={"count": 1, "python": python}).render(scenes(1))
    with make_renderer(
        "metasim.testing:AnalyticRenderer", workers=Workers(count=1, python=python)
    ) as blobs:
        assert blobs.image_size == AnalyticRenderer().image_size


def test_an_interpreter_without_numpy_is_told(hire: Hire, interpreter: Callable[..., Path]) -> None:
    with pytest.raises(
        PluginError, match=r"(?s)its interpreter has numpy .* No module named 'numpy'"
    ):
        hire(workers={"count": 1, "python": interpreter()})


def test_an_interpreter_that_cannot_be_started_is_told(hire: Hire, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"workers.python must be .*nowhere: No such file"):
        hire(workers={"count": 1, "python": tmp_path / "nowhere"})
    (tmp_path / "text").write_text("no program")
    with pytest.raises(PluginError, match=r"workers.python must be .*text: Permission denied"):
        hire(workers={"count": 1, "python": tmp_path / "text"})


def test_a_system_that_has_no_more_to_give_is_told(hire: Hire, in_limits: None) -> None:
    with pytest.raises(PluginError, match=r"Too many open files; have fewer \(workers.count\)"):
        hire(workers=200)


@pytest.fixture
def in_limits() -> Iterator[None]:
    """Few open files for this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_interpreter_that_is_none_is_told(hire: Hire, tmp_path: Path) -> None:
    (tmp_path / "echo").write_text("#!/bin/sh\necho not a snake\n")
    (tmp_path / "echo").chmod(0o755)
    with pytest.raises(PluginError, match=r"(?s)exit code 0, 3 times in a row; .*  \| not a snake"):
        hire(workers={"count": 1, "python": tmp_path / "echo"})


def test_the_same_interpreter_finds_what_this_process_finds(
    tmp_path: Path, module: str, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module beside the renderer's, and one from a folder that was put on the path since."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "metasim_farther.py").write_text("LEVEL = 3\n")
    (tmp_path / "metasim_nearer.py").write_text("from metasim_farther import LEVEL\n")
    source = f"from {module} import *\nfrom metasim_nearer import LEVEL\n"
    (tmp_path / "metasim_beside.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "more"))
    with make_renderer("metasim_beside:Troubled", {}, tmp_path, Workers(count=1)) as pool:
        assert len(pool.render(scenes(2))) == 2
