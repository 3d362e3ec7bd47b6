"""Every setting that a configuration accepts is read by something: there are no dead ones.

Names alone would prove little ("size" and "seed" are read everywhere), so receivers are
followed: from annotations, through assignments, to the class whose field is read.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

import metasim
from metasim.learn.options import Options

DECLARING = ("metasim.learn.options", "metasim.config.settings", "metasim.render.options")

Classes = frozenset[type]
NOTHING: Classes = frozenset()


def members(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in members(part)]


class Reads(ast.NodeVisitor):
    """Collects the (class, field) pairs of settings that a module reads."""

    def __init__(self, module: ModuleType, tree: ast.Module) -> None:
        self.module, self.tree = module, tree
        self.found: set[tuple[type, str]] = set()
        self.own: dict[str, Classes] = {}
        self.local: dict[str, Classes] = {}
        for _ in range(3):  # what one function assigns to self, another reads
            self.visit(tree)

    def annotated(self, node: ast.expr | None) -> Classes:
        """The setting classes that an annotation names, as the module itself knows them."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        if isinstance(node, (ast.Name, ast.Attribute)):
            found = self.value_of(node)
            return frozenset(m for m in members(found) if issubclass(m, Options))
        parts = ast.iter_child_nodes(node) if node is not None else ()
        return NOTHING.union(*(self.annotated(p) for p in parts if isinstance(p, ast.expr)))

    def value_of(self, node: ast.expr) -> Any:
        """The object that a name of the module stands for, or None."""
        if isinstance(node, ast.Name):
            return getattr(self.module, node.id, None)
        if isinstance(node, ast.Attribute):
            return getattr(self.value_of(node.value), node.attr, None)
        return None

    def classes(self, node: ast.expr) -> Classes:
        """The setting classes that an expression may be an instance (or a list) of."""
        match node:
            case ast.Name(id=name):
                return self.local.get(name, NOTHING)
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if name in self.own:
                return self.own[name]
            case ast.Attribute(value=value, attr=name):
                return self.below(self.classes(value), name)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "replace"), args=[first, *_]):
                return self.classes(first)
            case ast.Call(func=function):
                made = self.value_of(function)
                if isinstance(made, type):
                    return frozenset({made}) if issubclass(made, Options) else NOTHING
                return self.returned(made)
            case ast.IfExp(body=body, orelse=orelse):
                return self.classes(body) | self.classes(orelse)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.BoolOp(values=parts):
                return NOTHING.union(*(self.classes(part) for part in parts))
            case ast.Subscript(value=value):
                return self.classes(value)
        return NOTHING

    @staticmethod
    def below(classes: Classes, field: str) -> Classes:
        infos = [c.model_fields[field] for c in classes if field in c.model_fields]
        found = [m for info in infos for m in members(info.annotation)]
        return frozenset(m for m in found if issubclass(m, Options))

    @staticmethod
    def returned(function: Any) -> Classes:
        written = getattr(function, "__annotations__", {}).get("return")
        if not isinstance(written, str):
            return NOTHING
        names = vars(importlib.import_module(function.__module__))
        try:
            found = eval(written, dict(names))
        except NameError:  # imported for type checkers only
            return NOTHING
        return frozenset(m for m in members(found) if issubclass(m, Options))

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note what an assignment or a loop puts where."""
        if isinstance(target, ast.Tuple):
            for part, given in zip(target.elts, self.spread(target, value), strict=False):
                self.bind(part, given)
        elif isinstance(target, ast.Name):
            self.local[target.id] = self.classes(value)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            found = self.classes(value)
            if target.value.id == "self" and found:
                self.own[target.attr] = self.own.get(target.attr, NOTHING) | found

    @staticmethod
    def spread(target: ast.Tuple, value: ast.expr) -> list[ast.expr]:
        nothing = ast.Constant(None)
        match value:
            case ast.Tuple(elts=parts) if len(parts) == len(target.elts):
                return parts
            case ast.Call(func=ast.Name(id="zip"), args=parts):
                return parts
            case ast.Call(func=ast.Name(id="enumerate"), args=[counted, *_]):
                return [nothing, counted]
        return [nothing] * len(target.elts)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self.own = self.own, self.own if node.bases else {}
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                self.own[part.target.id] = self.annotated(part.annotation)
        for _ in range(2):
            self.generic_visit(node)
        self.own = {**before, **self.own}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before = self.local
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.local = before | {a.arg: self.annotated(a.annotation) for a in arguments}
        for part in node.body:
            self.visit(part)
        self.local = before

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.local[node.target.id] = self.annotated(node.annotation)

    def visit_For(self, node: ast.For) -> None:
        self.bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_GeneratorExp(self, node: Any) -> None:
        for loop in node.generators:
            self.bind(loop.target, loop.iter)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        for case in node.cases:
            before = dict(self.local)
            if isinstance(case.pattern, ast.MatchClass) and isinstance(node.subject, ast.Name):
                self.local[node.subject.id] = self.annotated(case.pattern.cls)
            for part in case.body:
                self.visit(part)
            self.local = before

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self.note(self.classes(node.value), node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[about, ast.Constant(value=str()), *_]):
                self.note(self.classes(about), node.args[1].value)
        self.generic_visit(node)

    def note(self, classes: Classes, field: str) -> None:
        self.found |= {(c, field) for c in classes if field in c.model_fields}


def reads_of(module: ModuleType) -> set[tuple[type, str]]:
    return Reads(module, ast.parse(Path(module.__file__).read_text(encoding="utf-8"))).found


@pytest.fixture(scope="module")
def read_somewhere() -> set[tuple[type, str]]:
    """The settings that some module reads, other than those that declare them."""
    found: set[tuple[type, str]] = set()
    for info in pkgutil.walk_packages(metasim.__path__, "metasim."):
        if not info.name.startswith(("metasim.__main__", *DECLARING)):
            found |= reads_of(importlib.import_module(info.name))
    return found


def setting_classes(above: type[Options] = Options) -> list[type[Options]]:
    below = [c for c in above.__subclasses__() if c.__module__.startswith(DECLARING)]
    return [*below, *(c for one in below for c in setting_classes(one))]


SETTINGS = [
    pytest.param(
        model,
        field,
        id=f"{model.__name__}-{field}",
    )
    for model in setting_classes()
    for field, info in model.model_fields.items()
    # What chooses a member of a choice is read by pydantic, and told by the object's class.
    if not (field == "use" and get_origin(info.annotation) is Literal)
]


@pytest.mark.parametrize(("model", "field"), SETTINGS)
def test_every_setting_is_read(model, field, read_somewhere):
    assert (model, field) in read_somewhere, f"nothing reads {model.__name__}.{field}"


def test_a_setting_that_nothing_reads_would_be_found():
    class Used(Options):
        """One setting is read, the other only looks so."""

        size: int = 1
        seed: int = 2

    source = """
class Part:
    def __init__(self, options: Used) -> None:
        self.options = options
        self.seed = 3

    def act(self) -> int:
        options = self.options
        return options.size + self.seed
"""
    module = ModuleType("example")
    module.Used = Used
    assert Reads(module, ast.parse(source)).found == {(Used, "size")}
