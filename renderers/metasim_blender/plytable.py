"""What a PLY file holds, column by column, whatever its elements mean.

Layout: a header in ASCII that names elements ("vertex", "face", others) with their counts and
properties, then the rows of each element, as text or as bytes without padding. A property is
a number or a list, which is a count followed by as many numbers (Turk, 1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metasim.errors import DataError

__all__ = ["Column", "PlyTable", "read_table"]

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER = 1 << 16  # bytes within which a header must end
_DIGITS = 18  # of a count, at most: it fits 64 bits

Numbers = npt.NDArray[np.float64]
Column = Numbers | list[Numbers]
"""The values of a property: (rows,), or of a list one array a row."""


@dataclass(frozen=True)
class PlyTable:
    """The rows of a PLY file.

    Attributes:
        elements: columns by the names of an element and of a property.
        texture: the name of the texture's file; empty where the file tells none.
    """

    elements: dict[str, dict[str, Column]]
    texture: str


@dataclass(frozen=True)
class _Property:
    name: str
    type: str
    counted_by: str = ""  # the type of a list's count; empty for a number


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


def read_table(data: bytes, name: str) -> PlyTable:
    """All rows of a PLY file.

    Args:
        data: what the file holds.
        name: what errors call it.

    Raises:
        DataError: when it is not PLY, is truncated or too long.
    """
    lines, start = _header_lines(data, name)
    form, elements, texture = _header(lines, name)
    body: _Body = _Text(data[start:], name) if form == "ascii" else _Bytes(data, start, form)
    found = {element.name: _columns(body, element, name) for element in elements}
    if body.left > 0:
        raise DataError(
            f"{name} must end with the last row that its header declares, got {body.left} "
            f"{body.unit} more; write it again (was it copied as text?)"
        )
    return PlyTable(found, texture)


# --- the header ---------------------------------------------------------------------------


def _header_lines(data: bytes, name: str) -> tuple[list[str], int]:
    """The lines before ``end_header``, and where the rows begin."""
    if data[:3] != b"ply" or data[3:4] not in (b"\n", b"\r"):
        raise DataError(f"{name} must be a PLY file, which begins with 'ply', got {data[:8]!r}")
    end = data.find(b"end_header", 0, _HEADER)
    if end < 0:
        raise DataError(f"{name} must have a header that ends with 'end_header'; is it complete?")
    start = end + len(b"end_header")
    start += 2 if data[start : start + 2] == b"\r\n" else 1
    return data[:end].decode("utf-8", "replace").splitlines(), start


def _header(lines: Sequence[str], name: str) -> tuple[str, list[_Element], str]:
    """The format, the elements and the texture's file."""
    form, texture = "", ""
    elements: list[_Element] = []
    for line in lines[1:]:
        match line.split():
            case ["format", kind, "1.0"] if kind == "ascii" or kind in _ORDERS:
                form = kind
            case ["comment", "TextureFile", _, *_]:
                texture = line.split(maxsplit=2)[2].strip()
            case ["comment" | "obj_info", *_] | []:
                pass
            case ["element", what, count] if count.isdecimal() and len(count) <= _DIGITS:
                elements.append(_Element(what, int(count), []))
            case ["property", type_, what] if elements and type_ in _TYPES:
                elements[-1].properties.append(_Property(what, type_))
            case ["property", "list", counted, type_, what] if elements and _TYPES.keys() >= {
                counted,
                type_,
            }:
                elements[-1].properties.append(_Property(what, type_, counted))
            case _:
                raise DataError(f"{name} has a header line that is not understood: {line[:80]!r}")
    if not form:
        raise DataError(f"{name} must name its format in the header; is it complete?")
    return form, elements, texture


# --- the rows -----------------------------------------------------------------------------


class _Body(Protocol):
    """What comes after the header, read from front to back."""

    at: int
    unit: str

    @property
    def left(self) -> int:
        """How much is left, in ``unit``."""
        ...

    def numbers(self, type_: str, count: int) -> Numbers | None:
        """The next numbers, (count,), of a type; None if fewer are left."""
        ...

    def table(self, fields: Sequence[tuple[str, int]], rows: int) -> list[Numbers] | None:
        """The next rows, (rows, count) for each field of (type, count); None if fewer are left."""
        ...


class _Bytes:
    unit = "bytes"

    def __init__(self, data: bytes, start: int, form: str) -> None:
        self._data, self.at, self._order = data, start, _ORDERS[form]

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def numbers(self, type_: str, count: int) -> Numbers | None:
        kind = np.dtype(self._order + _TYPES[type_])
        if count * kind.itemsize > self.left:
            return None
        found = np.frombuffer(self._data, kind, count, self.at)
        self.at += found.nbytes
        return found.astype(np.float64)

    def table(self, fields: Sequence[tuple[str, int]], rows: int) -> list[Numbers] | None:
        kinds = [np.dtype(self._order + _TYPES[type_]) for type_, _ in fields]
        size = sum(kind.itemsize * n for kind, (_, n) in zip(kinds, fields, strict=True))
        if rows * size > self.left:  # before numpy is asked for as much
            return None
        row = np.dtype(
            [(str(i), k, (n,)) for i, (k, (_, n)) in enumerate(zip(kinds, fields, strict=True))]
        )
        found = np.frombuffer(self._data, row, rows, self.at)
        self.at += found.nbytes
        return [found[str(i)].astype(np.float64) for i in range(len(fields))]


class _Text:
    unit = "numbers"

    def __init__(self, data: bytes, name: str) -> None:
        try:
            self._numbers = np.fromiter(map(float, data.split()), np.float64)
        except ValueError as error:
            raise DataError(f"{name} must hold numbers after its header: {error}") from error
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._numbers) - self.at

    def numbers(self, type_: str, count: int) -> Numbers | None:
        if count > self.left:
            return None
        self.at += count
        return self._numbers[self.at - count : self.at]

    def table(self, fields: Sequence[tuple[str, int]], rows: int) -> list[Numbers] | None:
        ends = np.cumsum([n for _, n in fields])
        found = self.numbers("", rows * int(ends[-1]))
        return None if found is None else np.split(found.reshape(rows, -1), ends[:-1], axis=1)


def _columns(body: _Body, element: _Element, name: str) -> dict[str, Column]:
    """The rows of an element by property."""
    if not element.properties or not element.count:
        return {one.name: [] if one.counted_by else np.zeros(0) for one in element.properties}
    start = body.at
    columns = _even(body, element)
    if columns is None:  # lists of several lengths, or something is wrong
        body.at = start
        columns = _uneven(body, element, name)
    return columns


def _even(body: _Body, element: _Element) -> dict[str, Column] | None:
    """All rows at once; None where the lists of one are not as long as the first row's."""
    start, lengths = body.at, []
    for one in element.properties:
        length = _length(body, one)
        if length is None or body.numbers(one.type, length) is None:
            return None
        lengths.append(length)
    body.at = start
    fields: list[tuple[str, int]] = []
    for one, length in zip(element.properties, lengths, strict=True):
        fields += [(one.counted_by, 1)] * bool(one.counted_by) + [(one.type, length)]
    table = body.table(fields, element.count)
    if table is None:
        return None
    columns: dict[str, Column] = {}
    rest = iter(table)
    for one, length in zip(element.properties, lengths, strict=True):
        if one.counted_by and (next(rest) != length).any():
            return None
        inside = next(rest)
        columns[one.name] = list(inside) if one.counted_by else inside.ravel()
    return columns


def _uneven(body: _Body, element: _Element, name: str) -> dict[str, Column]:
    """Row by row."""
    values: list[list[Numbers]] = [[] for _ in element.properties]
    for row in range(element.count):
        for one, known in zip(element.properties, values, strict=True):
            length = _length(body, one)
            found = None if length is None else body.numbers(one.type, length)
            if found is None:
                raise DataError(
                    f"{name} must have {element.count} whole rows of the element {element.name!r} "
                    f"as its header says, got {row}; it is truncated or damaged: write or fetch "
                    "it again"
                )
            known.append(found)
    return {
        one.name: known if one.counted_by else np.concatenate(known)
        for one, known in zip(element.properties, values, strict=True)
    }


def _length(body: _Body, one: _Property) -> int | None:
    """How many numbers come next; None where what counts them is no count."""
    if not one.counted_by:
        return 1
    counted = body.numbers(one.counted_by, 1)
    if counted is None or counted[0] < 0 or not counted[0].is_integer():
        return None
    return int(counted[0])
