"""What Blender draws, against geometry and optics worked out here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from metasim.errors import DataError, PluginError
from metasim.scene import Attributes, Node, Scene
from metasim.testing import RendererContract
from metasim_blender import BlenderRenderer
from metasim_blender.colour import linear, srgb

pytestmark = pytest.mark.blender

LOW = {"elevation": 30.0, "distance": 1.2}
WHITE = {"red": 1.0, "green": 1.0, "blue": 1.0}
NO_TABLE = ("table", {"width": 0.0})
DARK = ("light", {"strength": 0.0})


class TestContract(RendererContract):
    renderer = BlenderRenderer
    options = MappingProxyType({"image_size": (20, 24), "device": "cpu"})


@pytest.mark.slow
class TestContractOfQuality(RendererContract):
    renderer = BlenderRenderer
    options = MappingProxyType(
        {"image_size": (24, 20), "device": "cpu", "profile": "quality", "samples": 2}
    )
    seed = 1


def thing(model="box", **said):
    return "object", {"class": model, **said}


def posed(points, pose):
    turn = np.array(pose.rotation).reshape(3, 3)
    return points @ (pose.scale * turn.T) + pose.translation


def seen_at(points, camera):
    return np.stack(
        [camera.fx * points[:, 0] / points[:, 2] + camera.cx,
         camera.fy * points[:, 1] / points[:, 2] + camera.cy], axis=1,
    )  # fmt: skip


def in_camera(points, camera):
    return posed(np.asarray(points, float), camera.world)


def cast(triangles, camera, size):
    """(T, 3, 3) triangles in the camera's frame -> nearest depth (H, W), and which (-1: none)."""
    rows, columns = np.indices(size) + 0.5
    rays = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(size)], -1
    )
    depth, which = np.full(size, np.inf), np.full(size, -1)
    for place, (a, b, c) in enumerate(triangles):
        one, other = b - a, c - a
        normal = np.cross(one, other)
        with np.errstate(divide="ignore"):
            t = (a @ normal) / (rays @ normal)
        across, along = np.cross(other, normal), np.cross(normal, one)
        hit = t[..., None] * rays - a
        u, v = hit @ across / (one @ across), hit @ along / (other @ along)
        nearer = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < depth)
        depth[nearer], which[nearer] = t[nearer], place
    return depth, which


def table_top(camera, side=1.0):
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * side / 2
    corners = in_camera(corners, camera)
    return [corners[[0, 1, 2]], corners[[0, 2, 3]]]


# --- geometry -----------------------------------------------------------------------------

ARRANGEMENTS = [
    [thing(x=0.1, yaw=30.0), ("camera", LOW)],
    [thing(x=-0.1, yaw=75.0), thing(x=0.1, y=-0.15, yaw=10.0, scale=1.3), ("camera", LOW)],
    [thing(roll=90.0, yaw=20.0, z=0.05), ("camera", {"azimuth": 130.0, "fov": 60.0})],
    [thing(pitch=40.0, roll=25.0, x=0.3, y=0.3), ("camera", {"elevation": 80.0, "x": 0.1})],
]


@pytest.mark.parametrize("nodes", ARRANGEMENTS)
@pytest.mark.parametrize("size", [(64, 64), (40, 72)])
def test_ids_and_depths_are_those_of_rays_through_pixels_centres(made, scene, box, size, nodes):
    vertices, faces = box
    found = made(image_size=size).render([scene(*nodes)])
    camera, labels = found.cameras[0], found.labels[0]
    triangles = [corners for label in labels for corners in posed(vertices, label.pose)[faces]]
    triangles, things = [*triangles, *table_top(camera)], len(triangles)
    depth, which = cast(triangles, camera, size)
    ids = np.where(which < things, which // len(faces) + 1, 0)
    ids[which < 0] = 0
    # The table's side, which we leave out here, is seen below its top.
    side = (which < 0) & (found.depth[0] > 0)
    assert (found.instances[0] == ids).all()
    depth = np.where(which >= 0, depth, 0)
    seen, off = which >= 0, np.abs(found.depth[0] - depth)
    # Within 1e-4 pixels of the centre, and what single precision makes out.
    slack = 2e-6 * depth
    for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        near = replace(camera, cx=camera.cx + 1e-4 * across, cy=camera.cy + 1e-4 * down)
        moved, same = cast(triangles, near, size)
        moved = np.where(same >= 0, moved, 0)
        slack = np.maximum(slack, np.where(same == which, np.abs(moved - depth), np.inf))
    assert (off[seen] <= slack[seen]).all()
    assert np.isfinite(slack[seen]).mean() > 0.99
    assert (found.depth[0][~side & ~seen] == 0).all()


@pytest.mark.parametrize("nodes", ARRANGEMENTS)
def test_boxes_and_shares_are_those_of_rays_too(made, scene, box, nodes):
    vertices, faces = box
    found = made().render([scene(*nodes)])
    for label in found.labels[0]:
        mask = found.instances[0] == label.instance
        rows, columns = np.nonzero(mask)
        assert label.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        alone = cast(posed(vertices, label.pose)[faces], found.cameras[0], (64, 64))[1] >= 0
        rows, columns = np.nonzero(alone)
        assert label.full_box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert label.visible == mask.sum() / alone.sum()


@pytest.mark.parametrize("table", [{}, {"width": 0.0}])
def test_all_of_what_nothing_hides_is_visible(made, scene, table):
    """Exactly, though two programs find the pixels: mugs in many places and poses."""
    rng = np.random.default_rng(0)
    scenes = [
        scene(thing("mug", x=x, y=y, yaw=yaw, roll=roll), ("table", table), seed=seed)
        for seed, (x, y, yaw, roll) in enumerate(rng.uniform(-1, 1, (40, 4)) * (0.2, 0.2, 180, 180))
    ]
    found = made(profile="unlit", samples=1).render(scenes)
    for (label,), plane in zip(found.labels, found.instances, strict=True):
        assert label.visible == 1.0
        assert label.full_box == label.box
        assert (plane == 1).sum() > 50


def test_models_vertices_lie_on_their_masks(made, scene):
    renderer = made()
    found = renderer.render([scene(thing("mug", yaw=40.0, pitch=20.0, scale=1.5), ("camera", LOW))])
    (label,), camera = found.labels[0], found.cameras[0]
    points = seen_at(posed(renderer.meshes()["mug"].vertices, label.pose), camera)
    mask = np.pad(found.instances[0] == label.instance, 1)
    grown = sum(np.roll(mask, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) > 0
    columns, rows = np.floor(points).astype(int).T + 1
    assert grown[rows, columns].all()
    x0, y0, x1, y1 = label.box
    np.testing.assert_allclose(points.min(0), (x0, y0), atol=1)
    np.testing.assert_allclose(points.max(0), (x1, y1), atol=1)


def test_normals_of_flat_sides(made, scene, box):
    vertices, faces = box
    found = made().render([scene(thing(yaw=35.0), ("camera", LOW))])
    (label,), camera = found.labels[0], found.cameras[0]
    triangles = [*posed(vertices, label.pose)[faces], *table_top(camera)]
    _, which = cast(triangles, camera, (64, 64))
    for place, (a, b, c) in enumerate(triangles):
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        # Away from edges, where a pixel's samples meet several sides.
        inner = which == place
        for way in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            inner &= np.roll(which // 2, way, (0, 1)) == place // 2
        if inner.any():
            np.testing.assert_allclose(
                found.normals[0][inner], np.tile(normal, (inner.sum(), 1)), atol=1e-4
            )
    length = np.linalg.norm(found.normals[0], axis=-1)
    np.testing.assert_allclose(length[found.depth[0] > 0], 1, atol=1e-5)
    assert (length[found.depth[0] == 0] == 0).all()


def test_what_is_moved_before_another_hides_it(made, scene):
    still = thing("mug")
    scenes = [scene(still, thing(x=x, y=-0.25, scale=1.5), ("camera", LOW)) for x in (-0.6, 0.0)]
    beside, before = (
        labels[0].visible for labels in made(profile="unlit", samples=1).render(scenes).labels
    )
    assert beside == 1.0
    assert before < 0.7


def test_what_leaves_the_image_or_stands_behind_the_camera_keeps_its_label(made, scene):
    scenes = [scene(thing("mug", x=x, y=y)) for x, y in ((0.6, 0.0), (9.0, 0.0), (0.0, -9.0))]
    cut, gone, behind = (labels[0] for labels in made(samples=1).render(scenes).labels)
    assert 0 < cut.visible < 1
    assert cut.box[2] == 64 < cut.full_box[2]
    assert (gone.visible, gone.box) == (0.0, (0, 0, 0, 0))
    assert (behind.visible, behind.full_box) == (0.0, (0, 0, 0, 0))


def test_what_sinks_into_the_table_is_hidden_by_it(made, scene):
    found = made(samples=1).render([scene(thing(z=z), ("camera", LOW)) for z in (0.0, -0.08)])
    assert found.labels[0][0].visible == 1.0
    assert 0.2 < found.labels[1][0].visible < 0.8


# --- colours and light --------------------------------------------------------------------


def middle(found, row=0):
    """The mean colour of the image's middle, 0 to 255."""
    return found.images[row, 28:36, 28:36].reshape(-1, 3).mean(0)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_unlit_colours_are_what_was_said(made, scene, level):
    table = ("table", {"red": level, "green": 1.0, "blue": 1.0})
    found = made(profile="unlit").render([scene(table, DARK, ambient=0.0)])
    np.testing.assert_allclose(middle(found), (255 * level, 255, 255), atol=0.5)


def test_the_background_is_what_was_said(made, scene):
    found = made().render([scene(NO_TABLE, red=0.2, green=0.6, blue=1.0)])
    assert (found.images[0] == [51, 153, 255]).all()


@pytest.mark.parametrize(("elevation", "strength", "ambient"), [(90, 1, 0), (30, 0.9, 0.2)])
def test_fast_light_is_that_of_lamberts_law(made, scene, elevation, strength, ambient):
    light = ("light", {"elevation": float(elevation), "strength": strength, "size": 0.0})
    found = made().render([scene(("table", WHITE), light, ambient=ambient)])
    expected = 255 * srgb(0.8 * strength * np.sin(np.radians(elevation)) + ambient)
    np.testing.assert_allclose(middle(found), expected, atol=0.6)


def test_light_of_quality_is_as_bright_in_the_tables_middle(made, scene):
    nodes = ("table", WHITE), ("light", {"elevation": 60.0, "size": 5.0})
    renderer = made(profile="quality", samples=64)
    bright, dark = (renderer.render([scene(*nodes, ambient=a)]) for a in (0.3, 0.0))
    direct = 0.8 * np.sin(np.radians(60))
    # Glossy besides: something is taken from the matt part, and something mirrored.
    np.testing.assert_allclose(linear(middle(dark) / 255), direct, rtol=0.1)
    np.testing.assert_allclose(linear(middle(bright) / 255), direct + 0.3, rtol=0.1)


def test_colours_of_lights_and_tints_multiply(made, scene):
    light = ("light", {"elevation": 90.0, "red": 0.5, "size": 0.0})
    table = ("table", {**WHITE, "red": 0.5})
    found = made().render([scene(table, light, ambient=0.0)])
    np.testing.assert_allclose(middle(found)[0], 255 * srgb(0.8 * linear(0.5) ** 2), atol=0.6)


@pytest.mark.parametrize(("azimuth", "side"), [(0.0, (-1, 0)), (90.0, (0, -1)), (180.0, (1, 0))])
def test_a_shadow_lies_opposite_its_light(made, scene, azimuth, side):
    """From above: light from the near side throws it up in the image, from the right leftwards."""
    above = ("camera", {"elevation": 90.0, "z": 0.0})
    light = ("light", {"azimuth": azimuth, "elevation": 45.0, "size": 0.0})
    found = made().render([scene(thing(), light, above), scene(light, above)])
    changed = np.abs(found.images[0].astype(int) - found.images[1]).max(-1) > 40
    shadow = changed & (found.instances[0] == 0)
    rows, columns = np.nonzero(shadow)
    way = np.array([rows.mean() - 31.5, columns.mean() - 31.5])
    assert way @ side > 2
    assert abs(way @ side[::-1]) < 1


def test_a_larger_light_makes_softer_shadows(made, scene):
    def shades(size):
        light, above = ("light", {"elevation": 45.0, "size": size}), ("camera", {"elevation": 90.0})
        found = made(samples=64).render([scene(thing(), light, above), scene(light, above)])
        lost = (found.images[1].astype(int) - found.images[0]).mean(-1)[found.instances[0] == 0]
        return ((lost > 10) & (lost < lost.max() - 10)).sum()

    assert shades(40.0) > 1.5 * shades(0.0)


def test_several_lights_add_up(made, scene):
    one, other = (
        ("light", {"elevation": 60.0, "strength": s, "azimuth": a, "size": 0.0})
        for s, a in ((0.3, 0.0), (0.4, 120.0))
    )
    found = made(samples=64).render(
        [scene(("table", WHITE), *lights, ambient=0.1) for lights in ([one], [other], [one, other])]
    )
    first, second, both = (linear(middle(found, row) / 255) for row in range(3))
    np.testing.assert_allclose(both, first + second - 0.1, rtol=0.03)


def test_profiles_differ(made, scene):
    nodes = thing("mug", x=0.05), ("light", {"size": 10.0})
    images = [
        made(profile=profile, samples=16).render([scene(*nodes)]).images.astype(int)
        for profile in ("unlit", "fast", "quality")
    ]
    for one, other in ((0, 1), (1, 2)):
        assert (np.abs(images[one] - images[other]).max(-1) > 10).mean() > 0.03


def test_samples_of_a_pixel_follow_from_the_seed(made, scene):
    nodes = thing("mug"), ("light", {"size": 30.0})
    found = made().render([scene(*nodes, seed=s) for s in (1, 2, 1)])
    assert (found.images[0] == found.images[2]).all()
    assert (found.images[0] != found.images[1]).any()
    assert (found.instances[0] == found.instances[1]).all()
    assert (found.depth[0] == found.depth[1]).all()


def test_denoising_takes_noise_away(made, scene):
    nodes = thing("mug"), ("light", {"size": 60.0, "elevation": 40.0})
    true, noisy, denoised = (
        made(profile="quality", image_size=(32, 32), **how).render([scene(*nodes)] * 2)
        for how in ({"samples": 256}, {"samples": 4}, {"samples": 4, "denoise": True})
    )
    off = [np.abs(f.images[0] - true.images[0].astype(int)).mean() for f in (noisy, denoised)]
    assert off[1] < 0.7 * off[0]
    assert (denoised.images[0] == denoised.images[1]).all()
    assert (denoised.instances == noisy.instances).all()


# --- whatever came before -----------------------------------------------------------------


def various(rng, scene):
    """A scene of random things, some of which are not in others."""
    things = []
    for _ in range(rng.integers(0, 4)):
        x, y, yaw, red = rng.uniform((-0.3, -0.3, 0, 0), (0.3, 0.3, 360, 1)).tolist()
        model, texture = str(rng.choice(["mug", "box"])), str(rng.choice(["plain", "checks"]))
        things.append(thing(model, texture=texture, x=x, y=y, yaw=yaw, red=red))
    lights = [
        ("light", {"azimuth": float(rng.uniform(0, 360)), "size": float(rng.uniform(0, 20))})
        for _ in range(rng.integers(0, 3))
    ]
    rest = [("camera", {"azimuth": float(rng.uniform(0, 360))})] * int(rng.integers(0, 2))
    rest += [("table", {"texture": str(rng.choice(["plain", "wood"]))})] * int(rng.integers(0, 2))
    ground = {"image": "speckle"} if rng.random() < 0.3 else {}
    return scene(*things, *lights, *rest, seed=int(rng.integers(2**63)), **ground)


@pytest.mark.parametrize("profile", ["fast", "quality"])
def test_an_image_is_the_same_whatever_was_drawn_before(box_file, scene, profile):
    """Also by a renderer that has drawn nothing else, and has made fewer objects."""
    rng = np.random.default_rng(3)
    scenes = [various(rng, scene) for _ in range(8)]
    options = {
        "image_size": (24, 32), "profile": profile, "samples": 2, "device": "cpu",
        "models": {"box": box_file, "mug": "builtin"},
    }  # fmt: skip

    def alone(one):
        with BlenderRenderer(**options) as fresh:
            return fresh.render([one])

    expected = [alone(one) for one in scenes]
    with BlenderRenderer(**options) as renderer:
        for _ in range(3):
            order = rng.permutation(len(scenes))
            found = renderer.render([scenes[i] for i in order])
            for row, place in enumerate(order):
                for plane in ("images", "instances", "depth", "normals"):
                    assert (getattr(found, plane)[row] == getattr(expected[place], plane)[0]).all()
                assert found.labels[row] == expected[place].labels[0]
                assert found.cameras[row] == expected[place].cameras[0]


def test_a_studios_colour_configuration_changes_nothing(made, scene, tmp_path):
    code = """
import sys
from metasim.scene import Scene
from metasim_blender import BlenderRenderer
import json
scene = Scene.from_json(json.loads(sys.argv[1]))
with BlenderRenderer(models={"mug": "builtin"}, profile="unlit", device="cpu") as renderer:
    sys.stdout.buffer.write(renderer.render([scene]).images.tobytes())
"""
    shown = scene(thing("mug", texture="wood"), ("table", {"texture": "checks"}), image="speckle")
    config = "ocio_profile_version: 1\nroles: {default: raw}\ncolorspaces:\n"
    config += "  - !<ColorSpace>\n    name: raw\n    isdata: true\n"
    (tmp_path / "config.ocio").write_text(config)
    found = subprocess.run(
        [sys.executable, "-c", code, json.dumps(shown.to_json())],
        env={**os.environ, "OCIO": str(tmp_path / "config.ocio")},
        check=True,
        capture_output=True,
    ).stdout
    assert (
        found == made(profile="unlit", models={"mug": "builtin"}).render([shown]).images.tobytes()
    )


def test_two_renderers_live_side_by_side(made, scene):
    one, other = made(), made(image_size=(16, 24), profile="quality", samples=1)
    nodes = [thing("mug", yaw=20.0)]
    first = one.render([scene(*nodes)])
    assert other.render([scene(*nodes)]).images.shape == (1, 16, 24, 3)
    assert (one.render([scene(*nodes)]).images == first.images).all()


def test_closing_leaves_nothing_in_blender(scene, box_file):
    import bpy

    kinds = ("scenes", "objects", "meshes", "materials", "images", "lights", "cameras", "worlds")

    def counts():
        return {kind: len(getattr(bpy.data, kind)) for kind in kinds}

    with BlenderRenderer(models={"box": box_file}, device="cpu") as first:
        first.render([scene()])
    before = counts()
    for profile in ("fast", "quality"):
        renderer = BlenderRenderer(
            models={"box": box_file}, profile=profile, samples=1, image_size=(8, 8), device="cpu"
        )
        renderer.render([scene(thing(texture="wood"), thing(), image="checks")])
        renderer.close()
        renderer.close()
    assert counts() == before


def test_many_images_take_no_more_memory_than_few(made, scene):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    renderer, rng = made(image_size=(16, 16), samples=1), np.random.default_rng(0)
    scenes = [various(rng, scene) for _ in range(20)]
    for _ in range(5):
        renderer.render(scenes)
    before = resident()
    for _ in range(15):
        renderer.render(scenes)
    assert resident() - before < 4


# --- models and pictures of a user's own --------------------------------------------------


def test_a_model_looks_the_same_in_each_format(written, scene):
    """A tetrahedron of 20 cm, red: OBJ and GLB have y up, PLY z."""
    points = np.array([(0.1, -0.1, 0), (-0.1, -0.1, 0), (0, 0.1, 0), (0, 0, 0.2)])
    faces = [(0, 1, 2), (1, 0, 3), (0, 2, 3), (2, 1, 3)]
    y_up = [(x, z, -y) for x, y, z in points.tolist()]
    obj = "".join("v {} {} {} 1 0 0\n".format(*p) for p in y_up)
    obj += "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces)
    ply = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    ply += "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
    ply += "element face 4\nproperty list uchar int vertex_indices\nend_header\n"
    ply += "".join("{} {} {} 255 0 0\n".format(*p) for p in (points * 1000).tolist())
    ply += "".join("3 {} {} {}\n".format(*f) for f in faces)
    models = {
        "obj": str(written("it.obj", obj)),
        "ply": str(written("it.ply", ply)),
        "glb": str(written("it.glb", _glb(y_up, faces))),
    }
    with BlenderRenderer(models=models, device="cpu") as renderer:
        assert renderer.known_categories == {"object": ("obj", "ply", "glb")}
        found = renderer.render([scene(thing(name, yaw=20.0)) for name in models])
    assert (found.instances[0] == 1).sum() > 60
    red = found.images[0][found.instances[0] == 1]
    assert (red[:, 0] > 60).all()
    assert (red[:, 1:] < 12).mean() > 0.8
    for row in (1, 2):
        assert (found.instances[row] == found.instances[0]).all()
        np.testing.assert_allclose(found.depth[row], found.depth[0], rtol=1e-5)
        assert np.abs(found.images[row] - found.images[0].astype(int)).max() <= 1


def _glb(points, faces):
    import struct

    data = np.array(points, "<f4").tobytes() + np.array(faces, "<u4").tobytes()
    about = {"baseColorFactor": [1, 0, 0, 1], "metallicFactor": 0}
    said = {
        "asset": {"version": "2.0"}, "nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": about}], "buffers": [{"byteLength": 96}],
        "bufferViews": [{"buffer": 0, "byteLength": 48},
                        {"buffer": 0, "byteOffset": 48, "byteLength": 48}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 12, "type": "SCALAR"},
        ],
    }  # fmt: skip
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(data), 0x004E4942) + data
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


@pytest.fixture
def quarters(tmp_path):
    """A picture: red and green above, blue and white below."""
    from PIL import Image

    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :4], picture[:4, 4:] = (255, 0, 0), (0, 255, 0)
    picture[4:, :4], picture[4:, 4:] = (0, 0, 255), (255, 255, 255)
    Image.fromarray(picture).save(tmp_path / "quarters.png")
    return tmp_path / "quarters.png"


def test_a_picture_lies_on_the_table_the_right_way_round(quarters, scene):
    """From the near side its top is far and its left is left."""
    table, above = ("table", {"texture": "mine"}), ("camera", {"elevation": 90.0})
    with BlenderRenderer(textures={"mine": quarters}, profile="unlit", device="cpu") as renderer:
        image = renderer.render([scene(table, above)]).images[0]
    assert image[20, 20].tolist() == [255, 0, 0]
    assert image[20, 44].tolist() == [0, 255, 0]
    assert image[44, 20].tolist() == [0, 0, 255]
    assert image[44, 44].tolist() == [255, 255, 255]


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (64, 40)])
def test_a_picture_behind_everything_fills_the_image(quarters, scene, size):
    options = {"textures": {"mine": quarters}, "device": "cpu", "image_size": size}
    with BlenderRenderer(**options) as renderer:
        image = renderer.render([scene(NO_TABLE, image="mine")]).images[0]
        tinted = renderer.render([scene(NO_TABLE, image="mine", red=0.0)]).images[0]
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[0, -1].tolist() == [0, 255, 0]
    assert image[-1, 0].tolist() == [0, 0, 255]
    assert image[size[0] // 2 - 1, size[1] // 2 - 1].tolist() == [255, 0, 0]
    assert (tinted[..., 0] == 0).all()
    assert (tinted[..., 1:] == image[..., 1:]).all()


def test_a_texture_takes_the_place_of_an_objects_colours(made, scene):
    above = ("camera", {"elevation": 60.0, "distance": 1.0})
    found = made(profile="unlit", samples=1).render(
        [scene(thing("mug", texture=name), above) for name in ("plain", "checks")]
    )
    mask = found.instances[0] == 1
    assert (found.instances[0] == found.instances[1]).all()
    known = np.rint(255 * np.array([(0.93, 0.92, 0.90), (0.25, 0.30, 0.38)]))
    off = np.abs(found.images[1][mask][:, None] - known).max(-1).min(-1)
    assert np.median(off) <= 2
    assert not (found.images[0][mask] == found.images[1][mask]).all()


def test_what_is_no_picture_is_refused_at_once(written, box_file):
    with pytest.raises(DataError, match=r"it\.png must be an image"):
        BlenderRenderer(textures={"mine": written("it.png", b"not a picture")}, device="cpu")


def test_a_scene_that_cannot_be_drawn_is_refused_and_the_next_is_drawn(made, scene):
    with pytest.raises(DataError, match="did you mean 'mug'"):
        made().render([scene(thing("mugs"))])
    assert made().render([scene(thing("mug"))]).instances.any()


def test_there_is_no_light_from_an_object_that_is_away(made, scene):
    """What is parked is not seen, and throws no shadow, not even of light from below."""
    below = ("light", {"elevation": -80.0}), ("camera", {"elevation": -60.0})
    fresh = made(image_size=(32, 32), samples=3)
    expected = fresh.render([scene(*below)])
    fresh.render([scene(*[thing(x=0.1 * i) for i in range(6)])])
    assert (fresh.render([scene(*below)]).images == expected.images).all()


def test_gpu_must_be_there_to_be_asked_for():
    from metasim_blender import engine

    bpy, _ = engine.start()
    if engine.use_device(bpy, "auto") == "GPU":
        pytest.skip("there is one")
    with pytest.raises(PluginError, match="take device: cpu"):
        BlenderRenderer(device="gpu")


def test_an_empty_batch_and_no_objects(made, scene):
    assert len(made().render([])) == 0
    assert made().render([scene()]).labels == ((),)


def test_nodes_names_are_those_of_the_scene(made):
    nodes = (
        Node("all", "scene", Attributes()),
        Node("group", "table", Attributes(), 0),
        Node("cup", "object", Attributes({"class": "mug"}), 1),
    )
    ((label,),) = made().render([Scene(nodes)]).labels
    assert (label.node, label.name, label.kind, label.category) == (2, "cup", "object", "mug")
