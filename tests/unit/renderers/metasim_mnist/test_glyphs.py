"""Where glyphs come from: the bundled digits, IDX files, folders of images, and their halves."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from metasim.errors import DataError
from metasim_mnist import MnistRenderer
from metasim_mnist.glyphs import BOX, load_glyphs
from metasim_mnist.idx import read_idx

REAL_MNIST = Path(__file__).parents[5] / "shared" / "data" / "mnist"


def idx_bytes(array):
    array = np.asarray(array, np.uint8)
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def pictures(count, side=BOX, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def write_idx(folder, images, labels, prefix="", end=""):
    pack = gzip.compress if end == ".gz" else bytes
    (folder / f"{prefix}images-idx3-ubyte{end}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{prefix}labels-idx1-ubyte{end}").write_bytes(pack(idx_bytes(labels)))


def rows_of(glyphs):
    return {image.tobytes() for image in glyphs.images}


# --- bundled digits -----------------------------------------------------------------------


def test_bundled_digits_are_all_there_centred_and_of_mnists_size():
    glyphs = load_glyphs("digits")
    assert glyphs.classes == tuple("0123456789")
    assert glyphs.counts.sum() == len(glyphs.images) == 1797
    ink = glyphs.images.astype(float)
    middle = np.arange(BOX) - (BOX - 1) / 2
    assert np.abs((ink.sum(1) @ middle) / ink.sum((1, 2))).max() < 0.3
    assert np.abs((ink.sum(2) @ middle) / ink.sum((1, 2))).max() < 0.3
    heights = (ink.max(2) > 64).sum(1)
    assert 18 <= np.median(heights) <= 21
    assert ink.max() == 255


def test_bundled_digits_are_the_pictures_scikit_learn_has():
    digits = load_digits()
    glyphs = load_glyphs("digits")
    for name in range(10):
        cells = digits.images[digits.target == name]
        start, count = glyphs.starts[name], glyphs.counts[name]
        ink = glyphs.images[start : start + count].sum((1, 2)) / 255
        # A cell is 20 / 8 pixels wide and holds up to 16.
        np.testing.assert_allclose(ink, cells.sum((1, 2)) / 16 * (20 / 8) ** 2, rtol=0.06)


# --- halves -------------------------------------------------------------------------------


def test_halves_are_disjoint_even_and_hold_every_class():
    whole, source, target = (load_glyphs("digits", s) for s in ("all", "source", "target"))
    assert source.classes == target.classes == whole.classes
    assert not rows_of(source) & rows_of(target)
    assert rows_of(source) | rows_of(target) == rows_of(whole)
    assert (np.abs(source.counts - target.counts) <= 1).all()
    np.testing.assert_array_equal(source.images, load_glyphs("digits", "source").images)


def test_equal_pictures_do_not_end_up_in_both_halves(tmp_path):
    once = pictures(3)
    write_idx(tmp_path, np.concatenate([once, once[:1], once]), [0] * 7)
    source, target = load_glyphs(tmp_path, "source"), load_glyphs(tmp_path, "target")
    assert not rows_of(source) & rows_of(target)
    assert len(source.images) + len(target.images) == 3


def test_a_class_that_cannot_be_halved_is_named(tmp_path):
    write_idx(tmp_path, pictures(3), [1, 1, 8])
    with pytest.raises(DataError, match="class '8' must have at least 2"):
        load_glyphs(tmp_path, "target")


def test_an_unknown_half_is_refused():
    with pytest.raises(DataError, match="'source' or 'target'"):
        load_glyphs("digits", "train")


# --- IDX ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "train-", "t10k-"])
def test_idx_files_are_read_raw_and_packed(tmp_path, prefix, end):
    images, labels = pictures(6), [4, 2, 4, 4, 2, 9]
    write_idx(tmp_path, images, labels, prefix, end)
    glyphs = load_glyphs(tmp_path)
    assert glyphs.classes == ("2", "4", "9")
    assert glyphs.counts.tolist() == [2, 3, 1]
    np.testing.assert_array_equal(glyphs.images, images[[1, 4, 0, 2, 3, 5]])


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_called_plainly_images_and_labels_are_read(tmp_path, end):
    images = pictures(3)
    pack = gzip.compress if end else bytes
    (tmp_path / f"images{end}").write_bytes(pack(idx_bytes(images)))
    with pytest.raises(DataError, match=r"put labels"):
        load_glyphs(tmp_path)
    (tmp_path / f"labels{end}").write_bytes(pack(idx_bytes([5, 5, 3])))
    glyphs = load_glyphs(tmp_path)
    assert glyphs.classes == ("3", "5")
    np.testing.assert_array_equal(glyphs.images, images[[2, 0, 1]])


def test_train_and_test_files_are_used_together(tmp_path):
    write_idx(tmp_path, pictures(2), [0, 1], "train-")
    write_idx(tmp_path, pictures(3, seed=1), [0, 1, 1], "t10k-", ".gz")
    assert load_glyphs(tmp_path).counts.tolist() == [2, 3]


def test_idx_pictures_of_other_sizes_are_fitted(tmp_path):
    write_idx(tmp_path, np.full((2, 14, 14), 255), [0, 1])
    glyphs = load_glyphs(tmp_path)
    assert glyphs.images.shape == (2, BOX, BOX)
    assert (glyphs.images == 255).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x00\x08", "ends within its header"),
        (idx_bytes(np.zeros(10)), "3 dimension"),
        (b"\x00\x00\x0d\x03" + bytes(12), "unsigned bytes"),
        (idx_bytes(pictures(2))[:-5], "only 1563"),
        (idx_bytes(pictures(2)) + b"\x00", "got more"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2, 2), "declares the shape"),
        (b"PK not an idx file, not at all", "unsigned bytes"),
    ],
)
def test_malformed_idx_files_are_named(tmp_path, content, said):
    write_idx(tmp_path, pictures(2), [0, 1])
    wrong = tmp_path / "images-idx3-ubyte"
    wrong.write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        load_glyphs(tmp_path)
    assert str(wrong) in str(error.value)


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-20], lambda b: b"\x1f\x8b" + b[2:9], lambda _: b"x"]
)
def test_spoilt_gz_files_are_named(tmp_path, spoil):
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(spoil(gzip.compress(idx_bytes(pictures(4)))))
    with pytest.raises(DataError, match=r"images-idx3-ubyte\.gz"):
        read_idx(path, 3)


def test_missing_or_too_few_labels_are_named(tmp_path):
    write_idx(tmp_path, pictures(3), [0, 1])
    with pytest.raises(DataError, match="2 labels for 3 images"):
        load_glyphs(tmp_path)
    (tmp_path / "labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="labels-idx1-ubyte"):
        load_glyphs(tmp_path)


def test_idx_files_of_no_images_are_refused(tmp_path):
    write_idx(tmp_path, np.zeros((0, 28, 28)), [])
    with pytest.raises(DataError, match="at least one image"):
        load_glyphs(tmp_path)


def test_real_mnist_is_read_and_drawn():
    if not REAL_MNIST.is_dir():
        pytest.skip("the real MNIST is not beside the project")
    glyphs = load_glyphs(REAL_MNIST)
    assert glyphs.classes == tuple("0123456789")
    assert 0.1 < glyphs.images.mean() / 255 < 0.16  # MNIST's well-known mean is 0.13
    assert MnistRenderer(glyphs=REAL_MNIST, split="target").image_size == (32, 32)


# --- images by class ----------------------------------------------------------------------


def save(path, pixels, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(path)


def test_a_folder_of_images_by_class(tmp_path):
    first, second = pictures(2) // 2
    first[[0, -1]] = 0
    second[[0, -1]] = 0
    first[:, [0, -1]] = 0
    second[:, [0, -1]] = 0
    save(tmp_path / "alpha" / "b.png", second)
    save(tmp_path / "alpha" / "a.png", first)
    save(tmp_path / "10" / "x.png", first)
    save(tmp_path / "9" / "x.png", second)
    (tmp_path / "alpha" / ".DS_Store").write_bytes(b"?")
    (tmp_path / "Thumbs.db").write_bytes(b"?")
    glyphs = load_glyphs(tmp_path)
    assert glyphs.classes == ("9", "10", "alpha")
    np.testing.assert_array_equal(glyphs.images, [second, first, first, second])
    assert glyphs.codes[10] == glyphs.codes["10"] == 1


def test_ink_on_paper_and_transparent_pictures_become_bright_strokes(tmp_path):
    stroke = np.zeros((BOX, BOX), np.uint8)
    stroke[8:20, 12:16] = 255
    save(tmp_path / "a" / "ink.png", 255 - stroke)
    ink = np.zeros((BOX, BOX, 4), np.uint8)
    ink[..., 3] = stroke
    save(tmp_path / "a" / "transparent.png", ink, "RGBA")
    save(tmp_path / "a" / "white.png", stroke)
    for image in load_glyphs(tmp_path).images:
        np.testing.assert_array_equal(image, stroke)


@pytest.mark.parametrize("paper", [0, 255])
@pytest.mark.parametrize("clear", [(2, 3), (0, 0), (9, 13)])
def test_a_few_transparent_pixels_are_no_stroke(tmp_path, paper, clear):
    stroke = np.zeros((BOX, BOX), np.uint8)
    stroke[8:20, 12:16] = 255
    picture = np.full((BOX, BOX, 4), 255, np.uint8)
    picture[..., :3] = np.abs(paper - stroke.astype(int))[..., None]
    picture[clear] = 0
    save(tmp_path / "a" / "hole.png", picture, "RGBA")
    stroke[clear] = 0
    np.testing.assert_array_equal(load_glyphs(tmp_path).images[0], stroke)


@pytest.mark.parametrize(
    "colour", [(0, 0, 0, 255), (255, 255, 255, 255), (250, 250, 250, 255), (0, 0, 0, 0)]
)
def test_a_picture_without_a_stroke_is_named(tmp_path, colour):
    save(tmp_path / "a" / "good.png", pictures(1)[0])
    save(tmp_path / "a" / "bare.png", np.full((BOX, BOX, 4), colour), "RGBA")
    with pytest.raises(DataError, match=r"a/bare\.png shows no stroke; draw one"):
        load_glyphs(tmp_path)


def test_pictures_that_are_not_square_keep_their_shape(tmp_path):
    save(tmp_path / "bar" / "a.png", np.pad(np.full((8, 54), 255), 1))
    image = load_glyphs(tmp_path).images[0]
    rows, columns = np.nonzero(image > 128)
    assert np.ptp(columns) + 1 >= 26
    assert np.ptp(rows) + 1 in (4, 5)
    assert abs(rows.mean() - 13.5) <= 0.5


@pytest.mark.parametrize("content", [b"not an image", b"", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    save(tmp_path / "a" / "good.png", pictures(1)[0])
    (tmp_path / "a" / "wrong.png").write_bytes(content)
    with pytest.raises(DataError, match=r"wrong\.png"):
        load_glyphs(tmp_path)


def test_a_truncated_image_is_named(tmp_path):
    save(tmp_path / "a" / "cut.png", pictures(1, 64)[0])
    whole = (tmp_path / "a" / "cut.png").read_bytes()
    (tmp_path / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.png"):
        load_glyphs(tmp_path)


def test_all_that_is_no_image_of_a_class_is_told_at_once(tmp_path):
    save(tmp_path / "a" / "good.png", pictures(1)[0])
    (tmp_path / "a" / "one.png").write_bytes(b"?")
    save(tmp_path / "a" / "deeper" / "x.png", pictures(1)[0])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.png").write_bytes(b"?")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not a class")
    with pytest.raises(DataError) as error:
        load_glyphs(tmp_path)
    first, *told = str(error.value).splitlines()
    assert first.startswith(f"{tmp_path} must hold nothing but")
    assert first.endswith("5 cannot be used:")
    assert [line.split()[0] for line in told] == [
        "notes.txt",
        "a/deeper",
        "a/one.png",
        "b/two.png",
        "empty",
    ]


def test_very_many_bad_images_are_counted(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(25):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"?")
    with pytest.raises(DataError, match="25 cannot be used") as error:
        load_glyphs(tmp_path)
    assert str(error.value).endswith("\n  ... and 5 more")


def test_large_and_deep_pictures_are_refused(tmp_path):
    save(tmp_path / "big" / "a.png", np.zeros((4, 1100)))
    with pytest.raises(DataError, match="at most 1024"):
        load_glyphs(tmp_path)
    (tmp_path / "big" / "a.png").unlink()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "big" / "deep.png")
    with pytest.raises(DataError, match="8 bits"):
        load_glyphs(tmp_path)


def test_folders_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(DataError, match="not there"):
        load_glyphs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="one sub-folder of images"):
        load_glyphs(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a file"):
        load_glyphs(tmp_path / "file")
    (tmp_path / "class").mkdir()
    with pytest.raises(DataError, match="at least one image"):
        load_glyphs(tmp_path)


# --- what is imported ---------------------------------------------------------------------


def test_a_worker_without_torch_can_draw_and_check():
    code = """
import sys
for blocked in ("torch", "PIL"):
    sys.modules[blocked] = None
from metasim.scene import SceneGrammar
from metasim.testing import check_renderer
from metasim_mnist import MnistRenderer
grammar = SceneGrammar.model_validate(MnistRenderer.example)
results = check_renderer(MnistRenderer, grammar)
assert all(result.passed for result in results), results
assert "sklearn" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
