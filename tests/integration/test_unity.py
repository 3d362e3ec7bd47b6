"""Whole runs with a Unity player, the reference peer in its place."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metasim.data import read_dataset
from metasim.render import Rendered
from metasim.scene import Scene

pytest.importorskip("mlagents_envs", reason="needs the extra unity")
pytestmark = pytest.mark.unity

Command = Callable[..., Any]
GRAMMARS = Path(__file__).parents[2] / "assets" / "grammars"

EXPERIMENT: dict[str, Any] = {
    "name": "unity",
    "grammar": str(GRAMMARS / "tabletop_1attr.yaml"),
    "renderer": {"use": "unity", "options": {"image_size": [24, 32], "player": "peer"}},
    "target": {"grammar": str(GRAMMARS / "tabletop_1attr_target.yaml"), "count": 40},
    "features": {"use": "pixels"},
    "editor": {"warmup_steps": 5, "fit_steps": 5},
    "gradient": {"use": "score_function"},
    "training": {
        "max_renders": 240,
        "batch_size": 24,
        "warm_start": False,
        "restarts": 0,
    },
}


@pytest.fixture
def words(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """The words that train below a folder of that name."""
    path = tmp_path / "unity.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return lambda name: ("train", str(path), f"output.dir={tmp_path / name}")


def test_a_run_survives_its_player_being_killed_twice(
    metasim: Command,
    words: Callable[[str], tuple[str, ...]],
    assert_same_runs: Callable[[Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from metasim_unity import UnityRenderer

    undisturbed = metasim(*words("undisturbed"))
    calls: list[int | None] = []
    original = UnityRenderer.render

    def render(self: UnityRenderer, scenes: Sequence[Scene]) -> Rendered:
        calls.append(self.player_pid)
        if len(calls) in (4, 8):
            assert self.player_pid is not None
            os.kill(self.player_pid, signal.SIGKILL)
        return original(self, scenes)

    monkeypatch.setattr(UnityRenderer, "render", render)
    disturbed = metasim(*words("disturbed"))
    assert (undisturbed.code, disturbed.code) == (0, 0)
    assert disturbed.err.count("ended with signal SIGKILL") == 2
    assert_same_runs(undisturbed.run, disturbed.run)
    players = {pid for pid in calls if pid is not None}
    assert not any(Path(f"/proc/{pid}").exists() for pid in players)


def test_a_dataset_of_a_player_has_all_ground_truth(
    metasim: Command, words: Callable[[str], tuple[str, ...]], tmp_path: Path
) -> None:
    out = tmp_path / "dataset"
    said = metasim(
        *("generate", GRAMMARS / "tabletop_multi.yaml", "--count", 6, "--out", out),
        *("--format", "coco", "bop", "--renderer", "unity", "player=peer", "image_size=[24, 32]"),
    )
    assert said.code == 0
    records = read_dataset(out).records
    assert len(records) == 6
    for record in records:
        assert record.camera is not None
        assert {one.label.category for one in record.instances} == {"car", "mug"}
        assert all(one.label.pose for one in record.instances)
        with np.load(out / record.planes) as planes:
            assert {"depth", "normals"} <= {*planes}
            assert planes["depth"].max() > 1
    poses = json.loads((out / "bop" / "train" / "000000" / "scene_gt.json").read_text())
    assert [len(objects) for objects in poses.values()] == [3] * 6
    assert len([*(out / "bop" / "models").glob("obj_*.ply")]) == 2


def test_a_player_that_cannot_be_started_is_told_without_a_traceback(
    metasim: Command, words: Callable[[str], tuple[str, ...]]
) -> None:
    said = metasim(*words("none"), "renderer.options.player=/nowhere/build.x86_64")
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "does not exist" in json.dumps(said.data) + said.err
