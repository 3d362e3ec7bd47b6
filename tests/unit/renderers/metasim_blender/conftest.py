"""Scenes, and renderers that live as long as the tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metasim.scene import Attributes, Node, Scene
from metasim_blender import BlenderRenderer
from metasim_blender.ply import PlyMesh, write_ply

SIDES = (0.24, 0.10, 0.16)
"""Of the box, in metres."""


@pytest.fixture(scope="session")
def scene():
    """Makes a scene: ``scene(("object", {...}), ..., seed=0, ambient=0.5)``."""

    def make(*nodes, seed=0, **ground):
        rest = [Node(kind, kind, Attributes(said), 0) for kind, said in nodes]
        return Scene((Node("scene", "scene", Attributes(ground)), *rest), seed)

    return make


@pytest.fixture(scope="session")
def box():
    """A box that stands on its frame's origin: vertices (8, 3) in metres, faces (12, 3)."""
    x, y, z = SIDES
    corners = [(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)]
    vertices = np.array([(a, b, c) for c in (0.0, z) for a, b in corners])
    quads = [
        (3, 2, 1, 0),
        (4, 5, 6, 7),
        *((i, (i + 1) % 4, (i + 1) % 4 + 4, i + 4) for i in range(4)),
    ]
    faces = np.array([h for a, b, c, d in quads for h in ((a, b, c), (a, c, d))], np.int32)
    return vertices, faces


@pytest.fixture(scope="session")
def box_file(box, tmp_path_factory):
    """The box as BOP has models, in millimetres."""
    path = tmp_path_factory.mktemp("models") / "box.ply"
    write_ply(path, PlyMesh((box[0] * 1000).astype(np.float32), box[1]))
    return path


@pytest.fixture(scope="session")
def made(box_file):
    """Makes renderers, each set of options once, 64 x 64 pixels and with the box."""
    known = {}

    def make(**options):
        options = {"models": {"box": box_file, "mug": "builtin"}, "device": "cpu", **options}
        key = json.dumps(options, sort_keys=True, default=str)
        if key not in known:
            known[key] = BlenderRenderer(**options)
        return known[key]

    yield make
    for renderer in known.values():
        renderer.close()


@pytest.fixture
def written(tmp_path):
    """Writes a file and gives its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
