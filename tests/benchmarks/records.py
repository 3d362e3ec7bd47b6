"""What every benchmark shares: records kept one by one, tables, and the machine's name."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from metasim.jsonlines import plain
from metasim.provenance import code_digest
from metasim.summaries import columns

ROOT = Path(__file__).resolve().parents[2]


class Records:
    """A file of one JSON object a line; what was measured stays, whatever comes after.

    Records of other code stay in the file too, but count as not measured, and so do failures.

    Args:
        path: made where it is missing. A last line that was cut off is left out.
        names: of the entries that tell records apart.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, tuple(names)
        self.code = code_digest([ROOT / "metasim", ROOT / "renderers"])
        self._items: list[dict[str, Any]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            whole = path.read_bytes().split(b"\n")
            self._items = [json.loads(line) for line in whole[:-1]]
            if whole[-1]:
                path.write_bytes(b"\n".join([*whole[:-1], b""]))

    @property
    def items(self) -> list[dict[str, Any]]:
        """What this code has given: of each key the last."""
        mine = {self._key(item): item for item in self._items if item.get("code") == self.code}
        return list(mine.values())

    def has(self, **key: Any) -> bool:
        """Whether this code has given something for this key already."""
        wanted = self._key(plain(key))
        return any(self._key(item) == wanted and "error" not in item for item in self.items)

    def add(self, item: Mapping[str, Any]) -> None:
        """Append a record at once."""
        item = plain({**item, "code": self.code})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")
        self._items.append(item)

    def _key(self, item: Mapping[str, Any]) -> str:
        return json.dumps([item.get(name) for name in self.names], sort_keys=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write the whole of a result as one JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(data), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def say(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stderr."""
    say("\n" + columns([list(header), *[[shown(cell) for cell in row] for row in rows]]) + "\n")


def shown(value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def spread(values: Iterable[float | None]) -> str:
    """``min / median / max`` of what was measured; ``-`` where nothing was."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return " / ".join(shown(float(f(known))) for f in (min, median, max))


def seeds(text: str) -> list[int]:
    """``5`` is the seeds 0 to 4; ``3,7`` is just these; ``3,`` is 3 alone."""
    if "," in text:
        return [int(part) for part in text.split(",") if part]
    return list(range(int(text)))


def words(text: str) -> list[str]:
    """Parts between commas."""
    return [part for part in text.split(",") if part]
