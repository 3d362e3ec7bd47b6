"""``metasim refine`` on folders of pictures: made, stopped, gone on with, applied, exported."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metasim import translation
from metasim.data import load_images, save_images
from metasim.refine.refiner import read_refiner

ROOT = Path(__file__).parents[2]
Command = Callable[..., Any]
FEW = ("steps=4", "batch_size=2", "width=4", "blocks=1", "discriminator_width=4")


def squares(count: int, name: str, *, bright: bool = False, size: int = 32) -> np.ndarray:
    rng = np.random.default_rng(len(name))
    images = rng.integers(0, 40, (count, size, size, 3)).astype(np.uint8)
    for image in images:
        y, x = rng.integers(1, size // 2, 2)
        image[y : y + 7, x : x + 7] = 200
    return 255 - images if bright else images


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Pictures of both kinds, the simulated ones also in a sub-folder."""
    sim, real = tmp_path / "sim", tmp_path / "real"
    save_images(sim, squares(10, "sim"), [f"s{i}" for i in range(10)])
    save_images(sim / "more", squares(8, "more"), [f"s{i}" for i in range(8)])
    save_images(real, squares(18, "real", bright=True), [f"r{i}" for i in range(18)])
    return sim, real


def refine(command: Command, sim: Path, real: Path, out: Path, *more: object) -> Any:
    words = ("refine", "--method", "cut", "--sim", sim, "--real", real, "--out", out)
    return command(*words, *FEW, *more)


def test_each_picture_has_its_own_under_the_same_name(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = refine(metasim, *folders, out, "--sample-every", "2")
    assert answer.code == 0, answer.err
    names = load_images(folders[0], (32, 32), resize=False).names
    assert load_images(out / "outputs", (32, 32), resize=False).names == names
    assert {path.name for path in (out / "samples").iterdir()} == {
        "step-00000002.png",
        "step-00000004.png",
    }
    for name in names:
        view = out / "by-sim" / Path(name).with_suffix("")
        assert {path.name for path in view.iterdir()} == {"sim.png", "refined.png"}
        assert (view / "refined.png").read_bytes() == (out / "outputs" / name).read_bytes()
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["method"], summary["images"], summary["steps"]) == ("cut", 18, 4)
    assert {"fid", "kid", "mmd", "ssim", "fid_unrefined"} <= summary.keys()


def test_pictures_are_brought_to_a_size_and_written_as_asked(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = refine(metasim, *folders, out, "--size", "24x16", "--file-type", "jpg")
    assert answer.code == 0, answer.err
    with Image.open(out / "outputs" / "more" / "s3.jpg") as picture:
        assert (picture.size, picture.format) == ((24, 16), "JPEG")


def test_a_folder_in_cyclegan_s_layout(metasim: Command, tmp_path: Path) -> None:
    for part, count in (("trainA", 6), ("trainB", 5), ("testA", 3)):
        save_images(tmp_path / "data" / part, squares(count, part), [f"{i}" for i in range(count)])
    data = tmp_path / "data"
    answer = refine(metasim, data, data, tmp_path / "out")
    assert answer.code == 0, answer.err
    assert len([*(tmp_path / "out" / "outputs").iterdir()]) == 3
    assert "ssim" in answer.data
    assert "fid" not in answer.data  # of so few


@pytest.mark.parametrize("method", ["pix2pix", "spade"])
def test_pairs_side_by_side(metasim: Command, tmp_path: Path, method: str) -> None:
    left = squares(6, "sim")
    save_images(
        tmp_path / "both", np.concatenate([left, 255 - left], 2), [f"{i}" for i in range(6)]
    )
    small = {
        "pix2pix": ("width=4", "discriminator_width=4", "depth=3"),
        "spade": ("width=2", "hidden=4", "layers=2"),
    }
    answer = metasim(
        "refine", "--method", method, "--sim", tmp_path / "both", "--real", tmp_path / "both",
        "--out", tmp_path / "out", "steps=3", "batch_size=2", *small[method],
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert read_refiner(tmp_path / "out" / "refiner.pt").form.condition == ()
    applied = metasim(
        "refine", "--apply", tmp_path / "out", "--sim", tmp_path / "out" / "outputs",
        "--out", tmp_path / "again",
    )  # fmt: skip
    assert applied.code == 0, applied.err


@pytest.mark.parametrize("method", ["nst", "dtp"])
def test_methods_that_train_nothing_leave_every_pair_and_sample(
    metasim: Command, tmp_path: Path, method: str
) -> None:
    save_images(tmp_path / "sim", squares(2, "sim", size=16), ["a", "b"])
    save_images(tmp_path / "real", squares(3, "real", bright=True, size=16), ["x", "y", "z"])
    more = ("scale=0.1", "patches=8", "sample_every=1") if method == "dtp" else ()
    answer = metasim(
        "refine", "--method", method, "--sim", tmp_path / "sim", "--real", tmp_path / "real",
        "--out", tmp_path / "out", "stand_in=random", "iterations=2", "pairs=2", *more,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    for name in ("a", "b"):
        view = tmp_path / "out" / "by-sim" / name
        pairs = [path for path in view.iterdir() if path.is_dir()]
        assert len(pairs) == 2
        assert {path.name for path in pairs} < {"x", "y", "z"}
        for pair in pairs:
            assert (pair / "iteration-00002.png").is_file()
        last = [(pair / "iteration-00002.png").read_bytes() for pair in pairs]
        assert (tmp_path / "out" / "outputs" / f"{name}.png").read_bytes() in last
    applied = metasim(
        "refine", "--apply", tmp_path / "out", "--sim", tmp_path / "sim", "--out", tmp_path / "two"
    )
    assert applied.code == 0, applied.err
    for name in ("a.png", "b.png"):  # the file does what the folder's run did
        first, again = (tmp_path / folder / name for folder in ("out/outputs", "two"))
        assert first.read_bytes() == again.read_bytes()


def test_real_pictures_of_one_name_are_told_apart(metasim: Command, tmp_path: Path) -> None:
    save_images(tmp_path / "sim", squares(1, "sim", size=16), ["a"])
    real = squares(3, "real", bright=True, size=16)
    save_images(tmp_path / "real", real[:1], ["x"])
    save_images(tmp_path / "real" / "d", real[2:], ["x"])
    Image.fromarray(real[1]).save(tmp_path / "real" / "x.bmp")
    answer = metasim(
        "refine", "--method", "nst", "--sim", tmp_path / "sim", "--real", tmp_path / "real",
        "--out", tmp_path / "out", "stand_in=random", "iterations=1", "pairs=3",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    pairs = {path.name for path in (tmp_path / "out" / "by-sim" / "a").iterdir() if path.is_dir()}
    assert pairs == {"d-x", "1-x.bmp", "2-x.png"}


def test_what_was_stopped_ends_as_if_it_had_not_been(
    metasim: Command,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "pa rts"
    assert refine(metasim, *folders, whole, "--sample-every", "2").code == 0
    asked = iter([False, False, True])
    stage = translation.Stage

    def stopping(*given: Any, **how: Any) -> Any:
        return stage(*given, **{**how, "stop": lambda: next(asked)})

    with monkeypatch.context() as patch:
        patch.setattr(translation, "Stage", stopping)
        stopped = refine(metasim, *folders, parts, "--sample-every", "2")
    assert stopped.code == 130
    assert "stopped after step 3 of 4" in stopped.err
    program, *again = shlex.split(stopped.err.rpartition("go on with: ")[2])  # as it was told
    assert program == "metasim"
    answer = metasim(*again)
    assert answer.code == 0, answer.err
    assert len([*(whole / "outputs").rglob("*.png")]) == 18
    for path in (whole / "outputs").rglob("*.png"):
        other = parts / path.relative_to(whole)
        assert other.read_bytes() == path.read_bytes()
    told = json.loads((parts / "summary.json").read_text())["provenance"]
    assert {"code", "packages", "git"} <= told.keys()


def test_nothing_of_a_user_s_is_overwritten_and_others_are_refused(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    answer = refine(metasim, *folders, out)
    assert answer.code == 2
    assert "must be a new or empty folder, and holds files" in answer.err
    (out / "mine").rmdir()
    assert refine(metasim, *folders, out).code == 0
    assert "add --resume to go on" in refine(metasim, *folders, out).err
    assert "begun with other settings" in refine(metasim, *folders, out, "--resume", "nce=2").err
    (out / "outputs" / "s1.png").unlink()
    assert refine(metasim, *folders, out, "--resume").code == 0
    assert (out / "outputs" / "s1.png").is_file()


def test_a_refiner_is_applied_to_other_pictures_as_it_was_to_these(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refine(metasim, *folders, out)
    again = tmp_path / "again"
    answer = metasim("refine", "--apply", out, "--sim", folders[0], "--out", again)
    assert answer.code == 0, answer.err
    assert answer.data["refined"] == 18
    for path in (out / "outputs").rglob("*.png"):
        assert (again / path.relative_to(out / "outputs")).read_bytes() == path.read_bytes()
    (again / "s1.png").unlink()
    answer = metasim("refine", "--apply", out, "--sim", folders[0], "--out", again, "--resume")
    assert answer.data["refined"] == 1
    for more in (("--sim", folders[1]), ("--sim", folders[0], "--file-type", "jpg")):
        other = metasim("refine", "--apply", out, "--out", again, "--resume", *more)
        assert "was begun with other" in other.err
    wrong = metasim("refine", "--apply", out, "--sim", folders[0], "--out", tmp_path / "b",
                    "--size", "8x8")  # fmt: skip
    assert "the refiner takes pictures of 32x32" in wrong.err


def test_torchscript_gives_what_the_refiner_gives(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out, file = tmp_path / "out", tmp_path / "refiner.ts"
    refine(metasim, *folders, out)
    assert metasim("refine", "--export", out, "--out", file).code == 0
    images = squares(8, "other")
    exported = torch.jit.load(file)(torch.from_numpy(images)).numpy()
    assert np.array_equal(exported, read_refiner(out / "refiner.pt").refine(images))
    answer = metasim("refine", "--export", out, "--out", file)
    assert "must be a new file, and exists" in answer.err
    answer = metasim("refine", "--export", out, "--out", tmp_path / "refiner.onnx")
    assert "written as TorchScript" in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "cut"), "--method needs --sim"),
        ((), "give one of: EXPERIMENT.yaml, --method"),
        (("x.yaml", "--method", "cut"), "give one of: EXPERIMENT.yaml, --method"),
        (("--method", "cut", "--sim", "sim", "--real", "gone", "--out", "o"), "gone must be a"),
        (("--method", "cutt", "--sim", "sim", "--real", "real", "--out", "o"), "did you mean"),
        (("--method", "cut", "--sim", "sim", "--real", "real", "--out", "o", "rounds=2"), "rounds"),
        (("--method", "cut", "--sim", "sim", "--real", "real", "--out", "o", "--size", "9"), "512"),
        (
            ("--method", "cut", "--sim", "sim", "--real", "real", "--out", "o", "--file-type", "x"),
            "must be one of png, jpg",
        ),
        (("--apply", "real", "--sim", "sim", "--out", "o"), "must hold a refiner"),
        (("--apply", "real/r1.png", "--sim", "sim", "--out", "o"), "must be a refiner's file"),
        (("--method", "pix2pix", "--sim", "sim", "--real", "real", "--out", "o"), "needs pairs"),
        (("--method", "cut", "--sim", "sim", "--real", "sim", "--out", "o"), "must be different"),
        (
            ("--method", "cut", "--sim", "sim", "--real", "real", "--out", "sim/o"),
            "must lie outside of sim",
        ),
        (
            ("--method", "cut", "--sim", "sim", "--real", "real", "--out", "o", "--device", "gpu"),
            "must be auto, cpu, mps, cuda or cuda:N, got 'gpu'",
        ),
        (("x.yaml", "--seed", "3"), "--seed does not go with EXPERIMENT.yaml; an experiment's"),
        (("x.yaml", "--resume"), "with: metasim train --resume RUN_DIR"),
        (("--apply", "r", "--sim", "sim", "--out", "o", "--real", "real"), "--real does not go"),
        (("--export", "r", "--out", "o", "--size", "8x8"), "--size does not go with --export"),
    ],
)
def test_mistakes_are_told(
    metasim: Command,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = metasim("refine", *words)
    assert answer.code == 2
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "o" / "refine.json").exists()


def test_bad_pictures_are_named(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    sim, real = folders
    (real / "r3.png").write_bytes((real / "r3.png").read_bytes()[:60])
    answer = refine(metasim, sim, real, tmp_path / "o")
    assert answer.code == 2
    assert "r3.png cannot be read" in answer.err
    shutil.rmtree(real)
    save_images(real, squares(4, "real", size=16), list("abcd"))
    assert "16 x 16 pixels" in refine(metasim, sim, real, tmp_path / "o").err
    assert refine(metasim, sim, real, tmp_path / "o", "--size", "16x16").code == 0


def test_a_number_that_is_none_ends_it_with_the_checkpoint_kept(
    metasim: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    answer = refine(metasim, *folders, tmp_path / "o", "learning_rate=1e30", "steps=30")
    assert answer.code == 1
    assert "refine.learning_rate" in answer.err


@pytest.mark.slow
def test_the_example_of_folders_runs(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "metasim"
    done = subprocess.run(
        ["sh", ROOT / "experiments" / "refine_folders.sh", tmp_path / "there", *FEW],
        env={**os.environ, "METASIM": str(program), "COUNT": "16"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sim, refined = (
        load_images(tmp_path / "there" / name, (32, 32), resize=False)
        for name in ("more/images", "refined")
    )
    assert sim.names == refined.names
    assert len(sim.names) == 16
    assert not np.array_equal(sim.images, refined.images)
