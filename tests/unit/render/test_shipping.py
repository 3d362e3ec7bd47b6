"""Modules are collected from a folder and imported from what was collected."""

from __future__ import annotations

import importlib
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metasim.errors import PluginError
from metasim.render import shipping
from metasim.render.shipping import Shipped, modules_in

Serve = Callable[[Path], Shipped]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Modules, packages, and what is neither."""
    for name, text in {
        "metasim_sent.py": "from metasim_kit.deep import tone\nLEVEL = tone.LEVEL\n",
        "metasim_kit/__init__.py": "from .deep.tone import fail\n",
        "metasim_kit/deep/__init__.py": "",
        "metasim_kit/deep/tone.py": "LEVEL = 7\ndef fail():\n    raise ValueError('too loud')\n",
        "colorsys.py": "raise ImportError('not this one')\n",
        "metasim_broken.py": "this is no Python\n",
        "metasim-named.py": "",
        "metasim_plain/module.py": "",
        "notes.txt": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Have the modules of a folder imported from what was collected; they are forgotten after."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = set(sys.modules)

    def served(folder: Path) -> Shipped:
        found = Shipped(modules_in(folder))
        for path in sorted(folder.rglob("*"), reverse=True):  # nothing is left to read
            path.unlink() if path.is_file() else path.rmdir()
        found.serve()
        return found

    yield served
    for name in set(sys.modules) - before:
        del sys.modules[name]
    linecache.clearcache()


def test_modules_and_packages_are_collected(folder: Path) -> None:
    found = modules_in(folder)
    assert found.keys() == {
        "metasim_sent",
        "metasim_broken",
        "colorsys",
        "metasim_kit",
        "metasim_kit.deep",
        "metasim_kit.deep.tone",
    }
    assert found["metasim_sent"][0] == str(folder / "metasim_sent.py")


def test_what_was_collected_is_imported_as_if_it_were_there(folder: Path, serve: Serve) -> None:
    serve(folder)
    sent = importlib.import_module("metasim_sent")
    assert sent.LEVEL == 7
    assert Path(sent.__file__) == folder / "metasim_sent.py"
    with pytest.raises(ValueError, match="too loud") as error:
        importlib.import_module("metasim_kit").fail()
    told = "".join(traceback.format_exception(error.value))
    assert f'File "{folder}/metasim_kit/deep/tone.py", line 3, in fail' in told
    assert "raise ValueError('too loud')" in told, "with the line itself"


def test_pythons_own_modules_come_first(
    folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert serve(folder).find_spec("colorsys") is not None
    assert importlib.import_module("colorsys").rgb_to_hsv
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("metasim_plain.module")
    with pytest.raises(SyntaxError):
        importlib.import_module("metasim_broken")


def test_a_folder_that_is_too_large_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "_MOST", 100)
    with pytest.raises(PluginError, match=r"must be at most .* put it into a folder of its own"):
        modules_in(folder)


def test_a_module_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "metasim_gone.py").symlink_to(folder / "nowhere.py")
    with pytest.raises(PluginError, match=r"metasim_gone\.py must be readable, since modules"):
        modules_in(folder)
