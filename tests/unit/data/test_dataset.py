"""Datasets: what is written, that it is read back, and that it is the same every time."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference
from pycocotools.coco import COCO

from metasim.data import generate_dataset, read_dataset, reading, rerender
from metasim.errors import DataError, RenderError
from metasim.files import exclusive
from metasim.render import Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import SolidsRenderer

Hashes = Callable[[Path], dict[str, str]]
Relabel = Callable[[Path, Callable[[str], str]], None]
COUNT = 22


@pytest.fixture
def generate(rectangles: ModuleType) -> Callable[..., dict[str, Any]]:
    """``generate_dataset`` with the rectangles and defaults that tests change."""

    def call(out: Path, **changes: Any) -> dict[str, Any]:
        arguments = {
            "count": COUNT,
            "seed": 5,
            "make_scenes": rectangles.make_scenes,
            "renderer": rectangles.RectangleRenderer(),
            "manifest": {"checkpoint": "step-00000120.pt", "versions": {"metasim": "0.1"}},
            "batch_size": 4,
        }
        return generate_dataset(out, **{**arguments, **changes})

    return call


Generate = Callable[..., dict[str, Any]]


def test_coco_agrees_with_the_renderer(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    """The reference reads back the very masks, boxes, areas and categories that were drawn."""
    generate(tmp_path / "d")
    drawn = rectangles.RectangleRenderer().render(rectangles.make_scenes(range(COUNT)))
    coco = COCO(tmp_path / "d" / "coco.json")
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert sorted(names.values()) == ["bright", "dark"]
    assert min(coco.getAnnIds()) == 1
    seen = 0
    for row, image in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        picture = np.asarray(Image.open(tmp_path / "d" / image["file_name"]))
        np.testing.assert_array_equal(picture, drawn.images[row])
        assert (image["height"], image["width"]) == picture.shape[:2]
        annotations = coco.loadAnns(sorted(coco.getAnnIds(imgIds=image["id"])))
        visible = [label for label in drawn.labels[row] if label.visible > 0]
        assert len(annotations) == len(visible)
        seen += len(drawn.labels[row]) - len(visible)
        for annotation, label in zip(annotations, visible, strict=True):
            mask = coco.annToMask(annotation)
            np.testing.assert_array_equal(mask, drawn.instances[row] == label.instance)
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == reference.toBbox(annotation["segmentation"]).tolist()
            assert names[annotation["category_id"]] == label.category
    assert seen > 0, "the scenes must include hidden instances"


def test_reads_back_what_was_drawn(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    result = generate(tmp_path / "d", formats=("native",))
    assert result["rendered"] == result["count"] == COUNT
    assert "coco" not in result["files"]
    assert not (tmp_path / "d" / "coco.json").exists()
    scenes = rectangles.make_scenes(range(COUNT))
    drawn = rectangles.RectangleRenderer().render(scenes)
    dataset = read_dataset(tmp_path / "d")
    assert len(dataset) == COUNT
    assert dataset.scenes == tuple(scenes)
    assert dataset.manifest["seed"] == 5
    assert dataset.manifest["checkpoint"] == "step-00000120.pt"
    np.testing.assert_array_equal(dataset.images(), drawn.images)
    for row, record in enumerate(dataset.records):
        assert tuple(instance.label for instance in record.instances) == drawn.labels[row]
        for instance in record.instances:
            expected = drawn.instances[row] == instance.label.instance
            np.testing.assert_array_equal(instance.mask(), expected)
            assert instance.area == expected.sum()


def test_planes_are_kept_where_offered(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    generate(tmp_path / "d", renderer=rectangles.RectangleRenderer(depth=True), count=3)
    drawn = rectangles.RectangleRenderer(depth=True).render(rectangles.make_scenes(range(3)))
    dataset = read_dataset(tmp_path / "d")
    for index in range(3):
        planes = dataset.planes(index)
        assert list(planes) == ["depth", "instances"]
        np.testing.assert_array_equal(planes["depth"], drawn.depth[index])
        np.testing.assert_array_equal(planes["instances"], drawn.instances[index])
        assert planes["instances"].dtype == np.int32


def test_cameras_and_poses_come_back_as_they_were(tmp_path: Path, generate: Generate) -> None:
    """To the last bit, where single precision numbers were given as well."""

    class Single(SolidsRenderer):
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            done = super().render(scenes)
            labels = tuple(
                tuple(replace(n, pose=replace(n.pose, scale=np.float32(n.pose.scale))) for n in one)
                for one in done.labels
            )
            return replace(done, labels=labels)

    generate(tmp_path / "d", renderer=Single((24, 32)), make_scenes=_solids)
    drawn = Single((24, 32)).render(_solids(range(COUNT)))
    dataset = read_dataset(tmp_path / "d")
    for row, record in enumerate(dataset.records):
        assert tuple(instance.label for instance in record.instances) == drawn.labels[row]
        assert record.camera == drawn.cameras[row]
        planes = dataset.planes(row)
        assert list(planes) == ["depth", "normals", "instances"]
        for name, plane in planes.items():
            np.testing.assert_array_equal(plane, getattr(drawn, name)[row])
            assert plane.dtype == getattr(drawn, name).dtype


def test_what_is_not_known_is_not_written_and_older_datasets_are_read(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    generate(tmp_path / "d", renderer=rectangles.RectangleRenderer(depth=True), count=3)
    for line in (tmp_path / "d" / "labels.jsonl").read_text().splitlines():
        labels = json.loads(line)
        assert labels.keys() == {"index", "image", "width", "height", "instances"}
        assert all({"full_box", "pose"}.isdisjoint(one) for one in labels["instances"])
    dataset = read_dataset(tmp_path / "d")
    older = tmp_path / "d" / str(dataset.records[0].planes)
    np.savez_compressed(older, depth=dataset.planes(0)["depth"])
    manifest = (tmp_path / "d" / "manifest.json").read_text()
    written = hashlib.sha256(older.read_bytes()).hexdigest()
    manifest = manifest.replace(str(dataset.records[0].planes_sha256), written)
    (tmp_path / "d" / "manifest.json").write_text(manifest)
    read = read_dataset(tmp_path / "d")
    assert list(read.planes(0)) == ["depth"]
    assert read.records[0].camera is None


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_leave_no_trace(
    tmp_path: Path, generate: Generate, hashes: Hashes, batch_size: int
) -> None:
    generate(tmp_path / "a")
    generate(tmp_path / "b", batch_size=batch_size)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert len(list((tmp_path / "a" / "images").iterdir())) == COUNT


def test_any_image_is_drawn_again(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    generate(tmp_path / "d")
    images = read_dataset(tmp_path / "d").images()
    for index in (0, 13, COUNT - 1):
        again = rerender(tmp_path / "d", index, rectangles.RectangleRenderer())
        np.testing.assert_array_equal(again.images, images[index : index + 1])
    with pytest.raises(DataError, match="0 to 21, got 22"):
        rerender(tmp_path / "d", COUNT, rectangles.RectangleRenderer())
    with pytest.raises(DataError, match="draws"):
        rerender(tmp_path / "d", 0, rectangles.RectangleRenderer((8, 8)))


def test_an_image_that_comes_out_otherwise_is_told(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    generate(tmp_path / "d")

    class Darker(rectangles.RectangleRenderer):  # type: ignore[name-defined,misc]
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            drawn = super().render(scenes)
            return replace(drawn, images=drawn.images // 2)

    with pytest.raises(DataError, match=r"000003\.png must be drawn again .* other pixels"):
        rerender(tmp_path / "d", 3, Darker())


def test_an_image_that_was_lost_is_drawn_again_and_known_by_its_digest(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "d")
    image = read_dataset(tmp_path / "d").images()[3]
    compressed = reading.encode_png
    with monkeypatch.context() as patch:  # another version of the library: other bytes
        patch.setattr(reading, "encode_png", lambda pixels: compressed(pixels) + b"\0")
        again = rerender(tmp_path / "d", 3, rectangles.RectangleRenderer())
        np.testing.assert_array_equal(again.images[0], image)
        (tmp_path / "d" / "images" / "000003.png").unlink()
        with pytest.raises(DataError, match=r"000003\.png cannot be read.*cannot be told whether"):
            rerender(tmp_path / "d", 3, rectangles.RectangleRenderer())
    again = rerender(tmp_path / "d", 3, rectangles.RectangleRenderer())
    np.testing.assert_array_equal(again.images[0], image)


def test_progress_counts_up_to_all(tmp_path: Path, generate: Generate) -> None:
    told: list[int] = []
    generate(tmp_path / "d", progress=told.append)
    assert told == [4, 8, 12, 16, 20, 22]


@pytest.mark.timeout(60)
def test_killed_again_and_again(tmp_path: Path, program: Path, hashes: Hashes) -> None:
    """SIGKILL at changing moments: the end is that of an uninterrupted run, file by file."""

    def start(out: Path, pause: float) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(program), str(out), "40", str(pause)])

    assert start(tmp_path / "whole", 0).wait() == 0
    out = tmp_path / "killed"
    finished = set()
    for target in (1, 3, 5):
        process = start(out, 0.1)
        # Killed as soon as so many batches are there, wherever it then is.
        while process.poll() is None and len(list(out.glob(".metasim-shards/*.jsonl"))) < target:
            pass
        process.kill()
        process.wait()
        finished.add(len(list(out.glob(".metasim-shards/*.jsonl"))))
    assert len(finished) > 1, "the kills must have come at different moments"
    assert not (out / "manifest.json").exists()
    with pytest.raises(DataError, match=r"unfinished.*--resume"):
        read_dataset(out)
    (out / "images" / ".0123456789abcdef.metasim-tmp").write_bytes(b"half an ima")
    assert start(out, 0).wait() == 0
    assert hashes(out) == hashes(tmp_path / "whole")


_STEPS = ("replace", "unlink", "mkdir", "rmdir", "link")


def _killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that SIGKILLs itself at its ``step``-th change of a folder.

    Even steps die before the change, odd ones right after it. False when ``work`` ended
    before its time had come.
    """
    child = os.fork()
    if child == 0:
        count = itertools.count()

        def deadly(real: Callable[..., None]) -> Callable[..., None]:
            def call(*arguments: Any, **options: Any) -> None:
                for after in (False, True):
                    if next(count) == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    if not after:
                        real(*arguments, **options)

            return call

        for name in _STEPS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _solids(indices: range) -> list[Scene]:
    grammar = SceneGrammar.model_validate(SolidsRenderer.example)
    return [grammar.sample(stream(5, "scene", index)) for index in indices]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("formats", [("coco",), ("coco", "bop")])
def test_killed_at_every_single_step(
    tmp_path: Path,
    generate: Generate,
    rectangles: ModuleType,
    hashes: Hashes,
    formats: Sequence[str],
) -> None:
    """No moment between the first folder made and the last file removed is a bad one."""
    options = {
        "count": 5,
        "batch_size": 2,
        "renderer": rectangles.RectangleRenderer(depth=True),
    }
    if "bop" in formats:
        options = {
            "count": 3,
            "batch_size": 2,
            "renderer": SolidsRenderer((12, 16)),
            "make_scenes": _solids,
            "formats": formats,
        }
    generate(tmp_path / "whole", **options)
    expected = hashes(tmp_path / "whole")
    for step in itertools.count():
        out = tmp_path / str(step)
        if not _killed_at(step, lambda out=out: generate(out, **options)):  # type: ignore[misc]
            break
        generate(out, resume=True, **options)
        assert hashes(out) == expected
    assert step > 40, "every rename of an image, a shard and a final file is a step"
    assert hashes(out) == expected


class _Stop(Exception):
    pass


def _interrupted(out: Path, generate: Generate, after: int, **changes: Any) -> None:
    def stop(done: int) -> None:
        if done >= after:
            raise _Stop

    with pytest.raises(_Stop):
        generate(out, progress=stop, **changes)


def test_resume_draws_only_what_is_missing(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, hashes: Hashes
) -> None:
    """Batches keep the size they were begun with, so none is drawn twice."""
    out = tmp_path / "d"
    _interrupted(out, generate, 12)
    renderer = rectangles.RectangleRenderer()
    result = generate(out, resume=True, renderer=renderer, batch_size=5)
    assert result["rendered"] == renderer.drawn == COUNT - 12
    generate(tmp_path / "whole")
    assert hashes(out) == hashes(tmp_path / "whole")


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "images" / "000005.png").write_bytes(b""),
        lambda out: (out / "images" / "000006.png").unlink(),
        lambda out: (out / ".metasim-shards" / "1.jsonl").write_bytes(b"\0" * 50),
        lambda out: (out / ".metasim-shards" / "1.jsonl").write_text(""),
        lambda out: (out / ".metasim-shards" / "1.jsonl").write_text("[1, 2]\n"),
    ],
)
def test_resume_mends_what_a_power_cut_lost(
    tmp_path: Path, generate: Generate, hashes: Hashes, damage: Callable[[Path], object]
) -> None:
    out = tmp_path / "d"
    _interrupted(out, generate, 12)
    damage(out)
    assert generate(out, resume=True)["rendered"] == COUNT - 8
    generate(tmp_path / "whole")
    assert hashes(out) == hashes(tmp_path / "whole")


def test_resuming_a_finished_dataset_changes_nothing(
    tmp_path: Path, generate: Generate, hashes: Hashes
) -> None:
    generate(tmp_path / "d")
    before = hashes(tmp_path / "d")
    assert generate(tmp_path / "d", resume=True)["rendered"] == 0
    assert hashes(tmp_path / "d") == before


@pytest.mark.parametrize("name", ["coco.json", "labels.jsonl", "images/000003.png"])
@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_a_finished_dataset_that_was_damaged_is_not_called_finished(
    tmp_path: Path, generate: Generate, name: str, content: bytes | None
) -> None:
    generate(tmp_path / "d")
    if content is None:
        (tmp_path / "d" / name).unlink()
    else:
        (tmp_path / "d" / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"1 files are missing or damaged \({name}\)"):
        generate(tmp_path / "d", resume=True)


def test_other_versions_may_look_at_a_finished_dataset_but_not_finish_one(
    tmp_path: Path, generate: Generate
) -> None:
    newer = {"checkpoint": "step-00000120.pt", "versions": {"metasim": "0.2"}}
    generate(tmp_path / "whole")
    assert generate(tmp_path / "whole", resume=True, manifest=newer)["rendered"] == 0
    _interrupted(tmp_path / "part", generate, 8)
    with pytest.raises(DataError, match=r"versions: .*0\.1.* there, .*0\.2.* asked"):
        generate(tmp_path / "part", resume=True, manifest=newer)


def test_kill_between_manifest_and_cleaning(
    tmp_path: Path, generate: Generate, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise _Stop

    with monkeypatch.context() as patch:
        patch.setattr("metasim.data.dataset._clean", stop)
        with pytest.raises(_Stop):
            generate(tmp_path / "d")
    assert (tmp_path / "d" / ".metasim-shards").exists()
    assert len(read_dataset(tmp_path / "d")) == COUNT
    assert generate(tmp_path / "d", resume=True)["rendered"] == 0
    generate(tmp_path / "whole")
    assert hashes(tmp_path / "d") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("resume", [False, True])
def test_refuses_a_folder_that_is_not_its_own(
    tmp_path: Path, generate: Generate, hashes: Hashes, resume: bool
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000000.png").write_text("mine")
    before = hashes(tmp_path)
    with pytest.raises(DataError, match=r"not empty.*'images'.*nothing was written"):
        generate(tmp_path, resume=resume)
    (tmp_path / "manifest.json").write_text('{"name": "a web application"}')
    with pytest.raises(DataError, match="not empty"):
        generate(tmp_path, resume=resume)
    (tmp_path / "manifest.json").unlink()
    assert hashes(tmp_path) == before


def test_refuses_a_file_as_its_folder(tmp_path: Path, generate: Generate) -> None:
    (tmp_path / "d").write_text("mine")
    with pytest.raises(DataError, match="it is a file"):
        generate(tmp_path / "d")
    assert (tmp_path / "d").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path, generate: Generate) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".0123456789abcdef.metasim-tmp").touch()  # killed while it began
    generate(tmp_path / "d", resume=True)
    assert len(read_dataset(tmp_path / "d")) == COUNT


@pytest.mark.parametrize("finished", [False, True])
def test_nothing_is_overwritten_unasked(
    tmp_path: Path, generate: Generate, hashes: Hashes, finished: bool
) -> None:
    if finished:
        generate(tmp_path / "d")
    else:
        _interrupted(tmp_path / "d", generate, 8)
    before = hashes(tmp_path / "d")
    expected = "holds a finished" if finished else "holds an unfinished.*add --resume"
    with pytest.raises(DataError, match=expected):
        generate(tmp_path / "d")
    assert hashes(tmp_path / "d") == before


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 6}, "seed: 5 there, 6 asked"),
        ({"count": 23}, "count: 22 there, 23 asked"),
        ({"manifest": {"checkpoint": "step-7.pt"}}, 'checkpoint: "step-00000120.pt" there'),
        ({"formats": ("native",)}, "formats"),
    ],
)
def test_resume_refuses_another_dataset(
    tmp_path: Path,
    generate: Generate,
    hashes: Hashes,
    finished: bool,
    change: dict[str, Any],
    told: str,
) -> None:
    if finished:
        generate(tmp_path / "d")
    else:
        _interrupted(tmp_path / "d", generate, 8)
    before = hashes(tmp_path / "d")
    with pytest.raises(DataError, match=told):
        generate(tmp_path / "d", resume=True, **change)
    assert hashes(tmp_path / "d") == before


def test_resume_refuses_another_image_size(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    _interrupted(tmp_path / "d", generate, 8)
    with pytest.raises(DataError, match="image_size"):
        generate(tmp_path / "d", resume=True, renderer=rectangles.RectangleRenderer((8, 8)))


def test_one_writer_at_a_time(tmp_path: Path, generate: Generate) -> None:
    _interrupted(tmp_path / "d", generate, 8)
    with (
        exclusive(tmp_path / "d" / ".metasim-lock"),
        pytest.raises(DataError, match="is being written by process"),
    ):
        generate(tmp_path / "d", resume=True)
    assert generate(tmp_path / "d", resume=True)["rendered"] == COUNT - 8


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"batch_size": 0}, {"formats": ("cocoa",)}],
    ids=lambda c: next(iter(c)),
)
def test_bad_arguments(tmp_path: Path, generate: Generate, change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"at least 1|did you mean 'coco'"):
        generate(tmp_path / "d", **change)
    assert not (tmp_path / "d").exists()


def test_a_failing_renderer_leaves_a_dataset_to_resume(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, hashes: Hashes
) -> None:
    class Fails(rectangles.RectangleRenderer):  # type: ignore[name-defined,misc]
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            if self.drawn >= 8:
                raise FileNotFoundError("mesh.obj")
            return super().render(scenes)

    with pytest.raises(RenderError, match=r"images 8 to 11: .*FileNotFoundError.*mesh\.obj"):
        generate(tmp_path / "d", renderer=Fails())
    assert generate(tmp_path / "d", resume=True)["rendered"] == COUNT - 8
    generate(tmp_path / "whole")
    assert hashes(tmp_path / "d") == hashes(tmp_path / "whole")


def test_a_wrong_box_is_refused(tmp_path: Path, generate: Generate, rectangles: ModuleType) -> None:
    """Labels that contradict the mask never reach a dataset."""

    class Shifted(rectangles.RectangleRenderer):  # type: ignore[name-defined,misc]
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            drawn = super().render(scenes)
            plane = np.roll(drawn.instances, 1, axis=2)
            return Rendered(drawn.images, plane, drawn.labels)

    with pytest.raises(RenderError, match="the box of instance"):
        generate(tmp_path / "d", renderer=Shifted())


@pytest.mark.parametrize("wrong", [0.0, 0.5])
def test_what_is_visible_must_have_pixels(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, wrong: float
) -> None:
    class Blind(rectangles.RectangleRenderer):  # type: ignore[name-defined,misc]
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            drawn = super().render(scenes)
            labels = tuple(
                tuple(
                    replace(one, visible=wrong) if (one.visible > 0) != (wrong > 0) else one
                    for one in image
                )
                for image in drawn.labels
            )
            return Rendered(drawn.images, drawn.instances, labels)

    with pytest.raises(RenderError, match="above 0 where it has pixels and 0 where it has none"):
        generate(tmp_path / "d", renderer=Blind())


def test_pixels_of_an_instance_without_a_label_are_refused(
    tmp_path: Path, generate: Generate, rectangles: ModuleType
) -> None:
    class Silent(rectangles.RectangleRenderer):  # type: ignore[name-defined,misc]
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            drawn = super().render(scenes)
            return Rendered(drawn.images, drawn.instances, tuple(() for _ in scenes))

    with pytest.raises(RenderError, match="every pixel of an instance must have a label"):
        generate(tmp_path / "d", renderer=Silent())


def test_too_few_scenes_are_refused(tmp_path: Path, generate: Generate) -> None:
    with pytest.raises(ValueError, match="must give 4 scenes, got 0"):
        generate(tmp_path / "d", make_scenes=lambda _: [])


def test_reserved_manifest_keys(tmp_path: Path, generate: Generate) -> None:
    with pytest.raises(ValueError, match="reserved: count, seed"):
        generate(tmp_path / "d", manifest={"seed": 1, "count": 2})


_FULL_DISK = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
program = sys.argv[1]
sys.argv = sys.argv[1:]
from metasim.errors import DataError
try:
    runpy.run_path(program, run_name="__main__")
except DataError as error:
    print(error)
"""


def test_a_refusing_disk_is_told_and_nothing_is_lost(
    tmp_path: Path, program: Path, hashes: Hashes
) -> None:
    """A real limit on file sizes lets every batch pass and stops the larger final files."""
    command = [sys.executable, "-c", _FULL_DISK, str(program), str(tmp_path / "d"), "12", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: File too large; every finished batch is kept" in done.stdout
    assert not list((tmp_path / "d").rglob("*.metasim-tmp"))
    assert len(list((tmp_path / "d" / ".metasim-shards").iterdir())) == 3
    for out in ("d", "whole"):
        subprocess.run([sys.executable, str(program), str(tmp_path / out), "12", "0"], check=True)
    assert hashes(tmp_path / "d") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "images/../../secret.png"])
def test_names_cannot_lead_out(
    tmp_path: Path, generate: Generate, relabel: Relabel, name: str
) -> None:
    generate(tmp_path / "d", count=1)
    manifest = tmp_path / "d" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("images/000000.png", name))
    relabel(tmp_path / "d", lambda labels: labels.replace("images/000000.png", name))
    with pytest.raises(DataError, match="below the dataset's folder"):
        read_dataset(tmp_path / "d").images()


def test_links_cannot_lead_out(tmp_path: Path, generate: Generate) -> None:
    generate(tmp_path / "d", count=1)
    picture = tmp_path / "d" / "images" / "000000.png"
    picture.rename(tmp_path / "elsewhere.png")
    picture.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match="leads out"):
        read_dataset(tmp_path / "d").images()


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("manifest.json", "{", "must be JSON"),
        ("manifest.json", "[]", "must hold a JSON object"),
        ("manifest.json", '{"format": "other"}', "is not"),
        ("manifest.json", '{"format": "metasim-dataset", "version": 2}', "must have version 1"),
        ("manifest.json", '{"format": "metasim-dataset", "version": 1}', "is damaged"),
        ("labels.jsonl", "", "must have 2 lines, one for each image, got 0"),
        ("labels.jsonl", "{}\n{", r"labels\.jsonl:2 must be JSON"),
        ("labels.jsonl", "{}\n{}", "not the record of an image"),
        ("labels.jsonl", "[]\n[]", "not the record of an image"),
        ("labels.jsonl", '{"image": "x"}\n{}', "is labelled as 'x'"),
    ],
)
def test_damaged_datasets_are_told(
    tmp_path: Path, generate: Generate, relabel: Relabel, file: str, content: str, told: str
) -> None:
    generate(tmp_path / "d", count=2)
    if file == "labels.jsonl":
        relabel(tmp_path / "d", lambda _: content)
    else:
        (tmp_path / "d" / file).write_text(content)
    with pytest.raises(DataError, match=told):
        read_dataset(tmp_path / "d")


def test_labels_that_were_changed_are_told(tmp_path: Path, generate: Generate) -> None:
    generate(tmp_path / "d", count=2)
    labels = tmp_path / "d" / "labels.jsonl"
    labels.write_text(labels.read_text().replace('"visible": 1.0', '"visible": 0.5'))
    with pytest.raises(DataError, match=r"labels\.jsonl is damaged or was changed: manifest\.json"):
        read_dataset(tmp_path / "d")


def test_manifest_has_a_scene_for_every_image(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, hashes: Hashes
) -> None:
    """The public contract, read with nothing of ours but Scene."""
    generate(tmp_path / "d")
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert manifest["seed"] == 5
    assert manifest["versions"] == {"metasim": "0.1"}
    scenes = [Scene.from_json(image["scene"]) for image in manifest["images"]]
    assert scenes == rectangles.make_scenes(range(COUNT))
    files = hashes(tmp_path / "d")
    assert all(files[image["image"]] == image["sha256"] for image in manifest["images"])


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_planes_that_are_not_as_they_were_written_are_told(
    tmp_path: Path, generate: Generate, rectangles: ModuleType, damage: str
) -> None:
    generate(tmp_path / "d", renderer=rectangles.RectangleRenderer(depth=True), count=2)
    dataset = read_dataset(tmp_path / "d")
    path = tmp_path / "d" / str(dataset.records[1].planes)
    whole = path.read_bytes()
    other = (tmp_path / "d" / str(dataset.records[0].planes)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else other)
    with pytest.raises(DataError, match="another SHA-256"):
        dataset.planes(1)


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "d").mkdir()
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DataError, match="cannot be written into: Permission denied"):
        generate(tmp_path / "d")
