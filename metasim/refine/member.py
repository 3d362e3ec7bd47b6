"""A process that trains a method together with the one that started it.

python -m metasim.refine.member FOLDER RANK COUNT, with the task on stdin
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from metasim.refine.together import help_out

__all__ = ["main"]


def main() -> None:
    """Read the task, and train until it is done or the other process is gone."""
    folder, rank, count = sys.argv[1:]
    given = sys.stdin.buffer
    data = given.read(int.from_bytes(given.read(8), "big"))

    def end_with_the_other() -> None:
        # Nothing more comes, until the other process ends. (A reader of Python's own that still
        # waits when this one ends would be a fatal error.)
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=end_with_the_other, daemon=True).start()
    help_out(Path(folder), int(rank), int(count), data)


if __name__ == "__main__":
    main()
