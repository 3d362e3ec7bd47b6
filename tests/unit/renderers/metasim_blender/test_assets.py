"""Models of a user's own, and pictures: what is read, in which unit, and what is refused."""

from __future__ import annotations

import base64
import json
import math
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from metasim.errors import DataError, PluginError
from metasim.render.drawing import files_read
from metasim_blender import BlenderRenderer
from metasim_blender import glb as glb_module
from metasim_blender.assets import find_textures, load_models, model_names
from metasim_blender.model import Surface
from metasim_blender.obj import read_obj

TETRAHEDRON = [(0, 0, 0), (2, 0, 0), (0, 1, 0), (0, 0, 3)]
FACES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


COLOURED = "".join("v {} {} {} 1 0 0\n".format(*v) for v in TETRAHEDRON)


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


def test_materials_have_numbers_from_0_to_1(written):
    written("it.mtl", "newmtl loud\nKd 2 -1 0.5\nPr 1.5\nPm -0.5\n")
    named = written("it.obj", "mtllib it.mtl\nusemtl loud\n" + obj())
    assert load(named).surfaces == (Surface((1.0, 0.0, 0.5), roughness=1.0, metallic=0.0),)
    for line in ("Kd nan 0 0", "Kd 0 inf 0", "Pr nan", "Pm 1e999"):
        written("it.mtl", f"newmtl loud\n{line}\n")
        with pytest.raises(DataError, match=r"it\.obj: the colour, roughness .* finite"):
            load(named)


# --- places in pictures, of some surfaces -------------------------------------------------


def half_mapped(written):
    """Two squares of 30 cm, both with a picture of four colours; the left has places in it."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :4], picture[:4, 4:] = (255, 0, 0), (0, 255, 0)
    picture[4:, :4], picture[4:, 4:] = (0, 0, 255), (255, 255, 255)
    Image.fromarray(picture).save(written("it.png", b""))
    written("it.mtl", "newmtl shown\nmap_Kd it.png\n")
    text = "mtllib it.mtl\nusemtl shown\nvt 0.1 0.1\nvt 0.4 0.1\nvt 0.4 0.4\nvt 0.1 0.4\n"
    for x in (-0.31, 0.01):
        around = ((x, -0.15), (x + 0.3, -0.15), (x + 0.3, 0.15), (x, 0.15))
        text += "".join(f"v {a} {b} 0\n" for a, b in around)
    return written("it.obj", text + "f 1/1 2/2 3/3 4/4\nf 5 6 7 8\n")


def test_a_surface_with_places_in_some_faces_only_becomes_two(written):
    model = load(half_mapped(written), up="z")
    assert model.surfaces == (model.surfaces[0],) * 2
    assert model.surface_of.tolist() == [0, 0, 1, 1]
    assert model.uv[:2].tolist() == [
        [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]],
        [[0.1, 0.1], [0.4, 0.4], [0.1, 0.4]],
    ]
    assert np.isnan(model.uv[2:]).all()


def test_a_face_with_places_at_some_corners_only_has_none(written):
    model = load(written("it.obj", "vt 0 1\n" + obj("f 1/1 3/1 2\nf 1/1 2/1 4/1\nf 1 4 3\n")))
    assert model.surface_of.tolist() == [1, 0, 1]


def test_without_any_places_there_are_none(written):
    model = load(written("it.obj", "vt 0 1\n" + obj()))
    assert model.uv is None
    assert len(model.surfaces) == 1


def test_a_primitive_without_places_has_none(written):
    def change(whole):
        bare = {"attributes": {"POSITION": 0}, "indices": 1, "material": 0}
        whole["meshes"][0]["primitives"].append(bare)

    places = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], "<f4")
    model = load(written("it.glb", glb(change, image=PNG, TEXCOORD_0=places)))
    assert model.surfaces == (model.surfaces[0],) * 2
    assert model.surface_of.tolist() == [0] * 4 + [1] * 4
    assert np.isfinite(model.uv[:4]).all()
    assert np.isnan(model.uv[4:]).all()


@pytest.mark.blender
def test_a_picture_lies_where_places_say_and_from_six_sides_elsewhere(written, scene):
    models = {"it": {"file": str(half_mapped(written)), "up": "z"}}
    above = ("camera", {"elevation": 90.0, "distance": 1.0})
    with BlenderRenderer(models=models, profile="unlit", device="cpu") as renderer:
        shown = scene(("object", {"class": "it"}), ("table", {"width": 0.0}), above)
        (image,) = renderer.render([shown]).images
    left, right = (image[[25, 39], column].tolist() for column in (20, 44))
    assert left == [[0, 0, 255]] * 2
    assert right[0] != right[1]
    assert [0, 0, 255] not in right


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


@pytest.mark.parametrize("first", range(6))
def test_obj_with_a_concave_polygon_keeps_what_its_corners_are_told(written, first):
    ell = np.roll([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], first, axis=0)
    lines = [f"f {' '.join(f'{i}/{7 - i}/1' for i in range(1, 7))}", "vn 0 0 1"]  # before them all
    lines += [f"v {x} {y} 0" for x, y in ell] + [f"vt {x} {y}" for x, y in ell[::-1]]
    model = read_obj(written("it.obj", "\n".join(lines)))
    a, b, c = np.moveaxis(model.vertices[model.faces], 1, 0)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert (areas > 0).all()
    assert areas.sum() == 3
    assert (model.uv == model.vertices[model.faces][..., :2]).all()


def test_obj_takes_tabs_comments_and_a_mark_of_its_encoding(written):
    written("it.mtl", "\ufeffnewmtl\tred # 1\nKd\t1 0 0 # bright\nmap_Ka\tit.png\n#Kd 0 0 0\n")
    text = "\ufeff" + obj("") + "mtllib\tit.mtl\nusemtl\tred # 1\n# f\nf\t1 3 2 # a face\n"
    model = read_obj(written("it.obj", text))
    assert model.faces.tolist() == [[0, 2, 1]]
    assert model.surfaces == (Surface((1.0, 0.0, 0.0)),)


def test_materials_whose_names_begin_alike_stay_apart(written):
    written("it.mtl", "newmtl M #1\nKd 1 0 0\nnewmtl M #2\nKd 0 1 0\n")
    text = "mtllib it.mtl\nusemtl M #1\nf 1 3 2\nusemtl M #2\nf 1 2 4\n"
    model = read_obj(written("it.obj", obj("") + text))
    assert model.surfaces == (Surface((1.0, 0.0, 0.0)), Surface((0.0, 1.0, 0.0)))


@pytest.mark.parametrize("name", ["it's.png", "a#b.png", "a b.png"])
def test_a_picture_may_have_marks_in_its_name(written, name):
    written("it.mtl", f"newmtl shown\nmap_Kd\t{name}\n")
    picture = written(name, PNG)
    model = read_obj(written("it.obj", "mtllib it.mtl\nusemtl shown\n" + obj()))
    assert model.surfaces == (Surface(picture=picture),)


def test_materials_may_be_in_a_folder_beside_that_of_their_pictures(written):
    picture = written("it/tex/p.png", PNG)
    written("it/m/a.mtl", "newmtl shown\nmap_Kd ..\\tex\\p.png\n")
    path = written("it/it.obj", "mtllib m/a.mtl\nusemtl shown\n" + obj())
    (surface,) = read_obj(path).surfaces
    assert surface.picture.resolve() == picture.resolve()
    written("p.png", PNG)
    written("it/m/a.mtl", "newmtl shown\nmap_Kd ../../p.png\n")
    with pytest.raises(DataError, match=r"a\.mtl names .* must be in the model's folder"):
        read_obj(path)


def test_faces_with_a_picture_take_no_colours_of_vertices(written):
    written("it.mtl", "newmtl shown\nmap_Kd it.png\nnewmtl plain\nKd 0.5 0.5 0.5\n")
    written("it.png", PNG)
    text = "mtllib it.mtl\nusemtl shown\nf 1 3 2\nusemtl plain\nf 1 2 4\n"
    model = read_obj(written("it.obj", COLOURED + text))
    assert (model.colours == [[[1, 1, 1]] * 3, [[1, 0, 0]] * 3]).all()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("f 1 2\n", "it.obj:1 is no line"),
        (obj("f 1 2 99999999999999999999\n"), "it.obj:5 is no line"),
        ("vt\n" + obj("f 1/1 2/1 3/1\n"), "it.obj:1 is no line"),
        ("mtllib a\0b\n" + obj(), "must be in its folder or below"),
        (f"mtllib {'a' * 300}\n" + obj(), "must be in its folder or below"),
        (obj("f 1 2 five\n"), "it.obj:5"),
        (obj("f 1 2 0\n"), "it.obj:5"),
        (obj("f 1 2 5\n"), "names number 5; is the file complete"),
        (obj("f 1/1 2/2 3/3\n"), "place in the picture"),
        (obj(""), "has no faces"),
        ("mtllib gone.mtl\n" + obj(), "'gone.mtl', which must be in its folder"),
        ("mtllib ../it.mtl\n" + obj(), "must be in its folder or below"),
        ("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "finite"),
        ("vt inf 0\n" + obj("f 1/1 2/1 3/1\n"), "finite"),
        ("vt 0 nan\n" + obj("f 1/1 2/1 3/1\n"), "finite"),
        ("vt nan nan\n" + obj("f 1/1 2/1 3/1\n"), "finite"),
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


@pytest.mark.parametrize("name", ["loop", "a\0b", "a" * 300])
def test_a_name_that_leads_nowhere_is_refused(tmp_path, written, name):
    (tmp_path / "loop").symlink_to("loop")
    written("it.mtl", f"newmtl shown\nmap_Kd {name}\n")
    textured = ply().replace("ascii 1.0\n", f"ascii 1.0\ncomment TextureFile {name}\n")
    for path in (
        written("it.obj", f"mtllib {name}\n" + obj()),
        written("two.obj", "mtllib it.mtl\nusemtl shown\n" + obj()),
        written("it.ply", textured),
        written("it.glb", glb(_put("images", 0, {"uri": name}), image=PNG)),
    ):
        with pytest.raises(DataError, match=r"must be in its folder or below and is not"):
            load(path)


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


def test_glb_leaves_out_what_is_squeezed_to_nothing(written):
    """A scale of 0 is how programs hide a part."""

    def hidden(*scale):
        def change(whole):
            whole["nodes"] += [{"mesh": 0, "scale": scale, "translation": [9, 0, 0]}]
            whole["scenes"][0]["nodes"] += [1]

        return change

    normals = np.tile(np.array([[0, 1, 0]], "<f4"), (4, 1))
    whole = load(written("it.glb", glb(NORMAL=normals)))
    for scale in ((0, 0, 0), (0, 1, 0)):
        model = load(written("it.glb", glb(hidden(*scale), NORMAL=normals)))
        assert (model.vertices == whole.vertices).all()
        assert (model.normals == whole.normals).all()
    flat = load(written("it.glb", glb(hidden(0, 1, 1), NORMAL=normals)))
    assert flat.normals is None
    assert (flat.vertices[4:, 0] == 9).all()
    with pytest.raises(DataError, match="has none"):
        load(written("it.glb", glb(node={"scale": [0, 0, 0]})))


def test_glb_with_a_deep_tree(written):
    def change(whole):
        moved = [{"translation": [1, 0, 0], "children": [i + 1]} for i in range(2000)]
        whole["nodes"] = [*moved, {"mesh": 0}]

    assert load(written("it.glb", glb(change))).vertices[:, 0].min() == 2000


def test_glb_with_shared_meshes_is_counted_as_it_is_put_together(written, monkeypatch):
    def change(whole):
        whole["nodes"] = [{"mesh": 0}] * 3
        whole["scenes"][0]["nodes"] = [0, 1, 2]

    path = written("it.glb", glb(change))
    assert len(load(path).faces) == 12
    monkeypatch.setattr(glb_module, "MOST_FACES", 11)
    with pytest.raises(DataError, match=r"it\.glb must have at most 11 triangles"):
        load(path)


def test_glb_holds_a_picture_of_several_materials_once(written):
    def change(whole):
        rough = json.loads(json.dumps(whole["materials"][0]))
        rough["pbrMetallicRoughness"]["roughnessFactor"] = 0.5
        whole["materials"].append(rough)
        primitive = whole["meshes"][0]["primitives"][0]
        whole["meshes"][0]["primitives"] += [primitive, {**primitive, "material": 1}]

    model = load(written("it.glb", glb(change, image=PNG)))
    assert [surface.roughness for surface in model.surfaces] == [1.0, 0.5]
    assert model.surfaces[0].picture is model.surfaces[1].picture
    assert model.surface_of.tolist() == [0] * 8 + [1] * 4


def test_glb_is_not_copied_for_each_of_its_arrays(written):
    size = 4_000_000

    def change(whole):
        for accessor in whole["accessors"]:
            view = whole["bufferViews"][accessor["bufferView"]]
            accessor |= {"bufferView": 0, "byteOffset": view["byteOffset"]}
        whole["bufferViews"][0]["byteLength"] = size

    path = written("it.glb", glb(change, image=bytes(size)))
    tracemalloc.start()
    try:
        load(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2.5 * size  # the file, and its picture's bytes


def test_glb_names_pictures_as_an_address_does(written):
    picture = written("my skin é.png", PNG)
    uri = "my%20skin%20%C3%A9.png"
    model = load(written("it.glb", glb(_put("images", 0, {"uri": uri}), image=PNG)))
    assert model.surfaces[0].picture == picture


UV = np.array([[0, 0], [1, 0], [0, 1], [0.25, 0.5]])


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({}, UV),
        ({"offset": [0.5, 0.25]}, UV + np.array([0.5, 0.25])),
        ({"scale": [2, 3]}, UV * (2, 3)),
        # The extension's own example: "the lower left quadrant, rotated clockwise 90°".
        ({"offset": [0, 1], "rotation": math.pi / 2, "scale": [0.5, 0.5]},
         np.stack([UV[:, 1] / 2, 1 - UV[:, 0] / 2], axis=1)),
        ({"rotation": math.pi / 2, "scale": [2, 3]},
         np.stack([3 * UV[:, 1], -2 * UV[:, 0]], axis=1)),
        ({"texCoord": 1, "offset": [0, 1]}, UV / 4 + (0, 1)),
    ],
)  # fmt: skip
def test_glb_with_a_picture_that_is_moved(written, moved, expected):
    def change(whole):
        about = whole["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
        about["extensions"] = {"KHR_texture_transform": moved}
        whole["extensionsRequired"] = ["KHR_texture_transform"]

    places = {"TEXCOORD_0": UV.astype("<f4"), "TEXCOORD_1": (UV / 4).astype("<f4")}
    model = load(written("it.glb", glb(change, image=PNG, **places)))
    down = (model.uv - (0, 1)) * (1, -1)
    np.testing.assert_allclose(down, expected[np.array(FACES)], atol=1e-12)


def _put(*way):
    def change(whole):
        *steps, last, value = way
        for step in steps:
            whole = whole[step]
        whole[last] = value

    return change


COLOUR_BEYOND = {"pbrMetallicRoughness": {"baseColorFactor": [10**400, 0, 0, 1]}}


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
        (glb(_put("nodes", 0, "children", [0])), "node 0 is below two or below itself"),
        (glb(_put("scenes", 0, "nodes", [0, 0])), "node 0 is below two or below itself"),
        (
            glb(_put("nodes", [{"children": [i + 1] * 2} for i in range(60)] + [{"mesh": 0}])),
            "node 60 is below two",
        ),
        (glb(_put("nodes", 0, "scale", [1e999, 1, 1])), "finite numbers"),
        (glb(_put("nodes", 0, "scale", [10**400, 1, 1])), "it.glb .* is damaged"),
        (glb(_put("accessors", 0, "byteOffset", -8)), "ends before"),
        (glb(TEXCOORD_0=np.full((4, 2), np.nan, "<f4")), "finite places"),
        (glb(_put("materials", 0, COLOUR_BEYOND), image=PNG), "it.glb .* is damaged"),
        (
            b"glTF" + struct.pack("<IIII", 2, 100_020, 100_000, 0x4E4F534A) + b"[" * 100_000,
            "it.glb .* is damaged",
        ),
        (glb(_put("meshes", 0, "primitives", 0, "mode", 1)), "has none"),
        (glb(_put("buffers", 0, {"uri": "other.bin"})), "as one GLB"),
        (glb(_put("accessors", 0, "sparse", {})), "sparse"),
        (glb(_put("accessors", 0, "count", 2)), "beyond the last"),
    ],
)
def test_a_wrong_glb_is_refused(written, content, told):
    with pytest.raises(DataError, match=told):
        load(written("it.glb", content))


@pytest.mark.parametrize("seed", range(150))
def test_a_file_with_bytes_changed_is_read_or_refused_and_nothing_else(written, seed):
    rng = np.random.default_rng(seed)
    written("it.mtl", "newmtl shown\nmap_Kd it.png\nPr 0.5\n")
    written("it.png", PNG)
    text = "mtllib it.mtl\nusemtl shown\nvt 0 1\n" + obj("f 1/1 3/1 2/1\nf 1 2 4 3\nf -1 -2 -3\n")
    name, content = (("it.obj", text.encode()), ("it.glb", glb(image=PNG)))[seed % 2]
    data = bytearray(content)
    for place in rng.integers(0, len(data), 3):
        data[place] = rng.integers(0, 256)
    try:
        model = load(written(name, bytes(data)))
    except DataError:
        return
    assert np.isfinite(model.vertices).all()


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


def test_a_ply_with_a_picture_takes_no_colours_of_vertices(written):
    names = ["red", "green", "blue", "texture_u", "texture_v"]
    text = ply().replace(
        "element face", "".join(f"property float {n}\n" for n in names) + "element face"
    )
    for vertex in TETRAHEDRON:
        row = "\n{} {} {}".format(*vertex)
        text = text.replace(row + "\n", row + " 255 0 0 0.5 0.5\n")
    assert (load(written("it.ply", text)).colours == [1, 0, 0]).all()
    picture = written("it.png", PNG)
    text = text.replace("ascii 1.0\n", "ascii 1.0\ncomment TextureFile it.png\n")
    model = load(written("it.ply", text))
    assert model.surfaces == (Surface(picture=picture),)
    assert model.colours is None


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


# --- what results know of files ------------------------------------------------------------


def test_what_models_name_is_known_to_results(written):
    """Else a chair that was painted anew is taken for the one that was drawn before."""
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    chair = written("chair.obj", f"mtllib a.mtl\n{triangle}usemtl m\nf 1/1 2/2 3/3\n")
    written("a.mtl", "newmtl m\nmap_Kd p.png\n")
    written("p.png", "a picture")
    options = {"models": {"chair": str(chair), "mug": "builtin"}, "profile": "fast"}
    before = files_read(BlenderRenderer, options)
    folder = chair.parent
    assert before.keys() == {
        "options.models.chair", f"options ({folder / 'a.mtl'})", f"options ({folder / 'p.png'})"
    }  # fmt: skip
    written("p.png", "another picture")
    assert files_read(BlenderRenderer, options) != before
    assert files_read(BlenderRenderer, {}) == {}
