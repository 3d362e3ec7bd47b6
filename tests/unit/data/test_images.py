"""Folders of pictures: everything a user may put there is read right or told by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from metasim.data import (
    check_varied,
    generate_dataset,
    load_images,
    load_labelled,
    save_images,
)
from metasim.data.pictures import decode
from metasim.errors import DataError

SIZE = (6, 9)


@pytest.fixture
def noise() -> np.ndarray:
    """Four images, uint8 (4, 6, 9, 3)."""
    return np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)


def _load(folder: Path, *, resize: bool = False) -> np.ndarray:
    return load_images(folder, SIZE, resize=resize).images


def test_saved_images_are_loaded_back(tmp_path: Path, noise: np.ndarray) -> None:
    paths = save_images(tmp_path / "new" / "folder", noise, ["b", "a.png", "d.PNG", "c"])
    assert [path.name for path in paths] == ["b.png", "a.png", "d.PNG", "c.png"]
    target = load_images(tmp_path / "new" / "folder", SIZE, resize=False)
    assert target.names == ("a.png", "b.png", "c.png", "d.PNG")
    assert len(target) == 4
    np.testing.assert_array_equal(target.images, noise[[1, 0, 3, 2]])


@pytest.mark.parametrize("name", ["../a", "x/y", "", ".hidden", "a\\b", ".."])
def test_images_are_saved_nowhere_else(tmp_path: Path, noise: np.ndarray, name: str) -> None:
    with pytest.raises(DataError, match="plain file name"):
        save_images(tmp_path / "f", noise[:1], [name])
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("names", [["a"], ["a", "a", "b", "c"], ["a", "a.png", "b", "c"]])
def test_saved_names_must_differ(tmp_path: Path, noise: np.ndarray, names: list[str]) -> None:
    with pytest.raises(DataError, match="4 images must have as many different names"):
        save_images(tmp_path, noise, names)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg", "jp2"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    """Flat colour survives even the lossy formats, within a rounding or two."""
    colours = [(200, 30, 90), (10, 220, 40)]
    for number, colour in enumerate(colours):
        Image.new("RGB", SIZE[::-1], colour).save(tmp_path / f"{number}.{suffix}")
    loaded = _load(tmp_path).astype(int)
    expected = np.broadcast_to(np.array(colours)[:, None, None], loaded.shape)
    np.testing.assert_allclose(loaded, expected, atol=6)


def test_one_level_of_folders(tmp_path: Path, noise: np.ndarray) -> None:
    save_images(tmp_path, noise[:1], ["m"])
    save_images(tmp_path / "a", noise[1:2], ["z"])
    save_images(tmp_path / "n", noise[2:3], ["b"])
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"\0")
    save_images(tmp_path / ".hidden", noise[3:], ["c"])
    target = load_images(tmp_path, SIZE, resize=False)
    assert target.names == ("a/z.png", "m.png", "n/b.png")
    np.testing.assert_array_equal(target.images, noise[[1, 0, 2]])
    save_images(tmp_path / "a" / "deep", noise[3:], ["c"])
    with pytest.raises(DataError, match="a/deep: folders are read one level deep"):
        _load(tmp_path)


def test_grey_is_repeated(tmp_path: Path, noise: np.ndarray) -> None:
    grey = noise[0, ..., 0]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 200).save(tmp_path / "16.tiff")
    Image.fromarray(grey.astype(np.int32) * 256).save(tmp_path / "32.tiff")
    for image in _load(tmp_path):
        np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=2))


def test_one_bit(tmp_path: Path) -> None:
    bits = np.arange(54).reshape(SIZE) % 3 == 0
    Image.fromarray(bits).save(tmp_path / "1.png")
    np.testing.assert_array_equal(_load(tmp_path)[0, ..., 1], bits * np.uint8(255))


def test_deep_colour_keeps_the_upper_bits(tmp_path: Path, noise: np.ndarray) -> None:
    """A 16-bit colour PNG, which pillow cannot write, put together by hand."""
    deep = (noise[0].astype(">u2") << 8) + np.uint16(180)
    rows = b"".join(b"\0" + row.tobytes() for row in deep.astype(">u2"))
    (tmp_path / "deep.png").write_bytes(_png(SIZE[1], SIZE[0], 16, 2, zlib.compress(rows)))
    np.testing.assert_array_equal(_load(tmp_path)[0], noise[0])


def _png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_transparent_parts_are_black(tmp_path: Path, noise: np.ndarray) -> None:
    alpha = np.zeros((*SIZE, 1), np.uint8)
    alpha[2:4] = 255
    alpha[4:] = 51  # a fifth
    Image.fromarray(np.concatenate([noise[0], alpha], axis=2)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([noise[0, ..., :1], alpha], axis=2)).save(tmp_path / "grey.png")
    grey, colour = _load(tmp_path).astype(float)
    expected = noise[0] * (alpha / 255.0)
    np.testing.assert_allclose(colour, expected, atol=1)
    np.testing.assert_allclose(grey, np.repeat(expected[..., :1], 3, axis=2), atol=1)


def test_transparent_palette(tmp_path: Path) -> None:
    palette = Image.new("P", SIZE[::-1], 1)
    palette.putpalette([255, 255, 255, 10, 20, 30])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "p.png", transparency=0)
    image = _load(tmp_path)[0]
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[1, 1].tolist() == [10, 20, 30]


def test_exif_turns_upright(tmp_path: Path, noise: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned right by a quarter
    Image.fromarray(np.ascontiguousarray(np.rot90(noise[0]))).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(_load(tmp_path)[0], noise[0])


def test_other_sizes_are_listed(tmp_path: Path, noise: np.ndarray) -> None:
    save_images(tmp_path, noise, list("abcd"))
    Image.new("RGB", (5, 4)).save(tmp_path / "e.png")
    Image.new("RGB", SIZE).save(tmp_path / "f.png")  # height and width exchanged
    with pytest.raises(DataError) as refused:
        _load(tmp_path)
    message = str(refused.value)
    assert (
        "of 6 x 9 pixels (set resize, or give a size, to fit others); 2 cannot be used" in message
    )
    assert "e.png is 4 x 5 pixels" in message
    assert "f.png is 9 x 6 pixels" in message
    assert "a.png" not in message
    resized = _load(tmp_path, resize=True)
    assert resized.shape == (6, *SIZE, 3)
    np.testing.assert_array_equal(resized[:4], noise)


def test_resizing_does_not_alias(tmp_path: Path) -> None:
    """A fine chequerboard shrinks to its mean; picking single pixels would keep 0 and 255."""
    board = (np.indices((96, 144)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    resized = decode(tmp_path / "board.png", SIZE, resize=True)
    np.testing.assert_allclose(resized[1:-1, 1:-1], 127.5, atol=8)


@pytest.mark.parametrize("load", [load_images, load_labelled])
def test_no_folder(tmp_path: Path, load: Callable[..., object]) -> None:
    with pytest.raises(DataError, match="it does not exist"):
        load(tmp_path / "missing", SIZE, resize=False)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="it is a file"):
        load(tmp_path / "file", SIZE, resize=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it is empty"):
        load(tmp_path / "empty", SIZE, resize=False)


def test_every_bad_file_is_named_at_once(tmp_path: Path, noise: np.ndarray) -> None:
    save_images(tmp_path, noise, list("abcd"))
    whole = (tmp_path / "a.png").read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    bad = {
        "cut.png": whole[:-40],
        "flipped.png": bytes(flipped),
        "notes.txt": b"these are my images",
        "nothing.png": b"",
        "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 6\n",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(np.ones(SIZE, np.float32)).save(tmp_path / "float.tiff")
    (tmp_path / "broken_link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError) as refused:
        _load(tmp_path)
    message = str(refused.value)
    assert "7 cannot be used" in message
    for name in [*bad, "float.tiff", "broken_link.png"]:
        assert f"\n  {name} " in message
    assert "notes.txt is not a picture of a known format" in message
    assert "script.eps is not a picture of a known format" in message


def test_the_list_of_bad_files_is_bounded(tmp_path: Path) -> None:
    for number in range(53):
        (tmp_path / f"{number:02d}.txt").touch()
    with pytest.raises(DataError, match=r"53 cannot be used") as refused:
        _load(tmp_path)
    assert "... and 33 more" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 22


@pytest.mark.parametrize("side", [8193, 12000, 60000])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, side: int) -> None:
    """The header tells a huge picture; its few bytes of data are never looked at."""
    (tmp_path / "bomb.png").write_bytes(_png(side, side, 8, 2, zlib.compress(b"")))
    with pytest.raises(DataError, match=r"bomb\.png has more than 67108864 pixels"):
        _load(tmp_path, resize=True)


def test_a_constant_target_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    for name in "ab":
        Image.new("RGB", SIZE[::-1], (7, 8, 9)).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match=r"all 2 images has the colour \(7, 8, 9\)"):
        _load(tmp_path)
    constant = np.zeros((3, *SIZE, 3), np.uint8)
    with pytest.raises(DataError, match="the target grammar must show something"):
        check_varied(constant, "the target grammar")
    constant[2, 0, 0, 0] = 1
    check_varied(constant, "the target grammar")
    check_varied(np.repeat(noise[:1], 5, axis=0), "five equal images show something")


# --- by class -----------------------------------------------------------------------------


def test_classes_are_folders(tmp_path: Path, noise: np.ndarray) -> None:
    save_images(tmp_path / "mug", noise[:2], ["x", "a"])
    save_images(tmp_path / "bowl", noise[2:], ["q", "r"])
    images, labels, classes = load_labelled(tmp_path, SIZE, resize=False)
    assert classes == ("bowl", "mug")
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(images, noise[[2, 3, 1, 0]])


def test_a_picture_without_class_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    save_images(tmp_path / "mug", noise[:2], ["x", "a"])
    save_images(tmp_path, noise[2:3], ["loose"])
    with pytest.raises(DataError, match=r"loose\.png: must be in a sub-folder named after"):
        load_labelled(tmp_path, SIZE, resize=False)


def test_names_are_all_a_constant_class_needs(tmp_path: Path) -> None:
    """A labelled set may be plain: only targets must vary."""
    save_images(tmp_path / "dark", np.zeros((1, *SIZE, 3), np.uint8), ["a"])
    assert load_labelled(tmp_path, SIZE, resize=False)[2] == ("dark",)


# --- datasets of our own ------------------------------------------------------------------


def _generate(out: Path, rectangles: ModuleType, single: bool, size: tuple[int, int]) -> None:
    generate_dataset(
        out,
        count=9,
        seed=0,
        make_scenes=rectangles.single_scenes if single else rectangles.make_scenes,
        renderer=rectangles.RectangleRenderer(size, depth=True),
        batch_size=4,
    )


def test_a_dataset_is_a_target(tmp_path: Path, rectangles: ModuleType) -> None:
    _generate(tmp_path / "d", rectangles, single=False, size=SIZE)
    target = load_images(tmp_path / "d", SIZE, resize=False)
    drawn = rectangles.RectangleRenderer(SIZE).render(rectangles.make_scenes(range(9)))
    np.testing.assert_array_equal(target.images, drawn.images)
    assert target.names[3] == "images/000003.png"
    assert load_images(tmp_path / "d", (4, 4), resize=True).images.shape == (9, 4, 4, 3)
    (tmp_path / "d" / "manifest.json").unlink()
    (tmp_path / "d" / "coco.json").unlink()
    without = load_images(tmp_path / "d", SIZE, resize=False)
    assert without.names == target.names
    np.testing.assert_array_equal(without.images, target.images)


def test_a_dataset_of_single_instances_is_labelled(tmp_path: Path, rectangles: ModuleType) -> None:
    _generate(tmp_path / "d", rectangles, single=True, size=SIZE)
    images, labels, classes = load_labelled(tmp_path / "d", SIZE, resize=False)
    drawn = rectangles.RectangleRenderer(SIZE).render(rectangles.single_scenes(range(9)))
    np.testing.assert_array_equal(images, drawn.images)
    assert classes == ("bright", "dark")
    assert [classes[label] for label in labels] == [row[0].category for row in drawn.labels]


def test_a_dataset_of_several_instances_has_no_classes(
    tmp_path: Path, rectangles: ModuleType
) -> None:
    _generate(tmp_path / "d", rectangles, single=False, size=SIZE)
    with pytest.raises(DataError, match="exactly one instance"):
        load_labelled(tmp_path / "d", SIZE, resize=False)


def test_an_unfinished_dataset_is_no_target(tmp_path: Path, rectangles: ModuleType) -> None:
    _generate(tmp_path / "d", rectangles, single=True, size=SIZE)
    (tmp_path / "d" / "manifest.json").rename(tmp_path / "d" / ".metasim-dataset.json")
    with pytest.raises(DataError, match="unfinished"):
        load_images(tmp_path / "d", SIZE, resize=False)


def test_a_dataset_cannot_name_pictures_elsewhere(
    tmp_path: Path, rectangles: ModuleType, relabel: Callable[..., None]
) -> None:
    _generate(tmp_path / "d", rectangles, single=True, size=SIZE)
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "other.png")
    manifest = tmp_path / "d" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("images/000004.png", "../other.png"))
    relabel(tmp_path / "d", lambda labels: labels.replace("images/000004.png", "../other.png"))
    for load in (load_images, load_labelled):
        with pytest.raises(DataError, match="below the dataset's folder"):
            load(tmp_path / "d", SIZE, resize=False)


def test_decoding_ignores_frames_after_the_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", SIZE[::-1], colour) for colour in ((200, 0, 0), (0, 200, 0))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.gif").write_bytes(buffer.getvalue())
    assert decode(tmp_path / "a.gif", SIZE, resize=False)[0, 0].tolist() == [200, 0, 0]
