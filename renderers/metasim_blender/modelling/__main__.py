"""Write every model: ``python -m metasim_blender.modelling OUT_DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from metasim_blender.modelling.catalogue import MODELS
from metasim_blender.ply import write_ply

_COMMENTS = (
    "millimetres, z up, +x ahead",
    "made by python -m metasim_blender.modelling; licence Apache-2.0",
)


def main() -> None:
    """Write ``<name>.ply`` for each model into a folder, which is made where it is missing."""
    parser = argparse.ArgumentParser(prog="metasim_blender.modelling", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write")
    folder: Path = parser.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in MODELS.items():
            write_ply(folder / f"{name}.ply", make(), _COMMENTS)
    except OSError as error:
        parser.error(f"the folder must be one that can be written to: {error}")


if __name__ == "__main__":
    main()
