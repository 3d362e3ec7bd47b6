"""The documents say what the code does, and the code reads every setting it accepts."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

import metasim
from metasim.config import Experiment, load_experiment, load_grammar
from metasim.config.shape import DISTRIBUTIONS
from metasim.learn.options import Options
from metasim.scene.grammar import Attribute, Correlation, GrammarNode, SceneGrammar
from metasim.scene.importer import import_generator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "assets").rglob("*.md")),
    ROOT / "results" / "README.md",
]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(name), re.DOTALL)


# --- every setting is documented, with its default ----------------------------------------


def members(annotation) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in members(part)]


def sections(model: type[Options], place: str = "") -> Iterator[tuple[str, type[Options]]]:
    """The headings of the reference and the classes they are about."""
    for name, info in model.model_fields.items():
        here = f"{place}.{name}" if place else name
        found = [m for m in members(info.annotation) if issubclass(m, Options)]
        for member in found:
            use = member.model_fields.get("use")
            if use is not None and get_origin(use.annotation) is Literal:
                yield f"{here}: {{use: {use.default}}}", member
            elif len(found) > 1:
                yield f"{here}: {{{next(iter(member.model_fields))}: ...}}", member
            else:
                yield here, member
            yield from sections(member, here)


def every_section() -> dict[str, type[Options]]:
    found: dict[str, type[Options]] = {"Top level": Experiment}
    for heading, model in sections(Experiment):
        if model not in found.values():  # a class in two places is described at the first
            found[heading] = model
    return found


def shown(value: Any) -> str:
    """A default as the reference writes it."""
    if isinstance(value, BaseModel):
        use = getattr(value, "use", None)
        return f"`{{use: {use}}}`" if use else "see below"
    if isinstance(value, tuple):
        inner = ", ".join(shown(part).strip("`") for part in value)
        return f"`{inner}`" if value and isinstance(value[0], BaseModel) else f"`[{inner}]`"
    if value is None:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rows_of(heading: str) -> dict[str, str]:
    """Keys and defaults in the table below a heading of the experiment's reference."""
    title = "Top level" if heading == "Top level" else f"`{heading}`"
    parts = re.split(r"^#{2,4} (.*)$", text_of("docs/experiment.md"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in found, f"docs/experiment.md must have a section {title}"
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", found[title], flags=re.MULTILINE)
    return {key: default.strip() for key, default in rows}


@pytest.mark.parametrize("heading", every_section())
def test_the_reference_has_every_setting_and_its_default(heading):
    model = every_section()[heading]
    expected = {}
    for name, info in model.model_fields.items():
        if get_origin(info.annotation) is Literal and name == "use":
            continue
        default = info.get_default(call_default_factory=True)
        expected[name] = "required" if info.is_required() else shown(default)
    if model is Experiment:
        expected["name"] = "the file's name"
    assert {k: v for k, v in rows_of(heading).items() if v != "the learner's"} == {
        k: v for k, v in expected.items() if rows_of(heading).get(k) != "the learner's"
    }


def test_the_reference_shows_an_experiment_that_loads(tmp_path):
    (example,) = (b for b in blocks("docs/experiment.md", "yaml") if b.startswith("name:"))
    path = tmp_path / "experiments" / "example.yaml"
    path.parent.mkdir()
    path.write_text(example, encoding="utf-8")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    loaded = load_experiment(path)
    keys = set(yaml.safe_load(example))
    assert keys == set(Experiment.model_fields) - {"task"}, "the example must show every key"
    assert loaded.grammar.learnable


# --- the grammar's reference --------------------------------------------------------------


@pytest.mark.parametrize("model", [SceneGrammar, GrammarNode, Attribute, Correlation])
def test_the_grammar_reference_has_every_key(model):
    keys = re.findall(r"^\| `([a-z_]+)` \|", text_of("docs/grammar.md"), flags=re.MULTILINE)
    assert set(model.model_fields) <= set(keys)


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_the_grammar_reference_has_every_distribution_and_parameter(name):
    (row,) = re.findall(rf"^\| `{name}` \| (.*)$", text_of("docs/grammar.md"), re.MULTILINE)
    for parameter in DISTRIBUTIONS[name].model_fields:
        assert f"`{parameter}`" in row or f"{parameter}:" in row, parameter


def test_the_grammars_in_the_reference_load_and_are_sampled(tmp_path):
    whole = [block for block in blocks("docs/grammar.md", "yaml") if "root:" in block]
    assert whole
    for number, block in enumerate(whole):
        path = tmp_path / f"grammar{number}.yaml"
        path.write_text(block, encoding="utf-8")
        grammar = load_grammar(path).grammar
        assert grammar.learnable
        assert grammar.sample(np.random.default_rng(0)).nodes


def test_the_attributes_in_the_reference_are_valid():
    parts = [yaml.safe_load(b) for b in blocks("docs/grammar.md", "yaml") if "root:" not in b]
    attributes = [a for part in parts for a in part.get("attributes", {}).items()]
    assert len(attributes) >= len(DISTRIBUTIONS)
    node = {"name": "thing", "kind": "thing"}
    for part in parts:
        grammar = SceneGrammar.model_validate({"root": {**node, **part}})
        rng = np.random.default_rng(0)
        for _ in range(20):
            for name, value in grammar.sample(rng).nodes[0].attributes.items():
                span = grammar.root.attributes[name].range
                assert span is None or span[0] <= value <= span[1]


def test_the_imported_grammar_of_the_reference_is_what_import_makes(tmp_path):
    (source,) = blocks("docs/grammar.md", "json")
    json.loads(source)
    path = tmp_path / "digits.json"
    path.write_text(source, encoding="utf-8")
    made = import_generator(path).to_yaml(path.name)
    (documented,) = (b for b in blocks("docs/grammar.md", "yaml") if "Imported from" in b)
    assert documented == made


# --- the other documents ------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        link
        for link in links
        if not link.startswith(("http://", "https://")) and not (path.parent / link).exists()
    ]
    roots = "metasim|renderers|experiments|assets|docs|tests"
    for name in re.findall(rf"`((?:{roots})/[\w./*-]*)`", text):
        if not list(ROOT.glob(name.rstrip("/"))):
            missing.append(name)
    assert missing == []


def test_the_layers_drawn_are_those_enforced():
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    plain = [re.sub(r"metasim\.|[()]", "", layer) for layer in layers]
    (drawn,) = (b for b in blocks("ARCHITECTURE.md", "text") if b.startswith("__main__"))
    assert [line.split("  ")[0].strip() for line in drawn.splitlines()] == plain


def test_the_guide_has_the_commands_that_ci_runs():
    script, guide = text_of(".ci/run"), text_of("CONTRIBUTING.md")
    (set_up,) = re.findall(r'^readonly default="(.*)"$', script, flags=re.MULTILINE)
    steps = re.findall(r"^step (.*)$", script, flags=re.MULTILINE)
    assert steps
    for command in (set_up, *(step.partition(' "')[0] for step in steps)):
        assert command in guide


def test_the_guide_names_every_exit_code():
    guide = text_of("CONTRIBUTING.md")
    errors = importlib.import_module("metasim.errors")
    for name in errors.__all__:
        found = getattr(errors, name)
        if isinstance(found, type) and issubclass(found, errors.MetasimError):
            assert f"| `{name}` | {found.exit_code} |" in guide


def test_every_asset_is_told_of():
    for folder in (ROOT / "assets").iterdir():
        told = (folder / "README.md").read_text(encoding="utf-8")
        assert "licence" in told
        for file in folder.iterdir():
            assert file.name == "README.md" or f"`{file.name}`" in told, file


# --- no dead settings ---------------------------------------------------------------------
#
# Names alone would prove little ("size" and "seed" are read everywhere), so receivers are
# followed: from annotations, through assignments, to the class whose field is read.

Classes = frozenset[type]
NOTHING: Classes = frozenset()


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
        if info.name not in ("metasim.__main__", "metasim.learn.options", "metasim.config.settings"):
            found |= reads_of(importlib.import_module(info.name))
    return found


SETTINGS = [
    pytest.param(
        model,
        field,
        id=f"{heading}-{field}",
        marks=[pytest.mark.xfail(reason="everything runs on the CPU: nothing reads it yet")]
        if (model, field) == (Experiment, "device")
        else [],
    )
    for heading, model in every_section().items()
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


def test_members_looks_into_unions():
    assert members(Annotated[Union[Attribute, None], "note"]) == [Attribute]  # noqa: UP007
