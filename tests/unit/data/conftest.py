"""The tests' own renderer, loaded by its path so that no import mode matters."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).with_name("rectangles.py")


@pytest.fixture(scope="session")
def rectangles() -> ModuleType:
    """The module of the rectangle renderer and its scenes."""
    spec = importlib.util.spec_from_file_location("rectangles", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def program() -> Path:
    """The same module as a program that generates a dataset."""
    return PROGRAM


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """SHA-256 of every file below a folder, hidden ones included, by relative name."""

    def compute(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return compute


@pytest.fixture
def relabel() -> Callable[[Path, Callable[[str], str]], None]:
    """Change a dataset's labels, with the digest that the manifest has of them."""

    def change(folder: Path, changed: Callable[[str], str]) -> None:
        labels, manifest = folder / "labels.jsonl", folder / "manifest.json"
        before = labels.read_bytes()
        labels.write_text(changed(before.decode()))
        digests = [hashlib.sha256(text).hexdigest() for text in (before, labels.read_bytes())]
        manifest.write_text(manifest.read_text().replace(*digests))

    return change
