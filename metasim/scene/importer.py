"""Grammars from the generator configuration format of the first open Meta-Sim code (JSON).

A node there is an object with ``class``, ``attributes``, ``num_child`` and ``child``. Nodes
that stand for the picture as a whole become one node of kind ``scene``, digits become nodes
of kind ``digit``. What has no counterpart here is dropped, and named.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from metasim.errors import ConfigError, Mistake, did_you_mean
from metasim.scene.grammar import SceneGrammar
from metasim.scene.imported import NAME, SPECIAL, Findings, read_attributes, show
from metasim.yamlfile import dump

__all__ = ["Imported", "import_generator"]

_NODE_KEYS = ("class", "attributes", "num_child", "child")
_WHOLE_PICTURE = ("image", "scene", "background")
_DEFAULT_NODES = 1000


@dataclass(frozen=True)
class Imported:
    """A grammar that was imported.

    Attributes:
        grammar: in our form.
        image_size: (H, W) in pixels, None where the file gives none.
        notes: what was dropped or read in a special way, one line each.
    """

    grammar: SceneGrammar
    image_size: tuple[int, int] | None
    notes: tuple[str, ...]

    def to_yaml(self, source: str) -> str:
        """The grammar's YAML file, its notes as comments at the top.

        Args:
            source: name of the file it came from.
        """
        data = self.grammar.model_dump(mode="json", exclude_defaults=True)
        if self.image_size:
            data["renderer"] = {"use": "mnist", "options": {"image_size": list(self.image_size)}}
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
    most = max(_DEFAULT_NODES, _total(root))
    grammar = SceneGrammar.model_validate({"root": root, "max_nodes": most})
    if not grammar.learnable:
        findings.note("nothing numeric is mutable, so that nothing can be learned", "$")
    return Imported(grammar, reader.image_size, findings.lines())


def _read_json(path: Path, findings: Findings) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in found).items():
            if count > 1:
                findings.wrong(key, f"the key {key!r} stands {count} times in one object")
        return dict(found)

    def constant(text: str) -> NoReturn:
        raise ConfigError([Mistake(f"a number must be finite, got {text}", str(path))])

    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg}"
        raise ConfigError([Mistake(what, str(path), error.lineno, error.colno)]) from None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise ConfigError([Mistake(what, str(path))]) from None
    except UnicodeDecodeError:
        raise ConfigError([Mistake("must be UTF-8 text, and is not", str(path))]) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError([Mistake(f"is not JSON: {error}", str(path))]) from None


class _Reader:
    """Reads nodes into the plain form of our grammar."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.image_size: tuple[int, int] | None = None
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
        mutable = self._mutable(attributes, f"{path}.attributes.mutable") or mutable
        self.seen |= attributes.keys()
        kind, named = _kind(values, root=root)
        found = read_attributes(self.findings, attributes, f"{path}.attributes", mutable, kind)
        if kind == "scene" and not root:
            note = f"the node {values[0]!r} is part of the scene; its children are the scene's"
            self.findings.note(note, path)
            return self._children(data, path, mutable)
        if named and values:
            prior = values[0] if len(values) == 1 else {"choice": {"values": values}}
            found = {"class": {"prior": prior}, **found}
        if root:
            self._size(attributes.get("size"), f"{path}.attributes.size")
        children = self._children(data, path, mutable)
        node = {"name": kind, "kind": kind, "attributes": found, "children": children}
        return [{key: value for key, value in node.items() if value}]

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
        count = self._count(data.get("num_child"), f"{path}.num_child", len(written))
        found = [
            node
            for index, child in enumerate(written)
            for node in self.node(child, f"{path}.child[{index}]", mutable)
        ]
        return [{**n, "count": n.get("count", 1) * count} for n in found] if count != 1 else found

    def _count(self, written: Any, path: str, entries: int) -> int:
        """How often each entry of ``child`` stands for a node."""
        if written is None:
            return 1
        fits = isinstance(written, list) and len(written) == 2 and written[0] == "Deterministic"
        number = written[1] if fits else None
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            message = f'must be ["Deterministic", N] with N a whole number, got {show(written)}'
            self.findings.wrong(path, message)
            return 1
        if number in (0, entries):
            return 0 if number == 0 else 1
        if entries == 1:
            return number
        self.findings.wrong(
            path, f"must be the number of entries in child, {entries}, got {number}"
        )
        return 1

    def _mutable(self, attributes: dict[str, Any], path: str) -> tuple[str, ...]:
        written = attributes.get("mutable", [])
        if not (isinstance(written, list) and all(isinstance(name, str) for name in written)):
            self.findings.wrong(path, f"must be a list of names, got {show(written)}")
            return ()
        for index, name in enumerate(written):
            self.mutable.setdefault(name, f"{path}[{index}]")
        return tuple(written)

    def check_mutable(self) -> None:
        """Refuse names of mutable attributes that no node has: they are misspelt."""
        for name, path in self.mutable.items():
            if name not in self.seen and name != "class":
                near = did_you_mean(name, sorted(self.seen - SPECIAL))
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
    if root:
        return "scene", False
    if len(values) != 1:
        return "object", True
    name = re.sub(r"[^a-z0-9]+", "_", str(values[0]).lower()).strip("_")
    if name in _WHOLE_PICTURE:
        return "scene", False
    return (name, False) if NAME.fullmatch(name) else ("object", True)


def _name_nodes(root: dict[str, Any]) -> None:
    """Number the nodes that would otherwise be called the same."""
    nodes = list(_walk(root))
    often = Counter(node["name"] for node in nodes)
    seen: Counter[str] = Counter()
    for node in nodes:
        base = node["name"]
        seen[base] += 1
        if often[base] > 1:
            node["name"] = f"{base}_{seen[base]}"


def _walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("children", []) for below in _walk(child))]


def _total(node: dict[str, Any]) -> int:
    """How many nodes a scene has at ``node`` and below."""
    total = 1
    for child in node.get("children", []):
        total += child.get("count", 1) * _total(child)
    return total
