"""Other versions of protobuf and numpy than those that are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mlagents_envs", reason="needs the extra unity")
pytestmark = [pytest.mark.unity, pytest.mark.slow]

CODE = """
import google.protobuf, numpy
from metasim.scene.graph import Attributes, Node, Scene
from metasim_unity import UnityRenderer
from metasim_unity.peer.tabletop import TabletopRenderer
root = Node("scene", "scene", Attributes())
scenes = [Scene((root, Node("a", "object", Attributes({"yaw": 40.0 * n}), 0))) for n in range(3)]
wanted = TabletopRenderer().render(scenes)
with UnityRenderer(player="peer") as renderer:
    drawn = renderer.render(scenes)
assert (drawn.images == wanted.images).all() and (drawn.depth == wanted.depth).all()
assert drawn.labels == wanted.labels
parameters = {"object.yaw": "object.yaw"}
with UnityRenderer(player="peer", arguments=["--observe", "floats"], parameters=parameters) as seen:
    assert (seen.render(scenes).images == wanted.images).all()
print(google.protobuf.__version__, numpy.__version__)
"""


@pytest.mark.parametrize(
    ("protobuf", "numpy"),
    [("3.20.3", "1.26.4"), ("4.25.8", "2.2.6"), ("5.29.5", "2.3.5"), ("7.36.2", "2.3.5")],
)
def test_a_player_is_understood_whatever_protobuf_and_numpy(
    tmp_path: Path, protobuf: str, numpy: str
) -> None:
    wanted = [f"protobuf=={protobuf}", f"numpy=={numpy}"]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    got = subprocess.run([*pip, *wanted], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"cannot be had here: {got.stderr.strip().splitlines()[-1]}")
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [protobuf, numpy]
