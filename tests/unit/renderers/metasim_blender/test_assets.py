"""Models of a user's own, and pictures: what is read, in which unit, and what is refused."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from metasim.errors import DataError, PluginError
from metasim_blender.assets import find_textures, load_models, model_names
from metasim_blender.model import Surface
from metasim_blender.obj import read_obj

TETRAHEDRON = [(0, 0, 0), (2, 0, 0), (0, 1, 0), (0, 0, 3)]
FACES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def load(path, **more):
    return load_models({"it": {"file": str(path), **more} if more else str(path)})["it"]


def volume(model):
    a, b, c = np.moveaxis(model.vertices[model.faces], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def obj(faces="f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"):
    return "".join("v {} {} {}\n".format(*v) for v in TETRAHEDRON) + faces


def ply():
    rows = [" ".join(map(str, v)) for v in TETRAHEDRON] + ["3 {} {} {}".format(*f) for f in FACES]
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    head += "property float z\nelement face 4\nproperty list uchar int vertex_indices\nend_header\n"
    return head + "\n".join(rows) + "\n"


def glb(change=None, node=None, image=None, **attributes):
    """A GLB file of the tetrahedron; ``change`` gets the JSON before it is written."""
    arrays = [np.array(TETRAHEDRON, "<f4"), np.array(FACES, "<u2").reshape(-1, 1)]
    arrays += attributes.values()
    data, views, accessors = b"", [], []
    for array in arrays:
        kind = {"f": 5126, "u": {1: 5121, 2: 5123}.get(array.itemsize)}[array.dtype.kind]
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        accessors.append({
            "bufferView": len(views) - 1, "componentType": kind, "count": len(array),
            "type": {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[array.shape[1]],
            "normalized": kind == 5121,
        })  # fmt: skip
        data += array.tobytes() + b"\0" * (-array.nbytes % 4)
    said = {"POSITION": 0, **{name: 2 + i for i, name in enumerate(attributes)}}
    whole = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **(node or {})}],
        "meshes": [{"primitives": [{"attributes": said, "indices": 1}]}],
        "accessors": accessors, "bufferViews": views,
    }  # fmt: skip
    if image is not None:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(image)})
        data += image + b"\0" * (-len(image) % 4)
        whole |= {"images": [{"bufferView": len(views) - 1}], "textures": [{"source": 0}]}
        about = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.25}
        whole["materials"] = [{"pbrMetallicRoughness": about}]
        whole["meshes"][0]["primitives"][0]["material"] = 0
    whole["buffers"] = [{"byteLength": len(data)}]
    if change is not None:
        change(whole)
    text = json.dumps(whole).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(data), 0x004E4942) + data
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


# --- units and axes -----------------------------------------------------------------------


def test_ply_is_in_millimetres_with_z_up(written):
    model = load(written("it.ply", ply()))
    np.testing.assert_allclose(model.vertices, np.array(TETRAHEDRON) / 1000, rtol=1e-6)
    assert volume(model) == pytest.approx(1e-9)


@pytest.mark.parametrize(("name", "content"), [("it.obj", obj()), ("it.GLB", glb())])
def test_obj_and_glb_are_in_metres_with_y_up(written, name, content):
    model = load(written(name, content))
    np.testing.assert_allclose(model.vertices, [(x, -z, y) for x, y, z in TETRAHEDRON])
    assert volume(model) == pytest.approx(1)


def test_unit_and_axis_may_be_said(written):
    model = load(written("it.obj", obj()), unit="cm", up="z")
    np.testing.assert_allclose(model.vertices, np.array(TETRAHEDRON) / 100)
    model = load(written("it.ply", ply()), unit="m")
    np.testing.assert_allclose(model.vertices, np.array(TETRAHEDRON))


def test_vertices_that_no_face_has_do_not_count(written):
    """They would put the model above the table."""
    model = load(written("it.obj", "v 0 -9 0\n" + obj("f 2 4 3\nf 2 3 5\nf 2 5 4\nf 3 4 5\n")))
    assert len(model.vertices) == 4
    assert model.vertices[:, 2].min() == 0


def test_faces_with_a_corner_twice_are_left_out(written):
    """Blender would crash on them, or move what its corners are told."""
    whole = load(written("it.obj", obj()))
    text = obj("f 1 1 2\nf 1 3 2\nf 1 2 4\nf 3 3 3\nf 1 4 3\nf 2 3 4\n")
    model = load(written("it.obj", text))
    assert (model.faces == whole.faces).all()
    assert len(model.surface_of) == 4
    with pytest.raises(DataError, match="has no faces"):
        load(written("it.obj", obj("f 1 1 2\n")))


def test_built_in_models_can_be_chosen(written):
    found = load_models({"mug": "builtin", "it": written("it.ply", ply())})
    assert list(found) == ["mug", "it"]
    assert set(load_models("builtin")) == set(model_names())
    for model in load_models("builtin").values():
        assert 0.08 < np.ptp(model.vertices, axis=0).max() < 0.5
        assert abs(model.vertices[:, 2].min()) < 1e-6


# --- OBJ ----------------------------------------------------------------------------------


def test_obj_with_polygons_places_normals_and_colours(written):
    text = (
        "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 0.5 0.5 0.5\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\nf -4/1/1 -3/2/1 -2/3/1 -1/4/1\n"
    )
    model = read_obj(written("it.obj", text))
    assert model.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert model.uv.tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]
    assert (model.normals == [0, 0, 1]).all()
    np.testing.assert_allclose(model.colours[1, 2], [0.214] * 3, atol=1e-3)


def test_obj_with_materials(written):
    written("it.mtl", "newmtl dull\nKd 0.5 0.25 0\nPr 0.9\nnewmtl shown\nmap_Kd -s 1 1 1 a b.png\n")
    picture = written("a b.png", PNG)
    text = obj("usemtl shown\nf 1 3 2\nf 1 2 4\nusemtl dull\nf 1 4 3\nf 2 3 4\n")
    model = read_obj(written("it.obj", "mtllib it.mtl\n" + text))
    assert model.surfaces == (Surface(picture=picture), Surface((0.5, 0.25, 0.0), roughness=0.9))
    assert model.surface_of.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("f 1 2\n", "it.obj:1 is no line"),
        (obj("f 1 2 five\n"), "it.obj:5"),
        (obj("f 1 2 0\n"), "it.obj:5"),
        (obj("f 1 2 5\n"), "names number 5; is the file complete"),
        (obj("f 1/1 2/2 3/3\n"), "place in the picture"),
        (obj(""), "has no faces"),
        ("mtllib gone.mtl\n" + obj(), "'gone.mtl', which must be in its folder"),
        ("mtllib ../it.mtl\n" + obj(), "must be in its folder or below"),
        ("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "finite"),
        ("vt inf 0\n" + obj("f 1/1 2/1 3/1\n"), "finite"),
        (b"\xff\xfe\x00binary", "has no faces"),
    ],
)
def test_a_wrong_obj_is_refused(written, content, told):
    with pytest.raises(DataError, match=told):
        load(written("it.obj", content))


def test_a_material_that_is_nowhere_is_refused(written):
    written("it.mtl", "newmtl other\nKd 1 1\n")
    with pytest.raises(DataError, match="'other' is wrong"):
        load(written("it.obj", "mtllib it.mtl\n" + obj()))
    written("it.mtl", "newmtl other\nKd 1 1 1\n")
    with pytest.raises(DataError, match="uses the material 'red'"):
        load(written("it.obj", "mtllib it.mtl\nusemtl red\n" + obj()))


# --- GLB ----------------------------------------------------------------------------------


def test_glb_with_a_node_that_moves_turns_and_scales(written):
    node = {"translation": [1, 2, 3], "rotation": [0, 0.5**0.5, 0, 0.5**0.5], "scale": [2, 2, 2]}
    model = load(written("it.glb", glb(node=node)), up="z")
    x, y, z = np.array(TETRAHEDRON, float).T * 2
    np.testing.assert_allclose(model.vertices, np.stack([z + 1, y + 2, 3 - x], -1), atol=1e-6)
    assert volume(model) == pytest.approx(8)


def test_glb_that_is_mirrored_keeps_its_outside(written):
    mirror = np.diag([-1.0, 1, 1, 1]).T.ravel().tolist()
    assert volume(load(written("it.glb", glb(node={"matrix": mirror})))) == pytest.approx(1)


def test_glb_with_normals_places_colours_and_a_picture(written):
    more = {
        "NORMAL": np.tile(np.array([[0, 1, 0]], "<f4"), (4, 1)),
        "TEXCOORD_0": np.array([[0, 0], [1, 0], [0, 1], [1, 1]], "<f4"),
        "COLOR_0": np.array([[255, 0, 51, 255]] * 4, "u1"),
    }
    model = load(written("it.glb", glb(image=PNG, **more)))
    np.testing.assert_allclose(model.normals, np.broadcast_to([0, 0, 1], (4, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(model.uv[0], [[0, 1], [0, 0], [1, 1]])
    np.testing.assert_allclose(model.colours[0, 0], [1, 0, 0.2])
    assert model.surfaces == (Surface(picture=PNG, roughness=1.0, metallic=0.25),)


def test_glb_with_strips_and_fans(written):
    def stripped(mode):
        def change(whole):
            whole["meshes"][0]["primitives"] = [{"attributes": {"POSITION": 0}, "mode": mode}]

        return change

    strip, fan = (load(written(f"{m}.glb", glb(stripped(m)))).faces.tolist() for m in (5, 6))
    assert strip == [[0, 1, 2], [2, 1, 3]]
    assert fan == [[0, 1, 2], [0, 2, 3]]


def _put(*way):
    def change(whole):
        *steps, last, value = way
        for step in steps:
            whole = whole[step]
        whole[last] = value

    return change


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"glTF", "does not begin as one"),
        (b"{}" * 20, "does not begin as one"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "version 2, got 1"),
        (glb()[:-30], "is it complete"),
        (glb(_put("extensionsRequired", ["KHR_draco_mesh_compression"])), "KHR_draco"),
        (glb(_put("accessors", 0, "count", 1000)), "ends before"),
        (glb(_put("bufferViews", 0, "byteLength", 10**6)), "ends before"),
        (glb(_put("accessors", 0, "componentType", 7)), "is damaged"),
        (glb(_put("nodes", 0, "children", [0])), "below itself"),
        (glb(_put("meshes", 0, "primitives", 0, "mode", 1)), "has none"),
        (glb(_put("buffers", 0, {"uri": "other.bin"})), "as one GLB"),
        (glb(_put("accessors", 0, "sparse", {})), "sparse"),
        (glb(_put("accessors", 0, "count", 2)), "beyond the last"),
    ],
)
def test_a_wrong_glb_is_refused(written, content, told):
    with pytest.raises(DataError, match=told):
        load(written("it.glb", content))


# --- what the options may say -------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("bultin", "'builtin', or name: file"),
        ({}, "name: file"),
        ({"mugg": "builtin"}, "did you mean 'mug'"),
        ({"it": 3}, "a file, or"),
        ({"it": {"unit": "mm"}}, "a file, or"),
        ({"it": {"file": "it.ply", "colour": "red"}}, "a file, or"),
        ({"it": {"file": "it.ply", "unit": "inch"}}, "m, cm, mm"),
        ({"it": {"file": "it.ply", "up": "x"}}, "up of y or z"),
    ],
)
def test_a_wrong_option_is_refused(said, told):
    with pytest.raises(PluginError, match=told):
        load_models(said)


def test_a_model_that_is_not_there_or_of_another_kind_is_refused(tmp_path, written):
    with pytest.raises(DataError, match=r"gone\.ply is not"):
        load(tmp_path / "gone.ply")
    with pytest.raises(DataError, match=r"\.ply, \.obj, \.glb"):
        load(written("it.blend", b"BLENDER"))
    with pytest.raises(DataError, match="unit: mm"):
        load(written("it.obj", obj().replace("v 2", "v 2000000")))


def test_a_picture_that_a_model_names_must_be_beside_it(written):
    textured = ply().replace("ascii 1.0\n", "ascii 1.0\ncomment TextureFile ../it.png\n")
    with pytest.raises(DataError, match="in its folder"):
        load(written("it.ply", textured))
    written("it.png", PNG)
    with pytest.raises(DataError, match="where it goes"):
        load(written("it.ply", textured.replace("../", "")))


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (["a.png"], PluginError, "name: file"),
        ({"wood": "a.png"}, PluginError, "a name of its own"),
        ({"plain": "a.png"}, PluginError, "a name of its own"),
        ({"mine": 3}, PluginError, "must be a file"),
        ({"mine": "gone.png"}, DataError, "gone.png is not"),
    ],
)
def test_a_wrong_texture_is_refused(said, error, told):
    with pytest.raises(error, match=told):
        find_textures(said)
