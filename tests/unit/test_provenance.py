"""Provenance: read from a real checkout, and honest where there is none."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from metasim.provenance import collect, git_state, package_versions

_GIT = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"git does not work here: {done.stderr}")
    return done.stdout.strip()


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None, "a checkout without a commit has none"
    (tmp_path / "file").write_text("1")
    (tmp_path / "package").mkdir()
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "--no-verify", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "changed": False}
    assert git_state(tmp_path / "package") is None, "somebody else's checkout around it"
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}


def test_versions_of_what_is_installed() -> None:
    found = package_versions(["numpy", "surely-not-a-package"])
    assert found == {"numpy": version("numpy")}


def test_everything_is_json() -> None:
    now = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    provenance = collect(["metasim", "train", "smoke.yaml"], now)
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["command"] == ["metasim", "train", "smoke.yaml"]
    assert datetime.fromisoformat(provenance["time"]) == now
    assert provenance["python"] == platform.python_version()
