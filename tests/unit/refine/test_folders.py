from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metasim.data.images import save_images
from metasim.errors import DataError
from metasim.refine.folders import read_folders


def pictures(
    folder: Path, names: list[str], start: int = 0, size: tuple[int, int] = (6, 8)
) -> Path:
    """Pictures of which each has a grey of its own."""
    grey = np.arange(start, start + len(names), dtype=np.uint8)[:, None, None, None]
    images = grey * np.ones((len(names), *size, 3), np.uint8)
    images[:, 0, 0] = 255
    save_images(folder, images, names)
    return folder


def test_two_folders_are_read_and_what_is_simulated_is_refined(tmp_path: Path) -> None:
    sim = pictures(tmp_path / "sim", ["b.png", "a.png"])
    real = pictures(tmp_path / "real", ["x.png", "y.png", "z.png"], 9)
    found = read_folders(sim, real)
    assert (found.sim.names, found.real.names) == (("a.png", "b.png"), ("x.png", "y.png", "z.png"))
    assert found.test is found.sim
    assert found.sim.images[:, 1, 1, 0].tolist() == [1, 0]


@pytest.mark.parametrize("test", [True, False])
def test_the_layout_of_cyclegan_is_understood(tmp_path: Path, test: bool) -> None:
    pictures(tmp_path / "trainA", ["a.png"])
    pictures(tmp_path / "trainB", ["b.png", "c.png"], 5)
    pictures(tmp_path / "testB", ["e.png"], 50)
    if test:
        pictures(tmp_path / "testA", ["d.png", "f.png"], 20)
    for real in (tmp_path, tmp_path / "trainB"):
        found = read_folders(tmp_path, real)
        assert found.sim.names == ("a.png",)
        assert found.real.names == ("b.png", "c.png")
        assert found.test.names == (("d.png", "f.png") if test else ("a.png",))


def test_all_are_brought_to_a_size_that_is_given(tmp_path: Path) -> None:
    sim = pictures(tmp_path / "sim", ["a.png"], size=(6, 8))
    pictures(sim, ["b.png"], size=(9, 5))
    real = pictures(tmp_path / "real", ["a.png"], size=(30, 40))
    assert read_folders(sim, real, size=(12, 16)).sim.images.shape == (2, 12, 16, 3)
    with pytest.raises(DataError, match=r"b.png is 9 x 5 pixels"):
        read_folders(sim, real)


def test_pairs_are_found_by_their_names(tmp_path: Path) -> None:
    sim = pictures(tmp_path / "sim", ["a.png", "b.png"])
    real = pictures(tmp_path / "real", ["b.png"], 9)
    Image.fromarray(np.full((6, 8, 3), 77, np.uint8)).save(real / "a.bmp")
    found = read_folders(sim, real, paired=True)
    assert found.real.images[:, 1, 1, 0].tolist() == [77, 9]
    pictures(sim, ["only.png"])
    pictures(real, ["other.png"])
    with pytest.raises(DataError, match=r"1 in sim alone \(only\); 1 in real alone \(other\)"):
        read_folders(sim, real, paired=True)
    assert len(read_folders(sim, real).sim) == 3


def test_halves_side_by_side_are_taken_apart(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    both = np.zeros((6, 16, 3), np.uint8)
    both[:, :8], both[:, 8:] = 50, 200
    Image.fromarray(both).save(folder / "a.png")
    found = read_folders(folder, folder, paired=True)
    assert (found.sim.images == 50).all()
    assert (found.real.images == 200).all()
    assert read_folders(folder, folder, paired=True, size=(4, 4)).sim.images.shape == (1, 4, 4, 3)
    with pytest.raises(DataError, match=r"must be different, or hold trainA and trainB"):
        read_folders(folder, folder)
    Image.fromarray(both[:, :15]).save(folder / "a.png")
    with pytest.raises(DataError, match="an even width, got 15"):
        read_folders(folder, folder, paired=True)


def test_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    sim = pictures(tmp_path / "sim", ["a.png"])
    with pytest.raises(DataError, match="must be a folder of pictures; it does not exist"):
        read_folders(tmp_path / "none", sim)
    with pytest.raises(DataError, match="must be a folder of pictures; it does not exist"):
        read_folders(sim, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="must hold pictures"):
        read_folders(tmp_path / "empty", sim)
    (sim / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b.png is not a picture"):
        read_folders(sim, pictures(tmp_path / "real", ["a.png"]))


def test_a_picture_that_lies_on_its_side_has_the_size_that_it_is_read_with(tmp_path: Path) -> None:
    sim = tmp_path / "sim"
    sim.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(noise).save(sim / "a.jpg", exif=exif)
    real = pictures(tmp_path / "real", ["a.png"], size=(8, 6))
    assert read_folders(sim, real).sim.images.shape == (1, 8, 6, 3)
