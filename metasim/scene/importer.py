"""Grammars from the generator configuration format of the first open Meta-Sim code (JSON).

A node there is an object with ``class``, ``attributes``, ``num_child`` and ``child``. Nodes
that stand for the picture as a whole become one node of kind ``scene``, digits become nodes
of kind ``digit``. What has no counterpart here is dropped, and named.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from metasim.errors import ConfigError, Mistake, did_you_mean
from metasim.scene.grammar import SceneGrammar
from metasim.scene.imported import FRAMES, NAME, SPECIAL, Findings, read_attributes, show
from metasim.yamlfile import MAX_DEPTH, dump

__all__ = ["DRAWN", "RENDERER", "Imported", "import_generator"]

RENDERER = "mnist"
"""What an imported grammar names to be drawn with, where that draws all of it."""

DRAWN: Mapping[str, frozenset[str]] = {
    "scene": frozenset({"level", "noise"}),
    "digit": frozenset({"class", "glyph", "x", "y", "yaw", "scale", "shear", "intensity"}),
}
"""The kinds and attributes that renderer draws. Stated here, since scenes know no renderer."""

_NODE_KEYS = ("class", "attributes", "num_child", "child")
_DEFAULT_NODES = 1000
_MOST_LEVELS = MAX_DEPTH - 10  # our form of it has some more: priors, and the way to the root
_TOO_DEEP = f"at most {_MOST_LEVELS} objects and lists must be nested in one another"


@dataclass(frozen=True)
class Imported:
    """A grammar that was imported.

    Attributes:
        grammar: in our form.
        image_size: (H, W) in pixels, None where the file gives none.
        drawn: whether the renderer of digits draws every kind and attribute of it.
        notes: what was dropped or read in a special way, one line each.
    """

    grammar: SceneGrammar
    image_size: tuple[int, int] | None
    drawn: bool
    notes: tuple[str, ...]

    def to_yaml(self, source: str) -> str:
        """The grammar's YAML file, its notes as comments at the top.

        Args:
            source: name of the file it came from.
        """
        data = self.grammar.model_dump(mode="json", exclude_defaults=True)
        if self.drawn and self.image_size:
            data["renderer"] = {"use": RENDERER, "options": {"image_size": list(self.image_size)}}
        head = [f"Imported from {source}.", *(f"- {note}" for note in self.notes)]
        comments = "".join(f"# {line.encode('unicode_escape').decode()}\n" for line in head)
        return comments + dump(data)


def import_generator(path: Path) -> Imported:
    """The grammar that a generator configuration describes.

    Raises:
        ConfigError: with every mistake found, its key being a JSON path.
    """
    findings = Findings(str(path))
    reader = _Reader(findings)
    nodes = reader.node(_read_json(path, findings), "$", (), root=True)
    reader.check_mutable()
    if findings.mistakes:
        raise ConfigError(findings.mistakes)
    root = nodes[0]
    _name_nodes(root)
    most = max(_DEFAULT_NODES, len(_walk(root)))
    grammar = SceneGrammar.model_validate({"root": root, "max_nodes": most})
    if not grammar.learnable:
        findings.note("nothing numeric is mutable, so that nothing can be learned", "$")
    if undrawn := _undrawn(grammar):
        note = f"no renderer is named: {RENDERER} does not draw {', '.join(undrawn)}"
        if reader.image_size:
            note += "; the image size is [{}, {}]".format(*reader.image_size)
        findings.note(note, "$")
    return Imported(grammar, reader.image_size, not undrawn, findings.lines())


def _read_json(path: Path, findings: Findings) -> Any:
    def constant(text: str) -> NoReturn:
        raise ConfigError([Mistake(f"a number must be finite, got {text}", str(path))])

    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text, object_pairs_hook=_Object, parse_constant=constant)
        _refuse_repeated(data, "$", findings)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg}"
        raise ConfigError([Mistake(what, str(path), error.lineno, error.colno)]) from None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise ConfigError([Mistake(what, str(path))]) from None
    except UnicodeDecodeError:
        raise ConfigError([Mistake("must be UTF-8 text, and is not", str(path))]) from None
    except RecursionError:
        raise ConfigError([Mistake(f"{_TOO_DEEP}; got many more", str(path))]) from None
    except ValueError as error:
        raise ConfigError([Mistake(f"is not JSON: {error}", str(path))]) from None
    return data


class _Object(dict[str, Any]):
    """A JSON object, with how often each of its keys stands there."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.counts = Counter(key for key, _ in pairs)


def _refuse_repeated(data: Any, path: str, findings: Findings, around: int = 0) -> None:
    """Note keys that are repeated; what is nested too deeply ends the reading.

    Args:
        data: what stands at ``path``.
        path: its JSON path.
        findings: takes the mistakes.
        around: how many objects and lists it is in.
    """
    if isinstance(data, (dict, list)) and around >= _MOST_LEVELS:
        findings.wrong(path, f"{_TOO_DEEP}; this is one more")
        raise ConfigError(findings.mistakes)
    for key, count in data.counts.items() if isinstance(data, _Object) else ():
        if count > 1:
            findings.wrong(f"{path}.{key}", f"stands {count} times in one object")
        _refuse_repeated(data[key], f"{path}.{key}", findings, around + 1)
    for index, value in enumerate(data if isinstance(data, list) else ()):
        _refuse_repeated(value, f"{path}[{index}]", findings, around + 1)


class _Reader:
    """Reads nodes into the plain form of our grammar."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.image_size: tuple[int, int] | None = None
        self.root: dict[str, Any] = {}
        self.seen: set[str] = set()
        self.mutable: dict[str, str] = {}

    def node(
        self, data: Any, path: str, mutable: tuple[str, ...], *, root: bool = False
    ) -> list[dict[str, Any]]:
        """Our nodes for one of theirs: itself, or its children where it is only a frame."""
        if not isinstance(data, dict):
            self.findings.wrong(path, f"a node must be an object, got {show(data)}")
            return []
        for key in data:
            if key not in _NODE_KEYS:
                near = did_you_mean(key, _NODE_KEYS)
                self.findings.wrong(f"{path}.{key}", f"unknown key; {near}")
        values = self._class(data.get("class"), f"{path}.class")
        attributes = data.get("attributes", {})
        if not isinstance(attributes, dict):
            message = f"must be an object, got {show(attributes)}"
            self.findings.wrong(f"{path}.attributes", message)
            attributes = {}
        if "mutable" in attributes:
            mutable = self._mutable(attributes["mutable"], f"{path}.attributes.mutable")
        self.seen |= attributes.keys() - SPECIAL
        kind, named = _kind(values, root=root)
        found = read_attributes(self.findings, attributes, f"{path}.attributes", mutable, kind)
        if named and values:
            if "class" in found:
                message = "must not stand beside the class of the node itself"
                self.findings.wrong(f"{path}.attributes.class", message)
            prior = values[0] if len(values) == 1 else {"choice": {"values": values}}
            found = {"class": {"prior": prior}, **found}
        if root:
            self._size(attributes.get("size"), f"{path}.attributes.size")
            self.root = found
        elif "size" in attributes:
            self.findings.dropped("size", f"{path}.attributes", "the picture's stands at the top")
        if kind in FRAMES and not root:
            note = f"the node {values[0]!r} is part of the scene; its children are the scene's"
            self.findings.note(note, path)
            self._merge(found, f"{path}.attributes")
            return self._children(data, path, mutable)
        children = self._children(data, path, mutable)
        kind = "scene" if kind in FRAMES else kind
        node = {"name": kind, "kind": kind, "attributes": found, "children": children}
        return [{key: value for key, value in node.items() if value}]

    def _merge(self, found: dict[str, Any], path: str) -> None:
        """Give the root the attributes of a node that is part of the scene."""
        for name, attribute in found.items():
            if name not in DRAWN["scene"]:
                why = f"a part of the scene adds only {' and '.join(sorted(DRAWN['scene']))} to it"
                self.findings.dropped(name, path, why)
            elif name in self.root:
                self.findings.dropped(name, path, "the scene has one already")
            else:
                self.root[name] = attribute

    def _class(self, written: Any, path: str) -> list[Any]:
        """The values of a node's class; digits as numbers."""
        if not (isinstance(written, list) and len(written) == 2):
            message = 'must be ["Deterministic", NAME] or ["Random", [NAME, ..]]'
            self.findings.wrong(path, f"{message}, got {show(written)}")
            return []
        how, what = written
        if how not in ("Deterministic", "Random"):
            self.findings.wrong(f"{path}[0]", f"must be Deterministic or Random, got {show(how)}")
            return []
        values = what if how == "Random" else [what]
        if not (isinstance(values, list) and values):
            self.findings.wrong(f"{path}[1]", f"must be a list of classes, got {show(what)}")
            return []
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
                place = f"{path}[1][{index}]" if how == "Random" else f"{path}[1]"
                self.findings.wrong(place, f"a class must be a name or a number, got {show(value)}")
                return []
        return [int(v) if re.fullmatch("[0-9]", str(v)) else str(v) for v in values]

    def _children(
        self, data: dict[str, Any], path: str, mutable: tuple[str, ...]
    ) -> list[dict[str, Any]]:
        written = data.get("child", [])
        if not isinstance(written, list):
            self.findings.wrong(f"{path}.child", f"must be a list of nodes, got {show(written)}")
            written = []
        if "num_child" in data:
            self._count(data["num_child"], f"{path}.num_child", len(written))
        return [
            node
            for index, child in enumerate(written)
            for node in self.node(child, f"{path}.child[{index}]", mutable)
        ]

    def _count(self, written: Any, path: str, entries: int) -> None:
        """Note a count that is another than that of the entries, which all are taken."""
        fits = isinstance(written, list) and len(written) == 2 and written[0] == "Deterministic"
        number = written[1] if fits else None
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            message = f'must be ["Deterministic", N] with N a whole number, got {show(written)}'
            self.findings.wrong(path, message)
        elif number != entries:
            note = f"num_child says {number}; all nodes of child are taken, {entries}"
            self.findings.note(note, path)

    def _mutable(self, written: Any, path: str) -> tuple[str, ...]:
        if not (isinstance(written, list) and all(isinstance(name, str) for name in written)):
            self.findings.wrong(path, f"must be a list of names, got {show(written)}")
            return ()
        for index, name in enumerate(written):
            self.mutable.setdefault(name, f"{path}[{index}]")
            if name == "class":
                self.findings.note("a class is not learned", f"{path}[{index}]")
        return tuple(written)

    def check_mutable(self) -> None:
        """Refuse names of mutable attributes that no node has: they are misspelt."""
        for name, path in self.mutable.items():
            if name not in self.seen and name != "class":
                near = did_you_mean(name, sorted(self.seen))
                self.findings.wrong(path, f"no node has an attribute {name!r}; {near}")

    def _size(self, written: Any, path: str) -> None:
        if written is None:
            return
        sides = written if isinstance(written, list) else []
        whole = [s for s in sides if isinstance(s, int) and not isinstance(s, bool) and s > 0]
        if len(whole) == len(sides) == 2:
            self.image_size = (whole[0], whole[1])
        else:
            self.findings.wrong(path, f"must be [H, W] in whole pixels, got {show(written)}")


def _kind(values: list[Any], *, root: bool) -> tuple[str, bool]:
    """The kind of a node whose class has these values, and whether ``class`` names which."""
    if values and all(isinstance(v, int) for v in values):
        return "digit", True
    name = re.sub(r"[^a-z0-9]+", "_", str(values[0]).lower()).strip("_") if values else ""
    if len(values) == 1 and name == "background":
        return "background", False
    if root or (len(values) == 1 and name in ("image", "scene")):
        return "scene", False
    return (name, False) if len(values) == 1 and NAME.fullmatch(name) else ("object", True)


def _name_nodes(root: dict[str, Any]) -> None:
    """Number the nodes that would otherwise be called the same."""
    nodes = list(_walk(root))
    often = Counter(node["name"] for node in nodes)
    taken = {name for name, times in often.items() if times == 1}
    for node in nodes:
        base = node["name"]
        if often[base] > 1:
            numbered = (f"{base}_{number}" for number in itertools.count(1))
            node["name"] = next(name for name in numbered if name not in taken)
            taken.add(node["name"])


def _walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("children", []) for below in _walk(child))]


def _undrawn(grammar: SceneGrammar) -> list[str]:
    """What the renderer of digits does not draw: kinds, and attributes as KIND.NAME."""
    found: list[str] = []
    for node in grammar.nodes.values():
        if node.kind not in DRAWN:
            found.append(node.kind)
        else:
            found += [f"{node.kind}.{n}" for n in node.attributes if n not in DRAWN[node.kind]]
    return list(dict.fromkeys(found))
