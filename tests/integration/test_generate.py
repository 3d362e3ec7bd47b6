"""Tuned datasets, from a run and from a grammar."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from metasim import experiment
from metasim.classes import shown_classes
from metasim.data import dataset as writing
from metasim.data import read_dataset, rerender, save_images
from metasim.render import make_renderer
from metasim.runs import RunDir
from metasim.scene import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer, SolidsRenderer

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PRIOR = ROOT / "assets" / "grammars" / "mnist_rot.yaml"


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """SHA-256 of every file below a folder, by relative name."""
    return lambda folder: {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digits(folder: Path) -> list[dict[str, Any]]:
    """The attributes of each scene's digit."""
    return [dict(scene.nodes[1].attributes) for scene in read_dataset(folder).scenes]


def test_a_run_makes_a_dataset_with_what_it_learned(
    metasim: Command, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    answer = metasim("generate", whole, "--count", 12, "--out", out)
    assert (answer.code, answer.data["count"]) == (0, 12)
    coco = COCO(out / "coco.json")
    assert len(coco.getImgIds()) == 12
    assert all(coco.annToMask(a).sum() == a["area"] for a in coco.loadAnns(coco.getAnnIds()))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["seed"] == 0
    assert manifest["source"]["run"] == whole.name
    assert manifest["source"]["checkpoint"].startswith("step-")
    assert len(manifest["source"]["sha256"]) == 64
    assert {"python", "metasim", "numpy", "torch", "pillow"} <= set(manifest["versions"])

    assert metasim("generate", PRIOR, "--renderer", "mnist", "--count", 12, "--out",
                   tmp_path / "prior").code == 0  # fmt: skip
    before, after = digits(tmp_path / "prior"), digits(out)
    assert [(d["class"], d["glyph"]) for d in before] == [(d["class"], d["glyph"]) for d in after]
    assert all(b["yaw"] != a["yaw"] for b, a in zip(before, after, strict=True))


def test_an_image_depends_on_its_index_alone(metasim: Command, whole: Path, tmp_path: Path) -> None:
    for count in (3, 9):
        metasim("generate", whole, "--count", count, "--out", tmp_path / str(count), "--seed", 7)
    few, many = read_dataset(tmp_path / "3"), read_dataset(tmp_path / "9")
    assert np.array_equal(few.images(), many.images()[:3])
    assert list(few.scenes) == list(many.scenes)[:3]
    metasim("generate", whole, "--count", 3, "--out", tmp_path / "other", "--seed", 8)
    assert not np.array_equal(few.images(), read_dataset(tmp_path / "other").images())


@pytest.mark.parametrize("source", ["run", "grammar"])
def test_a_killed_dataset_is_finished_as_if_never_killed(
    metasim: Command,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hashes: Callable[[Path], dict[str, str]],
    source: str,
) -> None:
    words = ("generate", whole, "--count", 150)
    if source == "grammar":
        words = ("generate", PRIOR, "--renderer", "mnist", "--count", 150)
    assert metasim(*words, "--out", tmp_path / "a").code == 0
    draw, calls = writing._draw, []

    def killed(batch: range, *rest: Any) -> tuple[list[Scene], Any]:
        calls.append(batch)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return draw(batch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_draw", killed)
        answer = metasim(*words, "--out", tmp_path / "b")
    assert answer.code == 130
    assert f"every finished batch of {tmp_path / 'b'} is kept" in answer.data["error"]
    assert "--resume" in answer.data["error"]
    assert not (tmp_path / "b" / "manifest.json").exists()
    assert metasim(*words, "--out", tmp_path / "b").code == 2  # not without --resume
    assert metasim(*words, "--out", tmp_path / "b", "--resume").code == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_grammar_that_was_edited_does_not_go_into_the_same_dataset(
    metasim: Command, tmp_path: Path
) -> None:
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(PRIOR.read_text())
    words = ("generate", grammar, "--renderer", "mnist", "--count", 3, "--out", tmp_path / "d")
    assert metasim(*words).code == 0
    assert metasim(*words, "--resume").data["rendered"] == 0
    grammar.write_text(PRIOR.read_text() + "\n# a comment changes no scene\n")
    assert metasim(*words, "--resume").code == 0
    edited = PRIOR.read_text().replace("mean: 0", "mean: 180")
    assert edited != PRIOR.read_text()
    grammar.write_text(edited)
    answer = metasim(*words, "--resume")
    assert answer.code == 2
    assert "source:" in answer.data["error"]


def test_all_datasets_of_a_grammar_number_its_classes_alike(
    metasim: Command, tmp_path: Path
) -> None:
    for count in (2, 30):
        metasim("generate", PRIOR, "--renderer", "mnist", "--count", count, "--out",
                tmp_path / str(count))  # fmt: skip
    few, many = (COCO(tmp_path / name / "coco.json") for name in ("2", "30"))
    assert few.loadCats(few.getCatIds()) == many.loadCats(many.getCatIds())
    assert [c["name"] for c in many.loadCats(many.getCatIds())] == [str(n) for n in range(10)]


def test_an_ended_run_whose_last_checkpoint_is_damaged_is_refused_until_its_end_is_done_again(
    metasim: Command, whole: Path, tmp_path: Path, hashes: Callable[[Path], dict[str, str]]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    wanted = metasim("generate", run, "--count", 3, "--out", tmp_path / "wanted")
    newest, before, *_ = RunDir.open(run).checkpoints()
    newest.write_bytes(newest.read_bytes()[:-1])
    words = ("generate", run, "--count", 3, "--out", tmp_path / "found")
    refused = metasim(*words)
    assert (wanted.code, refused.code) == (0, 2)
    assert f"is damaged: {newest.name}" in refused.data["error"]
    assert f"remove {run / 'summary.json'}" in refused.data["error"]
    assert f"metasim train --resume {run}" in refused.data["error"]
    assert not (tmp_path / "found").exists()

    (run / "summary.json").unlink()
    so_far = metasim("generate", run, "--count", 3, "--out", tmp_path / "so far")
    assert f"{before.name} is used" in so_far.err
    resumed = metasim("train", "--resume", run)
    assert f"{before.name} is used" in resumed.err
    assert metasim(*words).code == 0
    assert hashes(tmp_path / "found") == hashes(tmp_path / "wanted")


def test_a_run_that_has_learned_nothing_yet_is_refused(
    metasim: Command, whole: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    answer = metasim("generate", empty, "--count", 3, "--out", tmp_path / "d")
    assert answer.code == 2
    assert f"go on with --resume {empty}" in answer.data["error"]
    assert not (tmp_path / "d").exists()


def test_of_a_folder_of_runs_the_newest_that_has_learned_counts(
    metasim: Command, whole: Path, tmp_path: Path
) -> None:
    """A start that failed must not hide the runs before it."""
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs / whole.name)
    failed = runs / "99999999-000000-s0"
    failed.mkdir()
    shutil.copy(whole / "config.yaml", failed)
    os.utime(failed / "config.yaml", ns=(2**62, 2**62))
    answer = metasim("generate", runs, "--count", 2, "--out", tmp_path / "made")
    assert answer.code == 0
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert manifest["source"]["run"] == whole.name


def test_classes_that_the_renderer_chooses_are_numbered_alike_too(
    metasim: Command, tmp_path: Path
) -> None:
    """Which digits three images show depends on the seed, what they are called must not."""
    grammar = yaml.safe_load(PRIOR.read_text())
    for node in grammar["root"]["children"]:
        assert node["attributes"].pop("class", None) is not None
    file = tmp_path / "grammar.yaml"
    file.write_text(yaml.safe_dump(grammar))
    found = []
    for seed in (0, 1):
        out = tmp_path / str(seed)
        words = ("--renderer", "mnist", "--count", 3, "--seed", seed, "--out", out)
        assert metasim("generate", file, *words).code == 0
        coco = COCO(out / "coco.json")
        found.append(coco.loadCats(coco.getCatIds()))
    assert found[0] == found[1]
    assert [c["name"] for c in found[0]] == [str(n) for n in range(10)]


def test_a_dataset_goes_on_with_the_code_it_was_begun_with(
    metasim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "generate_renderer_of_mine.py"
    text = (
        "from metasim.testing import AnalyticRenderer\n\nclass Mine(AnalyticRenderer):\n    pass\n"
    )
    module.write_text(text)
    grammar = tmp_path / "grammar.yaml"
    written = {**(AnalyticRenderer.example or {}), "renderer": {"use": f"{module.stem}:Mine"}}
    grammar.write_text(yaml.safe_dump(written))
    words = ("generate", grammar, "--count", 2, "--out", tmp_path / "d")
    assert metasim(*words).code == 0
    assert metasim(*words, "--resume").data["rendered"] == 0
    module.write_text(text + "# edited\n")
    answer = metasim(*words, "--resume")
    assert answer.code == 2
    assert "renderer_code" in answer.data["error"]


def test_nor_with_other_code_of_metasim_unless_nothing_is_left_to_draw(
    metasim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("generate", PRIOR, "--renderer", "mnist", "--count", 70, "--out", tmp_path / "d")

    def stopped(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_finish", stopped)
        assert metasim(*words).code == 130
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "code_digest", lambda _: "another")
        answer = metasim(*words, "--resume")
        assert answer.code == 2
        assert "code: " in answer.data["error"]
    assert metasim(*words, "--resume").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "code_digest", lambda _: "another")
        assert metasim(*words, "--resume").code == 0


def test_large_images_are_drawn_and_kept_a_few_at_a_time(
    metasim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the planes of 64 large images must fit into memory, and a stop loses all of them."""
    sizes, write = [], writing.write_batch

    def noted(out: Path, batch: range, *rest: Any) -> Any:
        sizes.append(len(batch))
        return write(out, batch, *rest)

    monkeypatch.setattr(writing, "write_batch", noted)
    words = ("generate", PRIOR, "--renderer", "mnist", "image_size=[1500, 2000]")
    assert metasim(*words, "--count", 5, "--out", tmp_path / "d").code == 0
    assert sizes == [3, 2]


def test_other_workers_may_draw_than_the_source_names(metasim: Command, tmp_path: Path) -> None:
    """What a run names may be gone: a cluster, another machine's interpreter."""
    written = {**(AnalyticRenderer.example or {})}
    gone = {"executor": "ray", "address": "127.0.0.1:1"}
    written["renderer"] = {"use": "metasim.testing:AnalyticRenderer", "workers": gone}
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(yaml.safe_dump(written))
    words = ("generate", grammar, "--count", 3, "--out")
    assert metasim(*words, tmp_path / "d", "--workers", "{count: 1}").code == 0
    answer = metasim(*words, tmp_path / "e", "--workers", "{count: 0, cuont: 1}")
    assert answer.code == 2
    assert {m["key"] for m in answer.data["mistakes"]} == {"workers.count", "workers.cuont"}


def test_a_dataset_goes_on_with_the_glyphs_it_was_begun_with(
    metasim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_glyphs(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for name in "0123456789":
            images = rng.integers(0, 255, (1, 28, 28, 3)).astype(np.uint8)
            save_images(tmp_path / "glyphs" / name, images, ["a"])

    def stopped(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(PRIOR.read_text() + "renderer: {use: mnist, options: {glyphs: ./glyphs}}\n")
    words = ("generate", grammar, "--count", 70, "--out", tmp_path / "d")
    write_glyphs(0)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_finish", stopped)
        assert metasim(*words).code == 130
    write_glyphs(1)
    answer = metasim(*words, "--resume")
    assert answer.code == 2
    assert "renderer_files: " in answer.data["error"]
    write_glyphs(0)
    assert metasim(*words, "--resume").code == 0


def test_a_renderer_of_the_command_line_must_know_all_of_the_grammar(
    metasim: Command, tmp_path: Path
) -> None:
    """Else an attribute is passed over in silence, or nothing is drawn at all."""
    written = yaml.safe_load(PRIOR.read_text())
    written["root"]["children"][0]["attributes"]["colour"] = {"prior": 0.5}
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(yaml.safe_dump(written))
    words = ("generate", grammar, "--count", 2, "--out", tmp_path / "d")
    given = metasim(*words, "--renderer", "mnist")
    grammar.write_text(grammar.read_text() + "renderer: {use: mnist}\n")
    named = metasim(*words)
    assert (given.code, named.code) == (2, 2)
    (mistake,) = given.data["mistakes"]
    assert mistake == named.data["mistakes"][0]
    assert mistake["key"] == "root.children.0.attributes.colour"
    assert not (tmp_path / "d").exists()


def test_nor_does_a_run_go_to_a_renderer_that_does_not_know_its_grammar(
    metasim: Command, whole: Path, tmp_path: Path
) -> None:
    words = ("--renderer", "metasim.testing:AnalyticRenderer", "--count", 2)
    answer = metasim("generate", whole, *words, "--out", tmp_path / "d")
    assert answer.code == 2
    assert answer.data["mistakes"][0]["file"] == str(whole / "config.yaml")
    assert "draws no 'digit'" in answer.data["error"]
    assert not (tmp_path / "d").exists()


def test_a_rare_class_that_the_renderer_cannot_draw_is_refused_at_once(
    metasim: Command, tmp_path: Path
) -> None:
    """Else it shows once many images are drawn, and the dataset can never be finished."""
    written = yaml.safe_load(PRIOR.read_text())
    (digit,) = written["root"]["children"]
    choice = {"values": [*range(10), 11], "weights": [199 / 10] * 10 + [1]}
    digit["attributes"]["class"] = {"prior": {"choice": choice}}
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(yaml.safe_dump(written))
    answer = metasim(
        "generate", grammar, "--renderer", "mnist", "--count", 2, "--out", tmp_path / "d"
    )
    assert answer.code == 2
    (mistake,) = answer.data["mistakes"]
    assert mistake["file"] == str(grammar)
    assert "draws no 'digit' of class 11, which node 'digit' may be" in mistake["message"]
    assert not (tmp_path / "d").exists()


def test_an_edited_configuration_is_refused(metasim: Command, whole: Path, tmp_path: Path) -> None:
    """Its grammar may be another: half a dataset would be decoded with other ranges."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("360", "180"))
    answer = metasim("generate", run, "--count", 2, "--out", tmp_path / "d")
    assert answer.code == 2
    assert "was edited" in answer.data["error"]
    assert not (tmp_path / "d").exists()


def test_an_image_is_drawn_again_by_what_its_manifest_says(
    metasim: Command, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    assert metasim("generate", whole, "--count", 4, "--out", out).code == 0
    dataset = read_dataset(out)
    spec = dataset.manifest["renderer"]
    with make_renderer(spec["use"], spec["options"]) as renderer:
        again = rerender(out, 3, renderer)
    np.testing.assert_array_equal(again.images[0], dataset.images()[3])


def test_a_kind_whose_class_is_open_in_one_node_alone_has_all_its_classes_numbered() -> None:
    def digit(name: str, **attributes: Any) -> dict[str, Any]:
        return {"name": name, "kind": "digit", "attributes": attributes}

    told = {"prior": {"choice": {"values": [0, 1]}}}
    children = [digit("a", **{"class": told}), digit("b")]
    grammar = SceneGrammar.model_validate(
        {"root": {"name": "scene", "kind": "scene", "children": children}}
    )
    for name in ("mnist", "metasim_mnist.gap:GapRenderer"):
        with make_renderer(name) as renderer:
            found = shown_classes(grammar, renderer)
        assert found == [("digit", str(number)) for number in range(10)]


def test_the_layout_of_bop_is_written_from_a_grammar_and_goes_on_after_a_kill(
    metasim: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hashes: Callable[[Path], dict[str, str]],
) -> None:
    def stopped(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    renderer = {"use": "metasim.testing:SolidsRenderer", "options": {"image_size": [24, 32]}}
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text(yaml.safe_dump({**(SolidsRenderer.example or {}), "renderer": renderer}))
    words = ("generate", grammar, "--count", 70, "--format", "coco", "bop")
    made = metasim(*words, "--out", tmp_path / "a")
    assert (made.code, made.data["files"]["bop"]) == (0, str(tmp_path / "a" / "bop"))
    scene = tmp_path / "a" / "bop" / "train" / "000000"
    poses = json.loads((scene / "scene_gt.json").read_text())
    assert {gt["obj_id"] for gts in poses.values() for gt in gts} == {1, 2}
    coco = COCO(tmp_path / "a" / "coco.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["box", "crystal"]

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_finish", stopped)
        assert metasim(*words, "--out", tmp_path / "b").code == 130
    assert metasim(*words, "--out", tmp_path / "b", "--resume").data["rendered"] == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert metasim(*words[:-1], "--out", tmp_path / "b", "--resume").code == 2  # without bop


def test_a_renderer_in_the_plane_has_nothing_for_bop(metasim: Command, tmp_path: Path) -> None:
    answer = metasim("generate", PRIOR, "--renderer", "mnist", "--count", 2, "--format", "bop",
                     "--out", tmp_path / "d")  # fmt: skip
    assert answer.code == 2
    assert "MnistRenderer offers no depth and no cameras and no models" in answer.data["error"]
    assert not (tmp_path / "d").exists()
