"""A process that trains a method together with the one that started it.

python -m metasim.refine.member FOLDER RANK COUNT, with the task on stdin
"""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

from metasim.refine.together import help_out

__all__ = ["main"]


def _read(given: io.RawIOBase, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        part = given.read(count - len(found))
        if not part:
            sys.exit("the task must come on stdin, but it ended")
        found += part
    return bytes(found)


def main() -> None:
    """Read the task, and train until it is done or the other process is gone."""
    folder, rank, count = sys.argv[1:]
    with open(0, "rb", buffering=0, closefd=False) as given:
        data = _read(given, int.from_bytes(_read(given, 8), "big"))

    def end_with_the_other() -> None:
        os.read(0, 1)  # nothing more comes, until the other process ends
        os._exit(1)

    threading.Thread(target=end_with_the_other, daemon=True).start()
    help_out(Path(folder), int(rank), int(count), data)


if __name__ == "__main__":
    main()
