"""YAML files read strictly: the YAML 1.2 core types, and the place of every key and value.

Only plain data is built: mappings with text keys, lists, text, numbers, booleans and null.
Duplicate keys, tags, runaway aliases, deep nesting and numbers that are not finite are
mistakes, all of them collected with their positions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

from metasim.errors import ConfigError, Mistake

__all__ = ["COMMAND_LINE", "Document", "Mark", "Place", "dump", "parse", "read"]

COMMAND_LINE = "command line"
"""What stands for the file where something was written on the command line."""

MAX_BYTES = 4_000_000
MAX_VALUES = 200_000
MAX_DEPTH = 60
"""How many lists and mappings may stand in one another."""

Place: TypeAlias = tuple[str | int, ...]
"""The way to a value: mapping keys and list indices, from the top."""

_TAG = "tag:yaml.org,2002:"
_TOO_DEEP = (
    f"at most {MAX_DEPTH} lists and mappings must be nested in one another; this is one more"
)


class Mark(NamedTuple):
    """Where something was written; line and column count from 1, and are 0 where unknown."""

    file: str
    line: int = 0
    column: int = 0


@dataclass
class Document:
    """The data of a YAML file, and where each part of it was written.

    Attributes:
        data: plain Python data.
        keys: marks of mapping keys and list entries, by place.
        values: marks of values, by place.
        mistakes: what was found wrong while reading.
        broken: places whose value could not be read; null stands there.
    """

    data: Any
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)

    def get(self, place: Place) -> Any:
        """What stands at ``place``, or None."""
        data = self.data
        for step in place:
            if isinstance(data, dict):
                data = data.get(step)
            elif isinstance(data, list) and isinstance(step, int) and step < len(data):
                data = data[step]
            else:
                return None
        return data

    def mark(self, place: Place, *, key: bool = False) -> Mark:
        """Where ``place`` was written, or else the nearest thing around it.

        Args:
            place: the way to a value.
            key: point at its key instead of at the value.
        """
        if key and place in self.keys:
            return self.keys[place]
        for end in range(len(place), -1, -1):
            if place[:end] in self.values:
                return self.values[place[:end]]
        return Mark("")

    def mistake(self, place: Place, message: str, *, key: bool = False) -> Mistake:
        """A mistake at ``place`` (see :meth:`mark`)."""
        return Mistake(message, *self.mark(place, key=key), key=".".join(map(str, place)))

    def graft(self, place: Place, other: Document) -> None:
        """Put another document at ``place``, in the stead of what is there."""
        self.forget(place)
        self.values |= {place + inner: mark for inner, mark in other.values.items()}
        self.keys |= {place + inner: mark for inner, mark in other.keys.items()}
        self.broken |= {place + inner for inner in other.broken}
        if not place:
            self.data = other.data
            return
        around = self.data
        for step in place[:-1]:
            around = around[step]
        around[place[-1]] = other.data

    def forget(self, place: Place) -> None:
        """Drop the marks of everything at and below ``place``, its own key's aside."""
        depth = len(place)
        self.values = {p: m for p, m in self.values.items() if p[:depth] != place}
        self.keys = {p: m for p, m in self.keys.items() if p[:depth] != place or p == place}
        self.broken = {p for p in self.broken if p[:depth] != place}


def read(path: Path) -> Document:
    """The document in a file.

    Raises:
        ConfigError: when it cannot be read or is not YAML.
    """
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # a zero byte in the name is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Mistake(f"cannot be read: {reason}", str(path))]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            [Mistake(f"must be at most {MAX_BYTES} bytes, got {len(raw)}", str(path))]
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Mistake("must be UTF-8 text, and is not", str(path), line)]) from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """The document in a text.

    Args:
        text: YAML.
        file: the file's name, for messages.

    Raises:
        ConfigError: when it is not YAML.
    """
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.problem, error.context) if part)
        at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise ConfigError([Mistake(f"is not YAML: {said}", file, *at)]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        at = (before.count("\n") + 1, error.position - before.rfind("\n"))
        bad = f"character {error.character!r} is not allowed"
        raise ConfigError([Mistake(f"is not YAML: {bad}", file, *at)]) from None
    except RecursionError:
        raise ConfigError([Mistake(_TOO_DEEP, file, *_first_too_deep(text))]) from None
    except (ValueError, OverflowError) as error:  # an escape of a character that there is not
        raise ConfigError([Mistake(f"is not YAML: {error}", file)]) from None
    builder = _Builder(file)
    if node is None:
        builder.document.values[()] = Mark(file, 1, 1)
    else:
        builder.document.data = builder.build(node, ())
    return builder.document


def _first_too_deep(text: str) -> tuple[int, int]:
    """Line and column of the first list or mapping that is nested too deeply."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            mark = event.start_mark
            if depth > MAX_DEPTH and mark is not None:
                return mark.line + 1, mark.column + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return 0, 0


def dump(data: Any) -> str:
    """YAML text that this module, and any reader of YAML 1.1 or 1.2, reads back as ``data``."""
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=96,
    )
    return text


class _Loader(yaml.SafeLoader):
    """Composes nodes with the scalar types of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


class _Dumper(yaml.SafeDumper):
    """Quotes text that a reader of either YAML 1.1 or 1.2 would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out in full."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape the rarer line ends, which would come back as spaces."""
        style = '"' if any(end in data for end in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


_CORE_TYPES = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _CORE_TYPES.items():
    for _user in (_Loader, _Dumper):
        _user.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)


# Halves of pairs in UTF-16, which UTF-8 cannot say.
_UNWRITABLE = re.compile("[\ud800-\udfff]")


class _Builder:
    """Builds plain data from YAML nodes and notes where everything stood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.document = Document(None)
        self._count = 0
        self._open: list[yaml.Node] = []

    def build(self, node: yaml.Node, place: Place) -> Any:
        """The data of ``node``, which stands at ``place``."""
        self.document.values[place] = self._mark(node)
        self._count += 1
        if self._count > MAX_VALUES:
            # Aliases of aliases grow without bound; nothing sensible can be said beyond here.
            message = f"holds more than {MAX_VALUES} values once its aliases are written out"
            raise ConfigError([Mistake(message, *self._mark(node))])
        if any(node is around for around in self._open):
            return self._unreadable(node, place, "an alias must not contain itself")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            return self._unreadable(node, place, f"the tag {node.tag!r} is not allowed; remove it")
        if len(self._open) == MAX_DEPTH:
            return self._unreadable(node, place, _TOO_DEEP)
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            return [self.build(item, (*place, i)) for i, item in enumerate(node.value)]
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, place, "a key must be text, got a list or mapping")
                continue
            key = str(key_node.value)
            here = (*place, key)
            if key in found:
                first = self.document.keys[here]
                message = f"the key {key!r} stands twice, first in line {first.line}; remove one"
                self._wrong(key_node, here, message)
                continue
            self.document.keys[here] = self._mark(key_node)
            found[key] = self.build(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        kind = node.tag.removeprefix(_TAG)
        text = node.value
        if kind == "str":
            if _UNWRITABLE.search(text):
                return self._unreadable(node, place, "text must not hold half of a character")
            return text
        if kind not in _CORE_TYPES:
            return self._unreadable(node, place, f"the tag {node.tag!r} is not allowed; remove it")
        if not re.fullmatch(_CORE_TYPES[kind][0], text):
            message = f"{text!r} is not of the type its tag {node.tag!r} says"
            return self._unreadable(node, place, message)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        return self._number(node, place, kind)

    def _number(self, node: yaml.ScalarNode, place: Place, kind: str) -> Any:
        text = node.value
        if kind == "int":
            if len(text) > 100:
                message = "a whole number must have at most 100 digits"
                return self._unreadable(node, place, message)
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        # Python wants "inf" and "nan" without the dot of ".inf" and ".nan".
        number = float(re.sub(r"\.(?=[iInN])", "", text))
        if not math.isfinite(number):
            message = f"a number must be finite, got {text}; leave it out or mend it"
            return self._unreadable(node, place, message)
        return number

    def _mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        return Mark(self.file, start.line + 1, start.column + 1)

    def _unreadable(self, node: yaml.Node, place: Place, message: str) -> None:
        self.document.broken.add(place)
        self._wrong(node, place, message)

    def _wrong(self, node: yaml.Node, place: Place, message: str) -> None:
        mistake = Mistake(message, *self._mark(node), key=".".join(map(str, place)))
        self.document.mistakes.append(mistake)
