"""Files of one JSON object a line, each with a ``step``, that a kill cannot spoil."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metasim.errors import RunError
from metasim.files import write_atomic

__all__ = ["append", "plain", "read", "truncate"]


def append(path: Path, item: Mapping[str, Any]) -> None:
    """Append one line, whole or not at all.

    Args:
        path: made where it is missing.
        item: values that :func:`plain` takes, with an integer ``step``.

    Raises:
        ValueError: when there is no step.
        OSError: when it cannot be written; the file is then as it was.
    """
    values = plain(item)
    if not isinstance(values.get("step"), int):
        raise ValueError(f"a line must have an integer 'step', got {values.get('step')!r}")
    line = (json.dumps(values, ensure_ascii=False) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(line) != len(line):
                raise OSError("only a part could be written; the disk is full")
        except OSError:
            file.truncate(before)
            raise


def read(path: Path) -> list[dict[str, Any]]:
    """All lines in order; none where the file is missing.

    A last line without its end was cut off by a kill and is left out.

    Raises:
        RunError: naming a line that is damaged.
        OSError: when the file cannot be read.
    """
    return [item for item, _ in _lines(path)]


def truncate(path: Path, step: int) -> int:
    """Keep only lines up to ``step``, byte for byte; returns how many those are.

    Raises:
        RunError: naming a line that is damaged.
        OSError: when the file cannot be read or written; it is then as it was.
    """
    kept = [line for item, line in _lines(path) if item.get("step", 0) <= step]
    if path.is_file():
        write_atomic(path, b"".join(kept))
    return len(kept)


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            item = None
        if not isinstance(item, dict):
            raise RunError(f"{path}:{number} must be a JSON object; the line is damaged, remove it")
        yield item, line + b"\n"


def plain(value: Any) -> Any:
    """The value in strict JSON types.

    Numpy scalars and arrays become numbers and lists, paths strings, and numbers that are
    not finite None, because JSON cannot say them.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy, which need not be imported for this
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
