"""Meshes that are written come back; other programs' files are read; damaged ones are told."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasim.errors import DataError
from metasim_blender.ply import PlyMesh, decode_ply, encode_ply, read_ply, write_ply
from metasim_blender.plytable import read_table

VERTICES = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0.5]], np.float32)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 8, 9]], np.uint8)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.arange(12, dtype=np.float32).reshape(2, 3, 2) / 12
WHOLE = PlyMesh(VERTICES, FACES, COLOURS, UV, "skin of it.png")

SQUARE = """ply
format ascii 1.0
comment VCGLIB generated
comment TextureFile skin.png
obj_info num_cols 1
element vertex 4
property float x
property float y
property float z
property float nx
property uchar red
property uchar green
property uchar blue
property uchar alpha
property float texture_u
property float texture_v
element face 1
property list uchar int vertex_indices
element edge 2
property int vertex1
property int vertex2
end_header
0 0 0 0 255 0 0 255 0 0
10 0 0 0 0 255 0 255 1 0
10 10 0 0 0 0 255 255 1 1
0 10 0.5 0 7 8 9 255 0 1
4 0 1 2 3
0 1
1 2
"""


def same(one, other):
    for field in ("vertices", "faces", "colours", "uv"):
        a, b = getattr(one, field), getattr(other, field)
        if a is None or b is None:
            assert a is b, field
            continue
        assert a.dtype == b.dtype, field
        np.testing.assert_array_equal(a, b, field)
    assert one.texture == other.texture


@pytest.mark.parametrize("colours", [None, COLOURS])
@pytest.mark.parametrize(("uv", "texture"), [(None, ""), (UV, "skin of it.png"), (UV, "")])
def test_what_is_written_is_read(tmp_path, colours, uv, texture):
    mesh = PlyMesh(VERTICES, FACES, colours, uv, texture)
    write_ply(tmp_path / "mesh.ply", mesh, ["made of two triangles"])
    same(read_ply(tmp_path / "mesh.ply"), mesh)


@given(
    st.integers(3, 40).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(
                st.lists(st.integers(0, count - 1), min_size=3, max_size=3), min_size=1, max_size=20
            ),
            st.integers(0, 2**32 - 1),
        )
    )
)
def test_any_mesh_comes_back_bit_for_bit(drawn):
    count, faces, seed = drawn
    rng = np.random.default_rng(seed)
    vertices = rng.normal(0, 100, (count, 3)).astype(np.float32)
    colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    mesh = PlyMesh(vertices, np.array(faces, np.int32), colours)
    same(decode_ply(encode_ply(mesh)), mesh)


def test_a_file_of_bytes_has_the_layout_that_others_read():
    data = encode_ply(PlyMesh(VERTICES, FACES, COLOURS))
    head, _, body = data.partition(b"end_header\n")
    assert head.startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert body[:15] == struct.pack("<3f3B", 0, 0, 0, 255, 0, 0)
    assert body[4 * 15 :] == struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 2, 3)


# --- files of other programs --------------------------------------------------------------


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_text_is_read_and_polygons_become_triangles(ends):
    mesh = decode_ply(SQUARE.replace("\n", ends).encode())
    places = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    same(mesh, PlyMesh(VERTICES, FACES, COLOURS, places[FACES], "skin.png"))


@pytest.mark.parametrize(("form", "order"), [("little", "<"), ("big", ">")])
def test_bytes_of_either_order_with_polygons_of_several_sizes_are_read(form, order):
    head = (
        f"ply\nformat binary_{form}_endian 1.0\nelement vertex 4\nproperty double x\n"
        "property double y\nproperty double z\nelement face 2\n"
        "property uchar flags\nproperty list uchar uint vertex_index\n"
        "property list uchar float texcoord\nend_header\n"
    )
    body = b"".join(struct.pack(f"{order}3d", *vertex) for vertex in VERTICES.tolist())
    body += struct.pack(f"{order}BB3IB6f", 1, 3, 1, 2, 3, 6, *range(6))
    body += struct.pack(f"{order}BB4IB8f", 2, 4, 0, 1, 2, 3, 8, *range(8))
    mesh = decode_ply(head.encode() + body)
    uv = np.array(
        [[[0, 1], [2, 3], [4, 5]], [[0, 1], [2, 3], [4, 5]], [[0, 1], [4, 5], [6, 7]]], np.float32
    )
    faces = np.array([[1, 2, 3], [0, 1, 2], [0, 2, 3]], np.int32)
    same(mesh, PlyMesh(VERTICES, faces, None, uv))


@pytest.mark.parametrize("first", range(4))
def test_a_concave_polygon_keeps_its_outline(first):
    """An arrow's head; a fan about most corners would reach beyond it."""
    text = SQUARE.replace("\n10 0 0 0", "\n2 6 0 0").replace("\n0 10 0.5", "\n0 10 0")
    around = " ".join(str((first + i) % 4) for i in range(4))
    mesh = decode_ply(text.replace("4 0 1 2 3", f"4 {around}").encode())
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert (areas > 0).all()
    assert areas.sum() == 30
    places = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    assert (mesh.uv == places[mesh.faces]).all()


def test_a_long_list_takes_no_more_memory_than_its_numbers():
    count = 50_000
    head = "ply\nformat binary_little_endian 1.0\nelement face 2\n"
    head += "property list uint int vertex_indices\nproperty uchar flags\nend_header\n"
    row = struct.pack("<I", count) + np.arange(count, dtype="<i4").tobytes() + b"\7"
    data = head.encode() + row + struct.pack("<I2iB", 2, 3, 4, 8)
    tracemalloc.start()
    try:
        face = read_table(data, "it").elements["face"]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(each) for each in face["vertex_indices"]] == [count, 2]
    assert face["vertex_indices"][0][-1] == count - 1
    assert face["flags"].tolist() == [7, 8]
    assert most < 4 * 8 * count


# --- damage -------------------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused():
    for data in (encode_ply(WHOLE), SQUARE.rstrip().encode()):
        for length in range(len(data) - 1):
            with pytest.raises(DataError):
                decode_ply(data[:length])


@pytest.mark.parametrize("seed", range(300))
def test_a_file_with_bytes_changed_is_read_or_refused_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    data = bytearray(encode_ply(WHOLE) if seed % 2 else SQUARE.encode())
    for place in rng.integers(0, len(data), 3):
        data[place] = rng.integers(0, 256)
    try:
        mesh = decode_ply(bytes(data))
    except DataError:
        return
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < len(mesh.vertices)
    assert np.isfinite(mesh.vertices).all()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ply\n", "plot\n", "begins with 'ply'"),
        ("ascii", "morse", "not understood: 'format morse 1.0'"),
        ("format ascii 1.0\n", "", "name its format"),
        ("property float z", "property half z", "not understood: 'property half z'"),
        ("float y", "float why", "y is missing"),
        ("end_header", "header", "ends with 'end_header'"),
        ("4 0 1 2 3", "4 0 1 2 4", "vertices from 0 to 3, got 4"),
        ("4 0 1 2 3", "4 0 1 2 -1", "vertices from 0 to 3, got -1"),
        ("4 0 1 2 3", "4 0 1 2 2.5", "vertices from 0 to 3, got 2.5"),
        ("4 0 1 2 3", "2 0 1", "at least 3 corners, got 2 in face 0"),
        ("4 0 1 2 3", "-4 0 1 2 3", "1 whole rows of the element 'face'"),
        ("4 0 1 2 3", "nan 0 1 2 3", "1 whole rows of the element 'face'"),
        ("4 0 1 2 3", "4000000000 0 1 2 3", "1 whole rows of the element 'face'"),
        ("element face 1", "element face 9", "9 whole rows of the element 'face'"),
        ("element vertex 4", "element vertex 99999999999", "99999999999 whole rows"),
        ("0 10 0.5", "0 10 nan", "finite numbers"),
        ("0 10 0.5", "0 10 1e300", "finite numbers"),
        ("0 10 0.5", "0 10 half", "must hold numbers"),
        ("7 8 9 255", "7 8 256 255", "whole numbers from 0 to 255 (uchar), got 256"),
        ("7 8 9 255 0 1", "7 8 9 255 0 inf", "finite places in the texture"),
        ("1 2\n", "1 2\n3 4\n", "got 2 numbers more"),
        ("list uchar int vertex_indices", "list uchar int strips", "cloud of points"),
    ],
)
def test_what_is_wrong_is_told(old, new, told):
    assert old in SQUARE
    with pytest.raises(DataError) as caught:
        decode_ply(SQUARE.replace(old, new, 1).encode(), "cup.ply")
    assert told in str(caught.value)
    assert "cup.ply" in str(caught.value)


def test_faces_whose_places_in_the_texture_do_not_match_are_refused():
    data = encode_ply(PlyMesh(VERTICES, FACES, None, UV))
    row = struct.pack("<B3iB", 3, 0, 2, 3, 6)
    assert row in data
    wrong = data.replace(row, row[:-1] + b"\x04")[:-8]
    with pytest.raises(DataError, match="two numbers in 'texcoord' for each"):
        decode_ply(wrong)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_count_beyond_the_file_is_refused_before_memory_is_asked_for(rows):
    """Fewer numbers than bytes are left, but more bytes than those."""
    head = f"ply\nformat binary_little_endian 1.0\nelement face {rows}\n"
    head += "property list uint double vertex_indices\nend_header\n"
    data = head.encode() + struct.pack("<I", 30_000) + bytes(100_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="whole rows of the element 'face'"):
            decode_ply(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100_000


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("digits", [30, 5000])
def test_a_count_of_many_digits_is_refused(form, digits):
    head = f"ply\nformat {form} 1.0\nelement junk 1{'0' * digits}\nend_header\n"
    with pytest.raises(DataError, match=r"cup\.ply .*not understood: 'element junk 10"):
        decode_ply(head.encode(), "cup.ply")


def test_rows_of_nothing_are_passed_over():
    text = SQUARE.replace("element edge", "element junk 99999999999999\nelement edge")
    same(decode_ply(text.encode()), decode_ply(SQUARE.encode()))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the PLY file .*none\.ply"):
        read_ply(tmp_path / "none.ply")
