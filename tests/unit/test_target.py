"""The target: drawn once and kept, or read from a folder."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from metasim import target
from metasim.config import Experiment
from metasim.data import save_images
from metasim.errors import ConfigError, DataError
from metasim.labelled import load_validation
from metasim.learn.options import Task
from metasim.progress import Silent
from metasim.render.base import Rendered
from metasim.scene.graph import Scene
from metasim.target import load_target
from metasim.testing import AnalyticRenderer
from tests.unit.told import Told

SIZE = (16, 16)
Blobs = Callable[..., Experiment]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (9, *SIZE, 3)).astype(np.uint8)
    save_images(tmp_path / "images", images, [f"{i}" for i in range(9)])
    return tmp_path


def refuse_to_draw(*_: object) -> None:
    raise AssertionError("drawn")


def test_a_target_of_a_grammar_comes_with_its_truth(blobs: Blobs) -> None:
    target = load_target(blobs(), SIZE, Silent())
    assert target.images.shape == (10, *SIZE, 3)
    drawn = AnalyticRenderer().render(target.scenes)
    assert np.array_equal(drawn.images, target.images)
    assert len({scene.seed for scene in target.scenes}) == 10


def test_it_is_drawn_once(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_target(blobs(), SIZE, Silent())
    monkeypatch.setattr(AnalyticRenderer, "render", refuse_to_draw)
    again = load_target(blobs(), SIZE, Silent())
    assert np.array_equal(first.images, again.images)
    assert list(first.scenes) == list(again.scenes)


def test_two_that_want_it_at_once_draw_it_once(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits until the first, which is in the middle of drawing, is done."""

    class Going(Told):
        def log(self, message: str) -> None:
            super().log(message)
            go_on.set()

    experiment = blobs()
    drawing, go_on = threading.Event(), threading.Event()
    render, drawn = AnalyticRenderer.render, []

    def held_up(self: AnalyticRenderer, scenes: Sequence[Scene]) -> Rendered:
        drawing.set()
        drawn.append(len(scenes))
        assert go_on.wait(30)
        return render(self, scenes)

    monkeypatch.setattr(AnalyticRenderer, "render", held_up)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(load_target, experiment, SIZE, Silent())
        assert drawing.wait(30)
        going = Going()
        second = load_target(experiment, SIZE, going)
        assert np.array_equal(first.result().images, second.images)
    assert drawn == [10]
    (message,) = going.messages
    assert f"process {os.getpid()} on " in message
    assert "waiting" in message


def test_another_description_is_another_target(blobs: Blobs, folder: Path) -> None:
    one = load_target(blobs(), SIZE, Silent())
    other = load_target(
        blobs(target={"grammar": "blobs.yaml", "count": 10, "seed": 1}), SIZE, Silent()
    )
    assert not np.array_equal(one.images, other.images)
    assert len([*(folder / "results" / "targets").iterdir()]) == 2


def test_a_larger_target_begins_as_the_smaller(blobs: Blobs) -> None:
    few = load_target(blobs(), SIZE, Silent())
    more = load_target(blobs(target={"grammar": "blobs.yaml", "count": 14}), SIZE, Silent())
    assert np.array_equal(few.images, more.images[:10])


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("images/000003.png", "000003.png is damaged or was changed"),
        ("labels.jsonl", "labels.jsonl is damaged or was changed"),
        ("manifest.json", "manifest.json must be JSON"),
    ],
)
def test_a_damaged_target_is_left_and_drawn_anew_beside_it(
    blobs: Blobs, folder: Path, file: str, told: str
) -> None:
    whole = load_target(blobs(), SIZE, Silent())
    (first,) = (folder / "results" / "targets").iterdir()
    (first / file).write_bytes(b"")
    progress = Told()
    again = load_target(blobs(), SIZE, progress)
    assert np.array_equal(again.images, whole.images)
    assert list(again.scenes) == list(whole.scenes)
    (message,) = progress.messages
    assert told in message
    assert message.endswith(f"{first} can be removed")
    assert (first / file).read_bytes() == b""
    beside = first.with_name(f"{first.name}-1")
    assert {*first.parent.iterdir()} == {first, beside}


def test_an_image_that_somebody_changed_is_no_part_of_the_target(
    blobs: Blobs, folder: Path
) -> None:
    whole = load_target(blobs(), SIZE, Silent())
    (first,) = (folder / "results" / "targets").iterdir()
    shutil.copy(first / "images" / "000001.png", first / "images" / "000002.png")
    assert np.array_equal(load_target(blobs(), SIZE, Silent()).images, whole.images)


def test_a_target_drawn_by_a_renderer_that_was_changed_is_drawn_anew(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_target(blobs(), SIZE, Silent())
    monkeypatch.setattr(AnalyticRenderer.__init__, "__defaults__", ((8, 12),))
    progress = Told()
    assert load_target(blobs(), (8, 12), progress).images.shape == (10, 8, 12, 3)
    assert "not of [8, 12] any more" in progress.messages[0]


def test_a_target_that_is_there_starts_no_renderer(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine may take long to start, or be attached by hand."""
    first = load_target(blobs(), SIZE, Silent())
    monkeypatch.setattr(AnalyticRenderer, "__init__", refuse_to_draw)
    assert np.array_equal(load_target(blobs(), SIZE, Silent()).images, first.images)


def test_half_a_target_is_finished(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("metasim.data.dataset._finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load_target(blobs(), SIZE, Silent())
    assert load_target(blobs(), SIZE, Silent()).images.shape[0] == 10


def test_a_target_of_another_size_is_refused_before_anything_is_drawn(
    blobs: Blobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnalyticRenderer, "render", refuse_to_draw)
    loaded = blobs()
    told = r"must draw images of \[8, 12\] .* but draws \[16, 16\]"
    with pytest.raises(ConfigError, match=told):
        load_target(loaded, (8, 12), Silent())
    assert not (folder / "results").exists()
    with pytest.raises(ConfigError, match=told):
        load_validation(loaded, Task(), (8, 12))


def test_what_its_renderer_says_of_its_options_is_about_the_target(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DataError("no such lamp")

    monkeypatch.setattr(AnalyticRenderer, "__init__", refuse)
    with pytest.raises(DataError, match="no such lamp") as caught:
        load_target(blobs(), SIZE, Silent())
    assert caught.value.place == ("target", "renderer", "options")


def test_images_have_no_truth(blobs: Blobs, folder: Path) -> None:
    target = load_target(blobs(target={"images": "images"}), SIZE, Silent())
    assert target.images.shape == (9, *SIZE, 3)
    assert len(target.scenes) == 0
    assert not (folder / "results").exists()


def test_images_of_another_size_are_refused_or_fitted(blobs: Blobs, folder: Path) -> None:
    with pytest.raises(DataError, match=r"set resize"):
        load_target(blobs(target={"images": "images"}), (8, 8), Silent())
    fitted = load_target(blobs(target={"images": "images", "resize": True}), (8, 8), Silent())
    assert fitted.images.shape == (9, 8, 8, 3)


def test_images_of_one_colour_are_refused(blobs: Blobs, folder: Path) -> None:
    save_images(folder / "grey", np.full((9, *SIZE, 3), 77, np.uint8), [f"{i}" for i in range(9)])
    with pytest.raises(DataError, match="must show something"):
        load_target(blobs(target={"images": "grey"}), SIZE, Silent())


RENDERER = """\
from metasim.testing import AnalyticRenderer
from dataclasses import replace

class Mine(AnalyticRenderer):
    def render(self, scenes):
        drawn = super().render(scenes)
        return replace(drawn, images=drawn.images // SHARE)
"""


def test_a_target_is_drawn_anew_once_its_renderers_code_is_another(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same name, options and image size: nothing but the file tells."""
    module = tmp_path / "target_renderer_of_mine.py"
    target = {"grammar": "blobs.yaml", "count": 10, "renderer": {"use": f"{module.stem}:Mine"}}
    found = []
    for share in ("1", "2", "1"):
        module.write_text(RENDERER.replace("SHARE", share))
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        found.append(load_target(blobs(target=target), SIZE, Silent()).images)
    assert np.array_equal(found[0] // 2, found[1])
    assert np.array_equal(found[0], found[2])
    assert len(list((tmp_path / "results" / "targets").iterdir())) == 2


def test_a_target_is_drawn_anew_once_scenes_are_sampled_by_other_code(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("a", "b", "a"):
        monkeypatch.setattr(target, "_sampling_code", lambda code=code: code)
        load_target(blobs(), SIZE, Silent())
    assert len(list((tmp_path / "results" / "targets").iterdir())) == 2


def glyphs(folder: Path, seed: int) -> None:
    """Write glyphs of three classes."""
    rng = np.random.default_rng(seed)
    for name in "012":
        save_images(
            folder / name, rng.integers(0, 255, (2, 28, 28, 3)).astype(np.uint8), ["a", "b"]
        )


def test_a_target_is_drawn_anew_once_its_glyphs_are_others(blobs: Blobs, tmp_path: Path) -> None:
    """The folder is called as before: nothing but what is in it tells."""
    digit = {"name": "digit", "kind": "digit", "attributes": {
        "x": {"prior": 16.0, "range": [0, 32], "mutable": True}}}  # fmt: skip
    grammar = {"root": {"name": "scene", "kind": "scene", "children": [digit]}}
    renderer = {"use": "mnist", "options": {"glyphs": "./glyphs"}}
    found = []
    for seed in (0, 1, 0):
        shutil.rmtree(tmp_path / "glyphs", ignore_errors=True)
        glyphs(tmp_path / "glyphs", seed)
        target = {"grammar": grammar, "count": 10}
        wanted = blobs(grammar=grammar, renderer=renderer, target=target)
        found.append(load_target(wanted, (32, 32), Silent()).images)
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert len(list((tmp_path / "results" / "targets").iterdir())) == 2
