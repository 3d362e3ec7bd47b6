"""The documents say what the code does."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from metasim.config import Experiment, GrammarTarget, load_experiment, load_grammar
from metasim.config.shape import DISTRIBUTIONS
from metasim.learn.options import Options
from metasim.refine.options import Refine, RefineOptions
from metasim.scene.attribute import Attribute
from metasim.scene.grammar import Correlation, GrammarNode, SceneGrammar
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
            if issubclass(member, RefineOptions):
                yield here, RefineOptions  # what all methods have; the rest is told elsewhere
                continue
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
    if model is GrammarTarget:
        expected["renderer"] = "the learner's"
    assert rows_of(heading) == expected


def test_the_reference_shows_an_experiment_that_loads(tmp_path):
    (example,) = (b for b in blocks("docs/experiment.md", "yaml") if b.startswith("name:"))
    path = tmp_path / "experiments" / "example.yaml"
    path.parent.mkdir()
    path.write_text(example, encoding="utf-8")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    loaded = load_experiment(path)
    keys = set(yaml.safe_load(example))
    assert keys == set(Experiment.model_fields) - {"task", "refine"}, (
        "the example must show every key"
    )
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
    folders = [folder for folder in (ROOT / "assets").iterdir() if any(folder.iterdir())]
    assert folders
    for folder in folders:
        told = (folder / "README.md").read_text(encoding="utf-8")
        assert "licence" in told, f"{folder} must tell where its files come from, and under what"
        for file in folder.iterdir():
            assert file.name == "README.md" or f"`{file.name}`" in told, file


# --- the reference of refinement ------------------------------------------------------------


METHODS = get_args(get_args(Refine)[0])


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_the_reference_has_every_setting_of_a_method_with_both_presets(method):
    name = method.model_fields["method"].default
    parts = re.split(r"^### `(\w+)`$", text_of("docs/refinement.md"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))[name]
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| `(.*?)` \|", found, flags=re.MULTILINE)
    quick, paper = method(preset="quick"), method(preset="paper")
    own = set(method.model_fields) - RefineOptions.of_experiments - {"preset", "method"}
    assert {key: (one, other) for key, one, other in rows} == {
        key: (number(getattr(quick, key)), number(getattr(paper, key))) for key in own
    }


def number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value).strip("`")
