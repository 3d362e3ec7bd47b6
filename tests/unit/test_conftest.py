"""The guard against global random state must itself work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("body", "passes"),
    [
        ("import random; random.random()", False),
        ("import numpy; numpy.random.rand()", False),
        ("import numpy; numpy.random.default_rng(0).random()", True),
    ],
)
def test_a_test_that_moves_a_global_generator_fails(
    tmp_path: Path, body: str, passes: bool
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == passes, done.stdout
    assert ("global random state moved" in done.stdout) != passes
