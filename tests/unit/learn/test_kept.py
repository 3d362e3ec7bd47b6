"""Renders that are kept come back as they were, and never in place of others."""

from __future__ import annotations

import errno
import gc
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.errors import RenderError
from metasim.learn.kept import KeptRenders, clear
from metasim.progress import Silent
from metasim.render import Camera, Label, Pose, Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer
from tests.unit.told import Told

GRAMMAR = SceneGrammar.model_validate(AnalyticRenderer.example)


class Counting(AnalyticRenderer):
    """Counts what it draws; may give instances of high ids, and labels of numpy's numbers."""

    drawn, shift = 0, 0

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        self.drawn += len(scenes)
        found = super().render(scenes)
        shifted = np.where(found.instances > 0, found.instances + self.shift, 0).astype(np.int32)
        labels = tuple(
            tuple(
                Label(
                    *(np.int32(label.instance + self.shift), np.int64(label.node)),
                    *(label.name, label.kind, label.category, label.box),
                    np.float32(label.visible),
                )
                for label in one
            )
            for one in found.labels
        )
        return Rendered(found.images, shifted, labels)


def scenes(start: int, count: int = 5) -> list[Scene]:
    return [GRAMMAR.sample(stream(1, i)) for i in range(start, start + count)]


@pytest.mark.parametrize("shift", [0, 1000])
def test_a_batch_is_drawn_once_and_comes_back_as_it_was(tmp_path: Path, shift: int) -> None:
    renderer = Counting()
    renderer.shift = shift
    first = KeptRenders(renderer, tmp_path / "drawn", Silent()).render(scenes(0))
    assert renderer.drawn == 5
    again = KeptRenders(renderer, tmp_path / "drawn", Silent()).render(scenes(0))
    assert renderer.drawn == 5
    for one, other in ((first.images, again.images), (first.instances, again.instances)):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert again.labels == first.labels
    assert any(first.labels)


def test_poses_and_cameras_are_not_kept_and_no_reason_to_draw_again(tmp_path: Path) -> None:
    class Posed(Counting):
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            found = super().render(scenes)
            pose = Pose((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 2.0))
            labels = tuple(
                tuple(replace(label, full_box=label.box, pose=pose) for label in one)
                for one in found.labels
            )
            cameras = (Camera(9.0, 9.0, 8.0, 8.0),) * len(scenes)
            return replace(found, labels=labels, cameras=cameras)

    renderer = Posed()
    first = KeptRenders(renderer, tmp_path, Silent()).render(scenes(0))
    again = KeptRenders(renderer, tmp_path, Silent()).render(scenes(0))
    assert renderer.drawn == 5
    assert again.labels == first.labels == Counting().render(scenes(0)).labels
    assert again.cameras is None
    assert first.cameras is None


def test_other_scenes_are_drawn(tmp_path: Path) -> None:
    renderer = Counting()
    keeping = KeptRenders(renderer, tmp_path, Silent())
    keeping.render(scenes(0))
    reseeded = [scene.with_seed(scene.seed + 1) for scene in scenes(0)]
    for others in (scenes(5), scenes(0)[::-1], scenes(0, 4), reseeded):
        before = renderer.drawn
        assert np.array_equal(
            keeping.render(others).images, AnalyticRenderer().render(others).images
        )
        assert renderer.drawn == before + len(others)
    assert keeping.count() == 5 + 5 + 5 + 4 + 5


@pytest.mark.parametrize("damage", ["cut", "empty", "another size", "no labels"])
def test_a_damaged_batch_is_drawn_again(tmp_path: Path, damage: str) -> None:
    renderer = Counting()
    keeping = KeptRenders(renderer, tmp_path, Silent())
    wanted = keeping.render(scenes(0)).images
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    with np.load(file) as data:
        parts: dict[str, Any] = dict(data)
    match damage:
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "empty":
            file.write_bytes(b"")
        case "another size":
            np.savez(file, **{**parts, "images": parts["images"][:, :-1]})
        case "no labels":
            del parts["labels"]
            np.savez(file, **parts)
    assert np.array_equal(keeping.render(scenes(0)).images, wanted)
    assert renderer.drawn == 10
    keeping.render(scenes(0))  # and is kept again
    assert renderer.drawn == 10


def test_a_batch_in_which_a_bit_flipped_is_right_or_drawn_again(tmp_path: Path) -> None:
    keeping = KeptRenders(Counting(), tmp_path, Silent())
    wanted = keeping.render(scenes(0))
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    for place in range(0, len(whole), 3):
        for bit in (0, 3, 5):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            found = keeping.render(scenes(0))
            assert np.array_equal(found.images, wanted.images), place
            assert np.array_equal(found.instances, wanted.instances), place
            assert found.labels == wanted.labels, place


def test_clearing_takes_what_is_ours(tmp_path: Path) -> None:
    keeping = KeptRenders(Counting(), tmp_path / "drawn", Silent())
    clear(keeping.folder)
    keeping.render(scenes(0))
    clear(keeping.folder)
    assert not (tmp_path / "drawn").exists()
    keeping.render(scenes(0))
    (tmp_path / "drawn" / "mine.npz").touch()
    assert keeping.count() == 5
    clear(keeping.folder)
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["mine.npz"]


def test_a_full_disk_stops_the_keeping_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fdopen", lambda handle, mode: Full(handle, mode))
    complaints: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    told = Told()
    keeping = KeptRenders(Counting(), tmp_path, told)
    for start in (0, 5):
        drawn = keeping.render(scenes(start))
        assert np.array_equal(drawn.images, AnalyticRenderer().render(scenes(start)).images)
    (message,) = told.messages
    assert "No space left on device" in message
    gc.collect()
    assert complaints == []
    assert list(tmp_path.iterdir()) == []
    assert keeping.count() == 0


def test_the_renderer_that_fails_is_the_one_named(tmp_path: Path) -> None:
    class Broken(AnalyticRenderer):
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            raise KeyError("no lamp")

    with pytest.raises(RenderError, match="the renderer Broken raised KeyError"):
        KeptRenders(Broken(), tmp_path, Silent()).render(scenes(0))
    assert list(tmp_path.iterdir()) == []
