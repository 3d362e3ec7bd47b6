"""Datasets in BOP's layout, read by a reader that knows nothing but the format's description."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from scipy.spatial.distance import pdist

from metasim.data import generate_dataset, read_dataset
from metasim.errors import DataError, RenderError
from metasim.render import Rendered
from metasim.rng import stream
from metasim.scene import Scene, SceneGrammar
from metasim.testing import SolidsRenderer
from tests.unit.data.bop_reader import Reader, agreement, box_of, put, read_ply

SIZE = (60, 80)
CLASSES = (("solid", "crystal"), ("solid", "box"), ("lamp", "lamp"))
GRAMMAR = SceneGrammar.model_validate(SolidsRenderer.example)
Hashes = Callable[[Path], dict[str, str]]


def make_scenes(indices: range) -> list[Scene]:
    """Three solids in each scene; in some the last one is below the image's edge."""
    scenes = [GRAMMAR.sample(stream(2, "scene", index)) for index in indices]
    below = (None, None, None, {"z": -3.0})
    return [
        scene if index % 4 else scene.with_attributes(below)
        for index, scene in zip(indices, scenes, strict=True)
    ]


def unscaled(indices: range) -> list[Scene]:
    """The same with every solid as large as its model, as BOP has them."""
    own = (None, *[{"size": 1.0}] * 3)
    return [scene.with_attributes(own) for scene in make_scenes(indices)]


def generate(out: Path, **changes: Any) -> dict[str, Any]:
    arguments = {
        "count": 12,
        "seed": 2,
        "make_scenes": make_scenes,
        "renderer": SolidsRenderer(SIZE),
        "formats": ("coco", "bop"),
        "classes": CLASSES,
        "batch_size": 5,
    }
    return generate_dataset(out, **{**arguments, **changes})


# --- what is read -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bop") / "d"
    answer = generate(out)
    assert answer["files"]["bop"] == str(out / "bop")
    return out


def test_images_depth_and_masks_are_those_that_were_drawn(made: Path) -> None:
    reader, drawn = Reader(made / "bop"), SolidsRenderer(SIZE).render(make_scenes(range(12)))
    assert len(reader.gt) == 12
    hidden = 0
    for row in range(12):
        np.testing.assert_array_equal(reader.rgb(row), drawn.images[row])
        np.testing.assert_allclose(reader.depth(row), 1000 * drawn.depth[row], atol=0.0501)
        labels = drawn.labels[row]
        for number, (label, info) in enumerate(zip(labels, reader.info[row], strict=True)):
            mask = reader.mask(row, number)
            np.testing.assert_array_equal(mask, drawn.instances[row] == label.instance)
            area = mask.sum()
            hidden += area == 0
            x0, y0, x1, y1 = label.full_box
            assert info == {
                "bbox_obj": [x0, y0, x1 - x0, y1 - y0],
                "bbox_visib": box_of(mask),
                "px_count_all": round(area / label.visible) if area else -1,
                "px_count_valid": area,
                "px_count_visib": area,
                "visib_fract": label.visible,
            }
    assert hidden, "some solid must be out of sight"


@pytest.mark.parametrize("scenes", [make_scenes, unscaled])
def test_models_put_by_their_poses_are_what_is_seen(
    tmp_path: Path, scenes: Callable[[range], list[Scene]]
) -> None:
    """Visible pixels lie on the posed model, by the masks and by the depth."""
    generate(tmp_path / "d", make_scenes=scenes)
    reader = Reader(tmp_path / "d" / "bop")
    whole = 0
    for image, poses in reader.gt.items():
        points = reader.points(image)
        for number, (gt, info) in enumerate(zip(poses, reader.info[image], strict=True)):
            assert ("scale" in gt) == (scenes is make_scenes)
            mask = reader.mask(image, number)
            assert (reader.silhouette(image, gt, -1e-6) | ~mask).all()
            if info["visib_fract"] == 1:
                whole += 1
                assert (mask | ~reader.silhouette(image, gt, 1e-6)).all()
            vertices, _, faces = reader.models[gt["obj_id"]]
            a, b, c = (put(gt, vertices)[faces[:, place]] for place in range(3))
            outward = np.cross(b - a, c - a)
            outward /= np.linalg.norm(outward, axis=1, keepdims=True)
            away = points[mask] @ outward.T - (outward * a).sum(1)
            assert np.abs(away.max(1, initial=-np.inf)).max(initial=0) < 0.06
    assert whole > 10


def test_the_cameras_are_where_the_scene_has_them(made: Path) -> None:
    reader = Reader(made / "bop")
    for image, scene in enumerate(make_scenes(range(12))):
        camera = reader.camera[image]
        rotation = np.reshape(camera["cam_R_w2c"], (3, 3))
        solids = [node for node in scene.nodes if node.kind == "solid"]
        for gt, node in zip(reader.gt[image], solids, strict=True):
            place = rotation.T @ (np.array(gt["cam_t_m2c"]) - camera["cam_t_w2c"])
            expected = [1000 * node.attributes[key] for key in "xyz"]
            np.testing.assert_allclose(place, expected, atol=1e-9)
        assert camera["cam_K"] == [96.0, 0, 39.5, 0, 96.0, 29.5, 0, 0, 1]
    whole = json.loads((made / "bop" / "camera.json").read_text())
    assert whole == {
        **{"fx": 96.0, "fy": 96.0, "cx": 39.5, "cy": 29.5},
        **{"depth_scale": 0.1, "width": 80, "height": 60},
    }


def test_models_are_those_of_the_renderer_in_millimetres(made: Path) -> None:
    models, meshes = made / "bop" / "models", SolidsRenderer().meshes()
    infos = json.loads((models / "models_info.json").read_text())
    coco = COCO(made / "coco.json")
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert names == {1: "lamp", 2: "box", 3: "crystal"}
    assert list(infos) == ["2", "3"]
    for number, info in infos.items():
        vertices, normals, faces = read_ply(models / f"obj_{int(number):06d}.ply")
        mesh = meshes[names[int(number)]]
        np.testing.assert_array_equal(vertices, 1000 * mesh.vertices.astype(np.float64))
        np.testing.assert_array_equal(faces, mesh.faces)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=2e-6)
        assert ((normals * (vertices - vertices.mean(0))).sum(1) > 0).all()
        assert info["diameter"] == pytest.approx(pdist(vertices).max(), abs=1e-9)
        for place, axis in enumerate("xyz"):
            assert info[f"min_{axis}"] == vertices[:, place].min()
            assert info[f"size_{axis}"] == np.ptp(vertices[:, place])


def test_objects_are_numbered_as_in_coco_and_every_mask_is_that_of_the_instance_plane(
    made: Path,
) -> None:
    reader, dataset = Reader(made / "bop"), read_dataset(made)
    coco = COCO(made / "coco.json")
    for row, record in enumerate(dataset.records):
        planes = dataset.planes(row)
        annotations = coco.loadAnns(sorted(coco.getAnnIds(imgIds=row + 1)))
        seen = [number for number, one in enumerate(record.instances) if one.area]
        for number, annotation in zip(seen, annotations, strict=True):
            instance = record.instances[number]
            expected = planes["instances"] == instance.label.instance
            np.testing.assert_array_equal(coco.annToMask(annotation), expected)
            np.testing.assert_array_equal(reader.mask(row, number), expected)
            np.testing.assert_array_equal(instance.mask(), expected)
            assert annotation["category_id"] == reader.gt[row][number]["obj_id"]
            assert annotation["bbox"] == reader.info[row][number]["bbox_visib"]


def test_what_has_no_pose_is_left_out_and_has_no_mask(tmp_path: Path) -> None:
    class CrystalsAreScenery(SolidsRenderer):
        def meshes(self) -> Any:
            return {"box": super().meshes()["box"]}

        def render(self, scenes: Sequence[Scene]) -> Rendered:
            done = super().render(scenes)
            labels = tuple(
                tuple(n if n.category == "box" else replace(n, pose=None) for n in one)
                for one in done.labels
            )
            return replace(done, labels=labels)

    generate(tmp_path / "d", renderer=CrystalsAreScenery(SIZE))
    reader = Reader(tmp_path / "d" / "bop")
    assert list(reader.models) == [2]
    for row, record in enumerate(read_dataset(tmp_path / "d").records):
        boxes = [one for one in record.instances if one.label.category == "box"]
        assert [gt["obj_id"] for gt in reader.gt[row]] == [2] * len(boxes)
        for number, one in enumerate(boxes):
            np.testing.assert_array_equal(reader.mask(row, number), one.mask())
        assert not list(reader.folder.glob(f"mask_visib/{row:06d}_{len(boxes):06d}.png"))


def test_depth_that_the_format_cannot_hold_is_not_measured_there(tmp_path: Path) -> None:
    class Far(SolidsRenderer):
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            done = super().render(scenes)
            return replace(done, depth=np.where(done.depth > 1.5, done.depth + 5.5, done.depth))

    generate(tmp_path / "d", renderer=Far(SIZE))
    reader, dataset = Reader(tmp_path / "d" / "bop"), read_dataset(tmp_path / "d")
    beyond = 0
    for row, record in enumerate(dataset.records):
        exact, depth = dataset.planes(row)["depth"], reader.depth(row)
        far = exact > 6.5535
        beyond += far.sum()
        np.testing.assert_allclose(depth, np.where(far, 0, exact * 1000.0), atol=0.0501)
        for number, instance in enumerate(record.instances):
            valid = reader.info[row][number]["px_count_valid"]
            assert valid == (instance.mask() & ~far).sum()
    assert beyond > 100
    text = (tmp_path / "d" / "bop" / "dataset_info.md").read_text()
    assert f"6.5535 m is 0 there, as if not measured: {beyond} pixels" in " ".join(text.split())


def test_scenes_hold_so_many_images_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    monkeypatch.setattr("metasim.data.bop_scenes._SCENE", 5)
    generate(tmp_path / "d")
    scenes = [Reader(tmp_path / "d" / "bop", f"{number:06d}") for number in range(3)]
    assert [len(scene.gt) for scene in scenes] == [5, 5, 2]
    assert len(list((tmp_path / "d" / "bop" / "train").iterdir())) == 3
    one = Reader(made / "bop")
    for index in range(12):
        scene, image = scenes[index // 5], index % 5
        assert scene.gt[image] == one.gt[index]
        np.testing.assert_array_equal(scene.rgb(image), one.rgb(index))
        np.testing.assert_array_equal(scene.depth(image), one.depth(index))


# --- how it is written --------------------------------------------------------------------


def test_the_same_labels_are_written_with_and_without(tmp_path: Path, made: Path) -> None:
    generate(tmp_path / "d", formats=("coco",))
    for name in ("coco.json", "labels.jsonl"):
        assert (tmp_path / "d" / name).read_bytes() == (made / name).read_bytes()
    assert not (tmp_path / "d" / "bop").exists()


def test_batches_leave_no_trace(tmp_path: Path, made: Path, hashes: Hashes) -> None:
    generate(tmp_path / "d", batch_size=64)
    assert hashes(tmp_path / "d") == hashes(made)


def test_images_are_linked_or_else_copied(
    tmp_path: Path, made: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = made / "bop" / "train" / "000000" / "rgb" / "000003.png"
    assert linked.samefile(made / "images" / "000003.png")

    def refused(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    generate(tmp_path / "d")
    assert hashes(tmp_path / "d") == hashes(made)


@pytest.mark.parametrize(
    "name",
    [
        "bop/train/000000/scene_gt.json",
        "bop/train/000000/depth/000003.png",
        "bop/train/000000/mask_visib/000003_000001.png",
        "bop/train/000000/rgb/000003.png",
        "bop/models/obj_000002.ply",
        "bop/models/models_info.json",
        "bop/dataset_info.md",
        "bop/camera.json",
    ],
)
def test_a_file_that_is_lost_is_told(tmp_path: Path, name: str) -> None:
    generate(tmp_path / "d", count=4)
    assert generate(tmp_path / "d", count=4, resume=True)["rendered"] == 0
    (tmp_path / "d" / name).unlink()
    with pytest.raises(DataError, match=rf"1 files are missing or damaged \({name}\)"):
        generate(tmp_path / "d", count=4, resume=True)


def test_every_file_is_in_the_manifest(made: Path, hashes: Hashes) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    known = dict(manifest["files"])
    for entry in manifest["images"]:
        known |= {entry["image"]: entry["sha256"], entry["planes"]: entry["planes_sha256"]}
        known |= entry["files"]
    found = hashes(made)
    del found["manifest.json"]
    assert found == known


# --- what is refused ----------------------------------------------------------------------


def test_a_renderer_without_space_is_refused_before_anything_is_drawn(
    tmp_path: Path, rectangles: ModuleType
) -> None:
    for renderer, said in (
        (rectangles.RectangleRenderer(), "offers no depth and no cameras and no models; give"),
        (
            rectangles.RectangleRenderer(depth=True),
            "RectangleRenderer offers no cameras and no mod",
        ),
    ):
        with pytest.raises(DataError, match=said):
            generate(tmp_path / "d", renderer=renderer, make_scenes=rectangles.make_scenes)
        assert renderer.drawn == 0
    assert not (tmp_path / "d").exists()


def test_a_batch_that_lacks_what_the_empty_one_had_is_refused(tmp_path: Path) -> None:
    class Forgets(SolidsRenderer):
        def render(self, scenes: Sequence[Scene]) -> Rendered:
            done = super().render(scenes)
            return replace(done, cameras=None) if scenes else done

    with pytest.raises(RenderError, match="depth and cameras in every batch or in none"):
        generate(tmp_path / "d", renderer=Forgets(SIZE))
    assert not (tmp_path / "d" / "images").exists()


def test_a_pose_of_what_has_no_model_is_refused(tmp_path: Path) -> None:
    class BoxesOnly(SolidsRenderer):
        def meshes(self) -> Any:
            return {"box": super().meshes()["box"]}

    with pytest.raises(RenderError, match=r"a model .* in meshes\(\), and 'crystal' has none"):
        generate(tmp_path / "d", renderer=BoxesOnly(SIZE))
    assert not (tmp_path / "d" / "images").exists()


def test_models_that_are_none_are_refused(tmp_path: Path) -> None:
    class Wrong(SolidsRenderer):
        def meshes(self) -> Any:
            return {"box": "box.obj"}

    with pytest.raises(RenderError, match=r"meshes\(\)\['box'\] must be a metasim Mesh, got str"):
        generate(tmp_path / "d", renderer=Wrong(SIZE))
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_a_thousand_images_with_all_planes(tmp_path: Path) -> None:
    """COCO, BOP and the planes of 1001 images of 256 pixels say one thing, pixel for pixel."""
    count = 1001
    generate(tmp_path / "d", count=count, renderer=SolidsRenderer((256, 256)))
    agreed = agreement(tmp_path / "d")
    assert (agreed.images, agreed.hidden > 0) == (count, True)
    assert agreed.masks > 2500
    reader, dataset = Reader(tmp_path / "d" / "bop"), read_dataset(tmp_path / "d")
    for row in range(0, 1000, 10):  # projecting takes longer than all the rest
        for number, one in enumerate(dataset.records[row].instances):
            covered = reader.silhouette(row, reader.gt[row][number], -1e-6)
            assert (covered | (dataset.planes(row)["instances"] != one.label.instance)).all()
