"""Provenance: read from a real checkout, and honest where there is none."""

from __future__ import annotations

import importlib
import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from metasim.errors import DataError
from metasim.provenance import (
    class_digest,
    code_differences,
    code_digest,
    collect,
    content_digest,
    continued,
    git_state,
    option_files,
    package_versions,
)

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
    assert "config" not in provenance
    assert collect([], now, config="ab12") == {**provenance, "command": [], "config": "ab12"}


def test_the_digest_of_code_tells_of_every_change(tmp_path: Path) -> None:
    package, plugin = tmp_path / "package", tmp_path / "plugin"
    for folder in (package / "part", plugin):
        folder.mkdir(parents=True)
        (folder / "module.py").write_text("a = 1\n")
    (package / "data.txt").write_text("no code")
    before = code_digest([package, plugin])
    assert code_digest([plugin, package]) == before
    (package / "data.txt").write_text("still no code")
    assert code_digest([package, plugin]) == before
    (package / "part" / "module.py").write_text("a = 2\n")
    changed = code_digest([package, plugin])
    (package / "part" / "module.py").rename(package / "module.py")
    assert len({before, changed, code_digest([package, plugin]), code_digest([package])}) == 4


def test_the_digest_of_a_class_is_that_of_its_package_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole" / "part").mkdir(parents=True)
    for file in ("lone.py", "whole/__init__.py", "whole/part/__init__.py"):
        (tmp_path / file).write_text("class Toy: ...\n")
    lone, part = (importlib.import_module(name).Toy for name in ("lone", "whole.part"))
    before = class_digest(lone), class_digest(part)
    (tmp_path / "beside.py").write_text("")
    assert (class_digest(lone), class_digest(part)) == before
    (tmp_path / "lone.py").write_text("class Toy: pass\n")
    (tmp_path / "whole" / "__init__.py").write_text("")
    after = class_digest(lone), class_digest(part)
    assert all(a != b for a, b in zip(before, after, strict=True))
    (tmp_path / "lone.py").unlink()
    assert class_digest(lone) is None


def test_what_others_add_to_a_folder_that_is_no_package_is_not_a_class_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several may share its name: another process need not find the same of them."""
    for place in ("one", "two"):
        (tmp_path / place / "spaced" / place).mkdir(parents=True)
        (tmp_path / place / "spaced" / place / "__init__.py").write_text("class Toy: pass\n")
        monkeypatch.syspath_prepend(tmp_path / place)
    toy = importlib.import_module("spaced.one").Toy
    before = class_digest(toy)
    (tmp_path / "two" / "spaced" / "two" / "more.py").write_text("")
    assert class_digest(toy) == before
    (tmp_path / "one" / "spaced" / "one" / "more.py").write_text("")
    assert class_digest(toy) != before


def test_the_digest_of_a_folder_tells_of_every_change_of_its_content(tmp_path: Path) -> None:
    folder, other = tmp_path / "glyphs", tmp_path / "other"
    (folder / "7").mkdir(parents=True)
    other.mkdir()
    for name in ("7/a.png", "b.png"):
        (folder / name).write_bytes(b"drawn")
    (folder / "linked").symlink_to(other)
    (other / "round").symlink_to(folder)  # and round again: it must come to an end
    (folder / "\udcff").touch()  # a name that is no text
    before = content_digest(folder)
    for name in (".DS_Store", "7/Thumbs.db", "7/.hidden"):
        (folder / name).write_bytes(b"the system's own")
    assert content_digest(folder) == before
    seen = {before}
    (folder / "b.png").write_bytes(b"drawm")
    seen.add(content_digest(folder))
    (folder / "b.png").rename(folder / "c.png")
    seen.add(content_digest(folder))
    (other / "new.png").touch()
    seen.add(content_digest(folder))
    assert len(seen) == 4
    (folder / "gone.png").touch()
    assert content_digest(folder) != content_digest(folder / "c.png")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone must be readable.*No such file"):
        content_digest(tmp_path / "gone")


def test_files_that_options_name_are_known_by_their_keys(tmp_path: Path) -> None:
    (tmp_path / "glyphs").mkdir()
    file = tmp_path / "mesh.obj"
    file.write_text("v 0 0 0")
    options = {
        "glyphs": str(tmp_path / "glyphs"),
        "parts": [{"mesh": file}, {"mesh": "mesh.obj"}],
        "image_size": [32, 32],
        "root": "/",
        "gone": str(tmp_path / "gone"),
        "long": "/" + "x" * 10_000,
    }
    found = option_files(options)
    assert set(found) == {"options.glyphs", "options.parts.0.mesh"}
    assert found["options.parts.0.mesh"] == content_digest(file)
    file.write_text("v 1 1 1")
    assert option_files(options) != found


MADE = {
    "packages": {"metasim": "1.0", "torch": "2.6", "scipy": "1.15"},
    "git": {"commit": "c1", "changed": False},
    "code": "d1",
    "renderers": {"p:P": {"code": "e1"}, "toy": {"code": "f1", "installed": "toys 1.0"}},
    "files": {"renderer.options.glyphs": "g1"},
}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        ({"packages": {"metasim": "2.0"}}, ["made with metasim 1.0, this is 2.0"]),
        (
            {"git": {"commit": "c2"}, "code": "d2"},
            ["files of metasim differ from the run's (commit c1, this is c2)"],
        ),
        ({"git": {"commit": "c2"}}, []),
        ({"git": {"commit": "c2"}, "code": None}, ["made at commit c1, this is c2"]),
        ({"code": "d2"}, ["files of metasim differ"]),
        ({"git": None, "code": "d2"}, ["files of metasim differ"]),
        ({"git": None}, []),
        ({"packages": {}, "git": None, "code": None}, []),
        (
            {"packages": {"metasim": "2.0"}, "git": {"commit": "c2"}, "code": "d2"},
            ["metasim 1.0", "commit c1"],
        ),
        (
            {"packages": {"metasim": "1.0", "torch": "2.7", "numpy": "2.1"}},
            ["made with torch 2.6, this is 2.7"],
        ),
        ({"renderers": {"p:P": {"code": "e2"}}}, ["files of the renderer 'p:P' differ"]),
        ({"renderers": {"p:P": {"code": "e1"}, "q:Q": {"code": "e3"}}}, []),
        (
            {"renderers": {"toy": {"code": "f2", "installed": "toys 1.1"}}},
            [
                "files of the renderer 'toy'",
                "the renderer 'toy' was of toys 1.0, this is of toys 1.1",
            ],
        ),
        ({"renderers": {"toy": {}}}, []),
        ({"files": {"renderer.options.glyphs": "g1", "more": "g2"}}, []),
        (
            {"files": {"renderer.options.glyphs": "g2"}},
            ["what renderer.options.glyphs names holds other files"],
        ),
    ],
)
def test_differences_of_code_are_told(now: dict[str, object], said: list[str]) -> None:
    found = code_differences(MADE, MADE | now)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))
    assert code_differences({}, MADE | now) == [], "what was not noted is not judged"


def test_a_continued_run_keeps_what_it_was_made_by() -> None:
    other, third = MADE | {"code": "d2"}, MADE | {"code": "d3"}
    twice = continued(continued(MADE, other), third)
    assert twice == {**MADE, "continued": [other, third]}
    assert code_differences(twice, third) == []
    assert len(code_differences(twice, MADE)) == 1, "what made it first did not write it last"
    assert "continued" not in MADE
