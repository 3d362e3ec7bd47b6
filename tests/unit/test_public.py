"""What modules say is public is all that is, and is there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for folder in (ROOT / "metasim", ROOT / "renderers")
    for path in folder.rglob("*.py")
    if path.name != "__main__.py"
)


def name_of(path: Path) -> str:
    base = ROOT / "renderers" if ROOT / "renderers" in path.parents else ROOT
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_public_names_are_there_and_are_all_that_a_module_defines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body[1:]:
        return  # a package that only has a docstring
    module = importlib.import_module(name_of(path))
    public = module.__all__
    assert len(public) == len(set(public))
    assert all(hasattr(module, name) for name in public)
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not any(map(_declares_a_command, node.decorator_list))
    }
    assert defined <= set(public)


def _declares_a_command(decorator: ast.expr) -> bool:
    """Such a function is known to the app that it is declared to."""
    return ast.unparse(decorator).partition(".")[0].endswith("app")
