"""A reader of BOP's layout that knows nothing but the format's description, and what must agree.

https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from scipy.spatial import ConvexHull

from metasim.data import read_dataset


class Reader:
    """One scene of a BOP dataset: lengths in millimetres, pixels' centres at whole numbers."""

    def __init__(self, root: Path, scene: str = "000000") -> None:
        self.root, self.folder = root, root / "train" / scene
        camera, gt, info = (
            {int(key): value for key, value in json.loads(path.read_text()).items()}
            for path in (
                self.folder / f"{name}.json"
                for name in ("scene_camera", "scene_gt", "scene_gt_info")
            )
        )
        assert list(camera) == list(gt) == list(info) == list(range(len(camera)))
        self.camera, self.gt, self.info = camera, gt, info
        self.models = {
            int(path.stem.removeprefix("obj_")): read_ply(path)
            for path in sorted((root / "models").glob("obj_*.ply"))
        }

    def rgb(self, image: int) -> np.ndarray:
        return np.asarray(Image.open(self.folder / "rgb" / f"{image:06d}.png"))

    def matrix(self, image: int) -> np.ndarray:
        return np.reshape(self.camera[image]["cam_K"], (3, 3))

    def depth(self, image: int) -> np.ndarray:
        """(H, W) in millimetres."""
        file = Image.open(self.folder / "depth" / f"{image:06d}.png")
        assert file.mode == "I;16"
        return np.asarray(file).astype(np.float64) * self.camera[image]["depth_scale"]

    def mask(self, image: int, number: int) -> np.ndarray:
        plane = np.asarray(Image.open(self.folder / "mask_visib" / f"{image:06d}_{number:06d}.png"))
        assert plane.dtype == np.uint8
        assert set(np.unique(plane)) <= {0, 255}
        return plane > 0

    def points(self, image: int) -> np.ndarray:
        """(H, W, 3), where in the camera's frame each pixel's surface is."""
        depth = self.depth(image)
        rows, columns = np.indices(depth.shape)
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
        return pixels @ np.linalg.inv(self.matrix(image)).T * depth[..., None]

    def silhouette(self, image: int, gt: dict[str, Any], margin: float) -> np.ndarray:
        """Pixels whose centre the posed model, which must be convex, covers with a margin."""
        posed = put(gt, self.models[gt["obj_id"]][0])
        seen = posed @ self.matrix(image).T
        hull = ConvexHull(seen[:, :2] / seen[:, 2:])
        rows, columns = np.indices(self.depth(image).shape)
        away = np.stack([columns, rows], -1) @ hull.equations[:, :2].T + hull.equations[:, 2]
        return (away <= -margin).all(-1)


def put(gt: dict[str, Any], points: np.ndarray) -> np.ndarray:
    rotation = np.reshape(gt["cam_R_m2c"], (3, 3))
    return gt.get("scale", 1.0) * points @ rotation.T + gt["cam_t_m2c"]


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), normals (V, 3) and faces (F, 3)."""
    head, _, body = path.read_text(encoding="ascii").partition("end_header\n")
    lines = head.splitlines()
    assert lines[:2] == ["ply", "format ascii 1.0"]
    count = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element")}
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    assert names == ["x", "y", "z", "nx", "ny", "nz"]
    assert lines[-1] == "property list uchar int vertex_indices"
    rows = [line.split() for line in body.splitlines()]
    assert len(rows) == count["vertex"] + count["face"]
    vertices = np.array(rows[: count["vertex"]], float)
    faces = np.array(rows[count["vertex"] :], int)
    assert (faces[:, 0] == 3).all()
    return vertices[:, :3], vertices[:, 3:], faces[:, 1:]


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return [-1, -1, -1, -1]
    x, y = int(columns.min()), int(rows.min())
    return [x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1]


# --- what three formats say of the same images ----------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """What was compared, all of it found equal.

    Attributes:
        images: of the dataset.
        masks: of instances that are seen, each in COCO, in BOP and in the plane of ids.
        hidden: instances that are not seen.
    """

    images: int
    masks: int
    hidden: int


def agreement(root: Path) -> Agreement:
    """Compare COCO (by pycocotools), BOP (by :class:`Reader`) and the planes of a dataset.

    Raises:
        AssertionError: where they do not say one thing, pixel for pixel.
    """
    dataset, coco = read_dataset(root), COCO(root / "coco.json")
    scenes = [Reader(root / "bop", path.name) for path in sorted((root / "bop/train").iterdir())]
    assert sum(len(scene.gt) for scene in scenes) == len(dataset.records) == len(coco.getImgIds())
    masks = hidden = 0
    for row, record in enumerate(dataset.records):
        reader, image = scenes[row // 1000], row % 1000
        planes = dataset.planes(row)
        ids = planes["instances"]
        np.testing.assert_array_equal(planes["depth"] > 0, planes["normals"].any(2))
        np.testing.assert_allclose(reader.depth(image), 1000 * planes["depth"], atol=0.0501)
        assert {*np.unique(ids)} - {0} <= {one.label.instance for one in record.instances}
        assert len(record.instances) == len(reader.gt[image])
        annotations = coco.loadAnns(sorted(coco.getAnnIds(imgIds=row + 1)))
        seen = [number for number, one in enumerate(record.instances) if one.area]
        hidden += len(record.instances) - len(seen)
        for number, annotation in zip(seen, annotations, strict=True):
            expected = ids == record.instances[number].label.instance
            np.testing.assert_array_equal(coco.annToMask(annotation), expected)
            np.testing.assert_array_equal(reader.mask(image, number), expected)
            assert reader.info[image][number]["bbox_visib"] == box_of(expected)
            masks += 1
    return Agreement(len(dataset.records), masks, hidden)
