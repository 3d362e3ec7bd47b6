"""What a dataset holds of each of its images, and its form in the files.

A record has two halves, each one JSON object: the *entry* (in ``manifest.json``) says how
the image was made, the *labels* (a line of ``labels.jsonl``) what is seen in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.data.geometry import camera_from_json, camera_to_json, pose_from_json, pose_to_json
from metasim.data.masks import decode_mask
from metasim.errors import DataError
from metasim.render.base import Label
from metasim.render.geometry import Camera
from metasim.scene.graph import Scene

__all__ = ["Instance", "Record", "confined"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One labelled instance of an image.

    Attributes:
        label: what the renderer said of it.
        area: its visible pixels.
        size: (H, W) of the image.
        runs: its mask as COCO's compressed run lengths.
    """

    label: Label
    area: int
    size: tuple[int, int]
    runs: str

    def mask(self) -> npt.NDArray[np.bool_]:
        """Its visible pixels, bool (H, W)."""
        return decode_mask(self.runs, self.size)

    def to_json(self) -> dict[str, Any]:
        """The instance as it stands in ``labels.jsonl``."""
        label = self.label
        known: dict[str, Any] = {}
        if label.full_box is not None:
            known["full_box"] = [int(edge) for edge in label.full_box]
        if label.pose is not None:
            known["pose"] = pose_to_json(label.pose)
        return {
            "id": int(label.instance),
            "node": int(label.node),
            "name": label.name,
            "kind": label.kind,
            "category": label.category,
            "box": [int(edge) for edge in label.box],
            "visible": float(label.visible),
            **known,
            "area": self.area,
            "mask": {"size": list(self.size), "counts": self.runs},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Instance:
        """The instance that :meth:`to_json` described."""
        height, width = (int(side) for side in data["mask"]["size"])
        label = Label(
            instance=int(data["id"]),
            node=int(data["node"]),
            name=str(data["name"]),
            kind=str(data["kind"]),
            category=str(data["category"]),
            box=_box(data["box"]),
            visible=float(data["visible"]),
            full_box=_box(data["full_box"]) if "full_box" in data else None,
            pose=pose_from_json(data["pose"]) if "pose" in data else None,
        )
        return cls(label, int(data["area"]), (height, width), str(data["mask"]["counts"]))


def _box(edges: Iterable[Any]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = map(int, edges)
    return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a dataset.

    Attributes:
        index: its place in the dataset, from 0.
        image: its file, relative to the dataset's folder.
        sha256: of that file.
        size: (H, W) in pixels.
        scene: what was drawn.
        instances: its labels, seen or not.
        planes: a .npz file with ``depth`` and ``normals`` where the renderer offers them, and
            then with ``instances`` too.
        planes_sha256: of that file.
        camera: what it was seen with, where the renderer tells.
        files: SHA-256 of the files that formats add for it, by name.
    """

    index: int
    image: str
    sha256: str
    size: tuple[int, int]
    scene: Scene
    instances: tuple[Instance, ...]
    planes: str | None = None
    planes_sha256: str | None = None
    camera: Camera | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """How it was made, for ``manifest.json``."""
        entry: dict[str, Any] = {"image": self.image, "sha256": self.sha256}
        if self.planes is not None:
            entry |= {"planes": self.planes, "planes_sha256": self.planes_sha256}
        if self.files:
            entry["files"] = dict(self.files)
        return entry | {"scene": self.scene.to_json()}

    def labels(self) -> dict[str, Any]:
        """What is seen in it, for ``labels.jsonl``."""
        height, width = self.size
        seen = {} if self.camera is None else {"camera": camera_to_json(self.camera)}
        return {
            "index": self.index,
            "image": self.image,
            "width": width,
            "height": height,
            **seen,
            "instances": [instance.to_json() for instance in self.instances],
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], labels: Mapping[str, Any]) -> Record:
        """The record of which :meth:`entry` and :meth:`labels` are the halves.

        Raises:
            DataError: when they are not, or not of the same image.
        """
        try:
            if entry["image"] != labels["image"]:
                raise DataError(f"{entry['image']!r} is labelled as {labels['image']!r}")
            return cls(
                index=int(labels["index"]),
                image=str(entry["image"]),
                sha256=str(entry["sha256"]),
                size=(int(labels["height"]), int(labels["width"])),
                scene=Scene.from_json(entry["scene"]),
                instances=tuple(Instance.from_json(item) for item in labels["instances"]),
                planes=entry.get("planes"),
                planes_sha256=entry.get("planes_sha256"),
                camera=camera_from_json(labels["camera"]) if "camera" in labels else None,
                files={str(name): str(known) for name, known in entry.get("files", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not the record of an image: {error!r}") from None


def confined(folder: Path, name: str) -> Path:
    """The file ``name`` below ``folder``.

    Raises:
        DataError: when the name leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise DataError(f"{folder}: {name!r} must name a file below the dataset's folder")
    found = folder / path
    if not found.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder}: {name!r} leads out of the dataset's folder")
    return found
