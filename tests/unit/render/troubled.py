"""A renderer that draws numbers, and does to its process what a scene says; numpy is enough."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metasim.errors import DataError
from metasim.render import Camera, Label, Mesh, Pose, Rendered, Renderer
from metasim.scene import Attributes, Node, Scene


def scene(seed: int, fault: str = "", things: int = 1) -> Scene:
    """A scene of some things, whose worker a fault befalls."""
    attributes = Attributes({"fault": fault} if fault else {})
    below = (Node("thing", "thing", Attributes(), 0) for _ in range(things))
    return Scene((Node("room", "scene", attributes), *below), seed)


def scenes(count: int, **faults: str) -> list[Scene]:
    """So many scenes; ``s3="kill"`` gives the one at place 3 a fault."""
    return [scene(seed, faults.get(f"s{seed}", "")) for seed in range(count)]


IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
kept: list[Any] = []


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    """In native code that does not let go of the interpreter."""
    while True:
        ctypes.PyDLL(None).pause()


def leak() -> None:
    """Until the process is ended, or has 400 MiB more."""
    for _ in range(100):
        kept.append(np.ones(1 << 19))
        time.sleep(0.005)


def hoard() -> None:
    """Until the process is ended."""
    kept.append(np.ones(1 << 26))
    time.sleep(60)


def complain() -> None:
    raise ValueError("no lamp")


def refuse() -> None:
    raise DataError("no such mesh")


def close_all() -> None:
    os.closerange(3, 100)
    time.sleep(60)


def start_another() -> None:
    """A process that outlives this one unless someone sees to it."""
    if pid := os.fork():
        Path(os.environ["METASIM_TEST_CHILD"]).write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def start_a_program() -> None:
    """Likewise, and it holds nothing that this one has open."""
    child = subprocess.Popen(["sleep", "60"])
    Path(os.environ["METASIM_TEST_CHILD"]).write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": segfault,
    "hang": hang,
    "leak": leak,
    "hoard": hoard,
    "leave": lambda: os._exit(7),
    "exit": lambda: sys.exit(5),
    "complain": complain,
    "refuse": refuse,
    "close": close_all,
    "fork": start_another,
    "spawn": start_a_program,
    "sleep": lambda: time.sleep(0.01),
    "interrupt": lambda: os.kill(os.getppid(), signal.SIGINT),
    "babble": lambda: os.write(1, b"\0\0\0\7garbage" * 100_000),
}


class Troubled(Renderer):
    """Draws a scene's seed. The root's ``fault`` names one of FAULTS, after "once:" one
    that befalls just one process; ``notes`` is a folder where each draw is noted."""

    kinds: ClassVar[Mapping[str, frozenset[str]]] = {
        "scene": frozenset({"fault"}),
        "thing": frozenset(),
    }

    def __init__(self, notes: str = "", size: Sequence[int] = (4, 6), at_start: str = "") -> None:
        self.image_size = (size[0], size[1])
        self.notes = Path(notes) if notes else None
        self.known_categories = {"thing": ("cup", "mug")}
        self.drawn = 0
        print("troubled renderer built")
        self._befall(at_start)

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        shape = (len(scenes), *self.image_size)
        images, instances = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int32)
        for row, scene in enumerate(scenes):
            self._befall(str(scene.nodes[0].attributes.get("fault", "")))
            images[row], instances[row] = scene.seed % 251, scene.seed % 3
            if self.notes:
                with (self.notes / "drawn").open("a") as file:
                    file.write(f"{scene.seed} {os.getpid()}\n")
        labels = tuple(tuple(self._labels(scene)) for scene in scenes)
        return Rendered(images, instances, labels)

    def _labels(self, scene: Scene) -> Sequence[Label]:
        return [
            Label(i, i, n.name, n.kind, "cup", (0, 0, 1, 1), 1.0)
            for i, n in enumerate(scene.nodes)
            if n.kind == "thing"
        ]

    def _befall(self, fault: str) -> None:
        name = fault.removeprefix("once:")
        if name != fault:
            assert self.notes
            try:
                (self.notes / name).touch(exist_ok=False)
            except FileExistsError:
                return
        if name:
            FAULTS[name]()

    def close(self) -> None:
        if self.notes:
            with (self.notes / "closed").open("a") as file:
                file.write(f"{os.getpid()}\n")


class Rich(Troubled):
    """Offers everything that a renderer can, in numpy's types where it may."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        plain = super().render(scenes)
        shape = plain.instances.shape
        rng = [np.random.default_rng(scene.seed) for scene in scenes]
        draw = [r.random((*self.image_size, 4), np.float32) for r in rng]
        planes = np.stack(draw) if draw else np.zeros((*shape, 4), np.float32)
        normals = planes[..., 1:] / np.linalg.norm(planes[..., 1:], axis=-1, keepdims=True)
        pose = Pose(IDENTITY, (0.1, -0.0, 1e-300), np.float64(2.5))
        world = Pose(IDENTITY, (1e-300, 0.1, -0.0))
        labels = tuple(
            [
                Label(
                    np.int64(i + 1),
                    np.int32(0),
                    scene.nodes[0].name,
                    scene.nodes[0].kind,
                    f'Größe "{i}"\n',
                    tuple(np.arange(4)),
                    np.float32(0.1),
                    (-3, 0, 9, 9),
                    pose if i else None,
                )
                for i in range(scene.seed % 4)
            ]
            for scene in scenes
        )
        cameras = tuple(Camera(1.5, 2, 3, 4.25, world if s.seed % 2 else None) for s in scenes)
        return Rendered(
            plain.images,
            plain.instances,
            labels,
            np.asfortranarray(planes[..., 0]),
            normals,
            cameras,
        )

    def meshes(self) -> Mapping[str, Mesh]:
        rng = np.random.default_rng(3)
        return {
            name: Mesh(
                rng.random((n, 3), np.float32), np.arange(3 * n, dtype=np.int32).reshape(n, 3)
            )
            for name, n in {"cup": 5, "nothing": 0, "mug": 70_000}.items()
        }


class Moody(Troubled):
    """Offers depth of some images only."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        plain = super().render(scenes)
        if not any(scene.seed == 0 for scene in scenes):
            return plain
        depth = np.zeros(plain.instances.shape, np.float32)
        return Rendered(plain.images, plain.instances, plain.labels, depth)


class Growing(Troubled):
    """Takes 8 MiB more for each image."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        kept.extend(np.ones(1 << 20) for _ in scenes)
        return super().render(scenes)


class Shy(Troubled):
    """Ends its process over a scene with a fault in company, and once while that is alone."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        if len(scenes) > 1 and any(scene.nodes[0].attributes for scene in scenes):
            FAULTS["kill"]()
        return super().render(scenes)


class Isolated(Troubled):
    """Must not live in the user's process."""

    isolated = True

    def __init__(self, owner: int = 0, size: Sequence[int] = (4, 6)) -> None:
        assert os.getpid() != owner, "built in the user's process"
        super().__init__(size=size)


class Changing(Troubled):
    """Another renderer each time it is built."""

    def __init__(self, notes: str) -> None:
        with (Path(notes) / "built").open("a") as file:
            file.write("x")
        super().__init__(notes, (4, 4 + (Path(notes) / "built").stat().st_size))


class Unclosable(Troubled):
    """Cannot be closed, in the way that it is told."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def close(self) -> None:
        FAULTS[self.how]()


class Threaded(Troubled):
    """Tells of its process."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        heavy = sorted({"torch", "pydantic", "yaml", "scipy", "PIL"} & set(sys.modules))
        threads = os.environ.get("OMP_NUM_THREADS"), threading.active_count()
        raise DataError(f"heavy: {heavy}, threads: {threads}, python: {sys.executable}")
