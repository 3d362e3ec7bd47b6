"""The Unity package, compiled and run without Unity: against stubs of its interface, under mono."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metasim_unity
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.scene.graph import Attributes, Node, Scene, Value
from metasim_unity.answers import Answer
from metasim_unity.canvas import PLANES, Canvas
from metasim_unity.example import KINDS
from metasim_unity.frames import Frame, Kind, read_frame, written
from metasim_unity.messages import Failure, Hello
from metasim_unity.models import read_meshes
from metasim_unity.peer.tabletop import TabletopRenderer

HERE = Path(__file__).with_name("csharp")
PLAYER = Path(metasim_unity.__file__).parent
PACKAGE, VECTORS = PLAYER / "unity", PLAYER / "vectors"
FRAMING = PACKAGE / "Runtime" / "Framing"
RUNTIME = (PACKAGE / "Runtime", PACKAGE / "Runtime" / "Attributes")
EDITOR = PACKAGE / "Editor"
CLASSES = ["car", "mug", "house", "chair"]
LONGEST = 1 << 20

needs_mono = pytest.mark.skipif(
    shutil.which("mcs") is None or shutil.which("mono") is None,
    reason="needs mono (Debian: mono-mcs, mono-runtime)",
)


def compile_to(
    file: Path, folders: Sequence[Path], *references: Path, symbols: Sequence[str] = ()
) -> Path:
    sources = sorted(str(source) for folder in folders for source in folder.glob("*.cs"))
    assert sources
    options = [
        "-langversion:7.2",
        "-warn:4",
        "-warnaserror+",
        "-r:System.Core.dll",
        f"-target:{'exe' if file.suffix == '.exe' else 'library'}",
        f"-out:{file}",
        *(f"-r:{reference}" for reference in references),
        *(f"-d:{symbol}" for symbol in symbols),
    ]
    done = subprocess.run(["mcs", *options, *sources], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with the harness and the stubs, in one program that may use what is internal."""
    file = tmp_path_factory.mktemp("program") / "program.exe"
    return compile_to(file, [FRAMING, *RUNTIME, EDITOR, HERE, HERE / "stubs"])


def node(kind: str, parent: int = -1, name: str = "it", **attributes: Value) -> Node:
    return Node(name, kind, Attributes(attributes), parent)


def run(program: Path, *arguments: object) -> None:
    command = ["mono", str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- compiling -----------------------------------------------------------------------------


@needs_mono
def test_the_framing_compiles_alone(tmp_path: Path) -> None:
    compile_to(tmp_path / "Metasim.Framing.dll", [FRAMING])


@needs_mono
@pytest.mark.parametrize("symbol", ["UNITY_EDITOR", "UNITY_STANDALONE"])
def test_the_assemblies_compile_as_unity_splits_them(tmp_path: Path, symbol: str) -> None:
    framing = compile_to(tmp_path / "Metasim.Framing.dll", [FRAMING])
    stubs = compile_to(tmp_path / "Stubs.dll", [HERE / "stubs"])
    runtime = compile_to(tmp_path / "Metasim.dll", RUNTIME, framing, stubs, symbols=[symbol])
    if symbol == "UNITY_EDITOR":
        compile_to(tmp_path / "Metasim.Editor.dll", [EDITOR], framing, stubs, runtime)


# --- framing -------------------------------------------------------------------------------


@needs_mono
def test_the_vectors_are_read_as_they_are_told_and_written_again(
    program: Path, tmp_path: Path
) -> None:
    run(program, "vectors", VECTORS, tmp_path)
    told = json.loads((VECTORS / "index.json").read_text())
    assert {file.name for file in tmp_path.iterdir()} == {
        one["file"] for one in told if "frame" in one
    }
    for file in tmp_path.iterdir():
        got, wanted = (
            read_frame((folder / file.name).read_bytes(), LONGEST) for folder in (tmp_path, VECTORS)
        )
        assert json.loads(got.text) == json.loads(wanted.text), file.name
        assert replace(got, text=b"") == replace(wanted, text=b""), file.name


@needs_mono
def test_python_reads_the_frames_of_players(program: Path, tmp_path: Path) -> None:
    run(program, "frames", tmp_path)
    hello = read_frame((tmp_path / "hello.bin").read_bytes(), LONGEST)
    assert (hello.kind, hello.request) == (Kind.HELLO, 1)
    assert json.loads(hello.text) == {
        "protocol": 1,
        "player": "a player: 車",
        "image_size": [2, 3],
        "planes": list(PLANES),
        "cameras": True,
        "rows": "bottom-up",
        "kinds": {"object": ["class", "x"]},
        "categories": {"object": ["car", "mug"]},
        "models": True,
        "request_bytes": 4_000_000,
    }
    error = read_frame((tmp_path / "error.bin").read_bytes(), LONGEST)
    assert (error.kind, error.request) == (Kind.ERROR, 7)
    assert json.loads(error.text) == {"code": "scene", "message": "x" * 1999, "scene": 1}


@needs_mono
def test_python_takes_the_images_of_players(program: Path, tmp_path: Path) -> None:
    run(program, "frames", tmp_path)
    nodes = (node("scene"), node("object", 0, "a"), node("object", 0, "b"))
    canvas = Canvas(2, (2, 3), tuple(PLANES), seen=True)
    answer = Answer(canvas, [Scene(nodes, 0)] * 2, flipped=True, models=["car"])
    for part in range(2):
        answer.take(read_frame((tmp_path / f"images-{part}.bin").read_bytes(), LONGEST))
    assert answer.done
    rendered = canvas.rendered()
    lower, upper = range(9), range(9, 18)
    assert rendered.images[0].ravel().tolist() == [*upper, *lower]
    assert rendered.images[1].ravel().tolist() == [one + 1 for one in [*upper, *lower]]
    assert rendered.instances[0].tolist() == [[0, 0, 0], [1, 0, 0]]
    car, mug = rendered.labels[0]
    assert (car.name, car.category, car.box, car.visible) == ("a", "car", (0, 1, 1, 2), 1 / 3)
    assert car.full_box == (-2, 1, 1, 2)
    assert car.pose == Pose((1, 0, 0, 0, 0, -1, 0, 1, 0), (0.1, -1e-7, 1.5e10), 2)
    assert (mug.name, mug.box, mug.visible, mug.pose) == ("b", (0, 0, 0, 0), 0, None)
    assert rendered.cameras is not None
    assert rendered.cameras[1] == Camera(1.5, 2.5, 1.5, 1, Pose(car.pose.rotation, (0, 0, 0)))


# --- geometry ------------------------------------------------------------------------------

CORNERS = np.array([[0.1, 0.2, 0.3], [-0.2, 0.1, 0.05], [0.15, -0.1, 0.0], [0, 0, 0.4]])
ATTRIBUTES = [
    ((48, 64), {}, {}),
    ((64, 48), {"azimuth": 37, "elevation": 20, "fov": 55, "x": 0.1, "y": -0.2}, {"yaw": 90}),
    ((64, 64), {"elevation": 90, "distance": 2, "z": 0.2}, {"roll": 30, "x": 0.3, "z": 0.1}),
    ((33, 17), {"azimuth": -120, "elevation": 70}, {"pitch": 40, "y": -0.25, "scale": 0.7}),
    ((20, 90), {"azimuth": 200}, {"yaw": 10, "roll": 20, "pitch": -30, "scale": 1.4, "z": -0.1}),
]


def turned(axis: int, degrees: float) -> np.ndarray:
    """A rotation about an axis, counter-clockwise for who looks against it."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.eye(3)
    after, last = (axis + 1) % 3, (axis + 2) % 3
    turn[after, after], turn[after, last], turn[last, after], turn[last, last] = c, -s, s, c
    return turn


def placed(values: dict[str, float]) -> np.ndarray:
    """The corners in the world, as the vocabulary has it."""
    roll, pitch, yaw = (values.get(name, 0) for name in ("roll", "pitch", "yaw"))
    corners = (
        values.get("scale", 1) * CORNERS @ (turned(2, yaw) @ turned(1, pitch) @ turned(0, roll)).T
    )
    lift = values.get("z", 0) - corners[:, 2].min()
    return corners + np.array([values.get("x", 0), values.get("y", 0), lift])


def seen_by(
    values: dict[str, float], size: tuple[int, int]
) -> tuple[float, np.ndarray, np.ndarray]:
    """The camera's focal length; rotation and translation from the world to it."""
    azimuth, elevation = (
        math.radians(values.get(n, d)) for n, d in (("azimuth", 0), ("elevation", 45))
    )
    away = [math.sin(azimuth), -math.cos(azimuth)]
    back = np.array([*(math.cos(elevation) * one for one in away), math.sin(elevation)])
    target = np.array(
        [values.get(name, default) for name, default in (("x", 0), ("y", 0), ("z", 0.05))]
    )
    right = np.array([math.cos(azimuth), math.sin(azimuth), 0])
    turn = np.array([right, np.cross(-back, right), -back])
    focal = max(size) / 2 / math.tan(math.radians(values.get("fov", 40)) / 2)
    return focal, turn, -turn @ (target + values.get("distance", 1.6) * back)


def as_pose(told: dict[str, Any]) -> Pose:
    return Pose(tuple(told["rotation"]), tuple(told["translation"]), told["scale"])


@pytest.fixture(scope="module")
def geometry(program: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the package says of each of the cases."""
    folder = tmp_path_factory.mktemp("geometry")
    asked = [
        {
            "size": size,
            "camera": camera,
            "object": thing,
            "corners": CORNERS.tolist(),
            "window": [-5, 3, 40, 29],
        }
        for size, camera, thing in ATTRIBUTES
    ]
    (folder / "asked.json").write_text(json.dumps(asked))
    run(program, "geometry", folder / "asked.json", folder / "told.json")
    told: list[dict[str, Any]] = json.loads((folder / "told.json").read_text())["cases"]
    return told


@needs_mono
@pytest.mark.parametrize("case", range(len(ATTRIBUTES)))
def test_cameras_and_poses_are_those_of_the_vocabulary(
    geometry: list[dict[str, Any]], case: int
) -> None:
    (size, camera, thing), told = ATTRIBUTES[case], geometry[case]
    focal, turn, move = seen_by(camera, size)
    got = [told["camera"][name] for name in ("fx", "fy", "cx", "cy")]
    assert got == pytest.approx([focal, focal, size[1] / 2, size[0] / 2], rel=1e-5)
    corners = placed(thing)
    expected = corners @ turn.T + move
    world, pose = as_pose(told["camera"]["world"]), as_pose(told["pose"])
    assert world.apply(corners) == pytest.approx(expected, abs=1e-5)
    assert pose.apply(CORNERS) == pytest.approx(expected, abs=1e-5)
    assert pose.scale == pytest.approx(thing.get("scale", 1), rel=1e-5)
    for one in (world, pose):
        rotation = np.reshape(one.rotation, (3, 3))
        assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)


@needs_mono
@pytest.mark.parametrize("case", range(len(ATTRIBUTES)))
def test_windows_lie_on_the_grid_of_the_image(geometry: list[dict[str, Any]], case: int) -> None:
    (size, camera, thing), told = ATTRIBUTES[case], geometry[case]
    focal, turn, move = seen_by(camera, size)
    pinhole = Camera(focal, focal, size[1] / 2, size[0] / 2)
    expected = pinhole.project(placed(thing) @ turn.T + move)
    clip = np.array(told["clip"])  # of a window from (-5, 3) to (40, 29), y up
    columns, rows = -5 + 45 * (clip[:, 0] + 1) / 2, 3 + 26 * (1 - clip[:, 1]) / 2
    assert np.stack([columns, rows], 1) == pytest.approx(expected, abs=1e-3)
    x0, y0, x1, y1 = told["bounds"]
    assert (x1 - x0) % 32 == (y1 - y0) % 32 == 0
    assert ([x0, y0] <= expected - 0.5).all()
    assert (expected + 0.5 <= [x1, y1]).all()


# --- scenes --------------------------------------------------------------------------------


def built(program: Path, folder: Path, scenes: Sequence[Scene]) -> dict[str, Any]:
    values = {"scenes": [scene.to_json() for scene in scenes]}
    (folder / "asked.bin").write_bytes(Frame(Kind.RENDER, 1, written(values)).to_bytes())
    run(program, "scenes", folder / "asked.bin", folder / "told.json")
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


@needs_mono
def test_scenes_of_the_example_are_built(
    program: Path, tmp_path: Path, scenes: list[Scene]
) -> None:
    told = built(program, tmp_path, scenes)
    assert told["kinds"] == {kind: sorted(names) for kind, names in KINDS.items()}
    assert told["categories"] == {"object": CLASSES}
    for scene, nodes in zip(scenes, told["scenes"], strict=True):
        assert [one["kind"] for one in nodes] == [one.kind for one in scene.nodes]
        assert [one["place"] for one in nodes] == [*range(len(scene.nodes))]
        objects = [one for one in nodes if one["kind"] == "object"]
        assert [one["instance"] for one in objects] == [*range(1, len(objects) + 1)]
        assert all(one["instance"] == 0 for one in nodes if one["kind"] != "object")
        classes = [one.attributes["class"] for one in scene.nodes if one.kind == "object"]
        assert [one["category"] for one in objects] == classes


def mixed(seed: int, number: int) -> int:
    """SplitMix64's finaliser, 31 bits of it."""
    bits = ((number + 1) * 0x9E3779B97F4A7C15 ^ seed) % 2**64
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    return (bits ^ bits >> 31) >> 33


@needs_mono
def test_what_a_scene_does_not_say_is_there_by_default(program: Path, tmp_path: Path) -> None:
    seeds = [0, 1, 2**62 + 12345, 2**63 - 1]
    nodes = (node("scene"), node("object", 0, "a"), node("object", 0, "b"))
    told = built(program, tmp_path, [Scene(nodes, seed) for seed in seeds])
    for seed, found in zip(seeds, told["scenes"], strict=True):
        given, added = found[:3], found[3:]
        assert [one["category"] for one in given[1:]] == [
            CLASSES[mixed(seed, place) % len(CLASSES)] for place in (1, 2)
        ]
        assert [(one["kind"], one["place"]) for one in added] == [
            ("table", -1),
            ("light", -1),
            ("camera", -1),
        ]


@needs_mono
def test_what_cannot_be_built_is_named(program: Path, tmp_path: Path) -> None:
    nodes = [
        node("cat"),
        node("object", colour=1),
        node("object", **{"class": "cat"}),
        node("object", **{"class": 3}),
        node("object", x="far"),
        node("object", scale=0),
        node("camera", fov=170.5),
    ]
    scenes = [Scene((one,)) for one in nodes]
    scenes.append(Scene((node("camera", name="a"), node("camera", name="b"))))
    scenes.append(Scene((node("object"),)))
    *refused, fine = built(program, tmp_path, scenes)["scenes"]
    assert refused == [
        "scene: this player builds nodes of kind scene, table, light, camera, object "
        "(node it of kind cat)",
        refused[1],
        "scene: class must be one of car, mug, house, chair, got cat (node it of kind object)",
        "scene: class must be text, got 3 (node it of kind object)",
        "scene: x must be a number from -1000 to 1000, got far; give it a range in the grammar "
        "(node it of kind object)",
        "scene: scale must be a number from 0.001 to 1000, got 0; give it a range in the grammar "
        "(node it of kind object)",
        "scene: fov must be a number from 1 to 170, got 170.5; give it a range in the grammar "
        "(node it of kind camera)",
        "scene: a scene must have at most one camera; remove one (node b of kind camera)",
    ]
    known = ", ".join(sorted(KINDS["object"]))
    assert re.fullmatch(rf"scene: a \w+ understands {known}, got colour \(.*\)", refused[1])
    assert fine[0]["kind"] == "object"


# --- the player ----------------------------------------------------------------------------


def answered(
    program: Path, folder: Path, asked: Sequence[bytes], *conditions: str
) -> list[list[Frame]]:
    """The frames that a player answers with, one after the other."""
    folders = folder / "asked", folder / "told"
    for one in folders:
        one.mkdir()
    for number, data in enumerate(asked):
        (folders[0] / f"{number:02}.bin").write_bytes(data)
    run(program, "answers", *folders, *conditions)
    return [
        [
            read_frame((folders[1] / f"{number:02}-{part}.bin").read_bytes(), LONGEST)
            for part in range(len(list(folders[1].glob(f"{number:02}-*.bin"))))
        ]
        for number in range(len(asked))
    ]


@needs_mono
def test_the_player_is_ready_after_whatever_comes(program: Path, tmp_path: Path) -> None:
    fine = {"protocols": [1], "image_size": [4, 4], "planes": ["images", "instances"]}
    render = {"scenes": [{"seed": 0, "nodes": []}]}
    asked = [
        (Frame(Kind.RENDER, 1, written(render)).to_bytes(), 1, "protocol"),  # before CONFIGURE
        (b"", 0, "protocol"),
        (b"MSIX" + Frame(Kind.CONFIGURE, 2, written(fine)).to_bytes()[4:], 0, "protocol"),
        (Frame(Kind.CONFIGURE, 3, written({**fine, "protocols": [2]})).to_bytes(), 3, "protocol"),
        (
            Frame(Kind.CONFIGURE, 4, written({**fine, "image_size": [4, 0]})).to_bytes(),
            4,
            "protocol",
        ),
        (
            Frame(Kind.CONFIGURE, 5, written({**fine, "planes": ["images"]})).to_bytes(),
            5,
            "protocol",
        ),
        (Frame(Kind.CONFIGURE, 6, written({})).to_bytes(), 6, "protocol"),
        (Frame(Kind.HELLO, 7, written({})).to_bytes(), 7, "protocol"),
        (Frame(Kind.RENDER, 8, written(render)).to_bytes()[:-1], 8, "protocol"),
        (bytes(4_000_001), 0, "limit"),
        (Frame(Kind.CONFIGURE, 9, written(fine)).to_bytes(), 9, "size"),
    ]
    told = answered(program, tmp_path, [data for data, _, _ in asked], "blind")
    for (frame,), (_, request, code) in zip(told, asked, strict=True):
        assert (frame.kind, frame.request, frame.told(Failure).code) == (Kind.ERROR, request, code)
    assert "-nographics" in told[-1][0].told(Failure).message


@needs_mono
def test_a_scene_that_cannot_be_built_ends_an_answer(program: Path, tmp_path: Path) -> None:
    configure = {"protocols": [1], "image_size": [8, 8], "planes": ["images", "instances"]}
    scenes = [Scene((node(kind),)).to_json() for kind in ("object", "cat", "object")]
    asked = [
        Frame(Kind.CONFIGURE, 1, written(configure)).to_bytes(),
        Frame(Kind.RENDER, 2, written({"scenes": scenes})).to_bytes(),
        Frame(Kind.RENDER, 3, written({"scenes": scenes[:1]})).to_bytes(),
    ]
    _, (first, error), (image,) = answered(program, tmp_path, asked)
    assert (first.kind, first.part, first.parts) == (Kind.IMAGES, 0, 3)
    assert (error.kind, error.told(Failure).code, error.told(Failure).scene) == (
        Kind.ERROR,
        "scene",
        1,
    )
    assert (image.kind, image.request, image.parts) == (Kind.IMAGES, 3, 1)


def check_models(got: Mapping[str, Mesh], expected: Mapping[str, Mesh]) -> None:
    """The same boxes, and surfaces that look outwards; drums have other numbers of sides."""
    assert list(got) == CLASSES
    for name, mesh in got.items():
        for bound in (np.min, np.max):
            assert bound(mesh.vertices, 0) == pytest.approx(
                bound(expected[name].vertices, 0), abs=4e-3
            )
        assert volume(mesh) == pytest.approx(volume(expected[name]), rel=0.1)


def volume(mesh: Mesh) -> float:
    """What a closed surface holds; below 0 where it looks inwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(float) for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@needs_mono
def test_a_player_that_was_not_configured_has_no_models(program: Path, tmp_path: Path) -> None:
    asked = [Frame(Kind.MODELS, 1, b"{}").to_bytes()]
    ((error,),) = answered(program, tmp_path, asked)
    assert error.told(Failure).code == "protocol"


@needs_mono
@pytest.mark.parametrize("condition", ["upright", "upside-down"])
def test_the_ground_truth_is_that_of_the_reference_peer(
    program: Path, tmp_path: Path, scenes: list[Scene], condition: str
) -> None:
    """Drawn by the stubs' command buffers, of the sample's own models."""
    size = (48, 64)
    configure = {"protocols": [1], "image_size": size, "planes": list(PLANES)}
    crowd = [node("object", x=x, y=x - 0.3, yaw=70, **{"class": "car"}) for x in (-0.9, 0.0, 0.3)]
    camera = node("camera", fov=25, distance=1.2, elevation=20)
    scenes = [*scenes, Scene((*crowd, camera))]
    asked = [
        Frame(Kind.CONFIGURE, 1, written(configure)).to_bytes(),
        Frame(Kind.MODELS, 2, b"{}").to_bytes(),
        Frame(
            Kind.RENDER, 3, written({"scenes": [scene.to_json() for scene in scenes]})
        ).to_bytes(),
    ]
    (hello,), models, frames = answered(program, tmp_path, asked, condition)
    assert hello.told(Hello).categories == {"object": tuple(CLASSES)}
    peer = TabletopRenderer(size)
    check_models(read_meshes(models), peer.meshes())
    canvas = Canvas(len(scenes), size, tuple(PLANES), seen=True)
    answer = Answer(canvas, scenes, True, CLASSES)
    for frame in frames:
        answer.take(frame)
    got, expected = canvas.rendered(), peer.render(scenes)
    assert got.images[0, 0, 5].tolist() == [5, 47, 0]  # the stub's image tells column and row
    assert got.depth is not None
    assert got.normals is not None
    assert expected.depth is not None
    assert expected.normals is not None
    same = got.instances == expected.instances
    assert same.mean() > 0.999
    things = same & (got.instances > 0)
    assert got.depth[things] == pytest.approx(expected.depth[things], abs=1e-3)
    near = np.linalg.norm(got.normals - expected.normals, axis=3)[things] < 1e-3
    assert near.mean() > 0.98  # but where two faces meet
    visible = []
    # Where faces of two things lie in one plane, the last bit of a depth says which one is seen,
    # and that bit is another on other processors.
    tied = (~same & (np.abs(got.depth - expected.depth) < 1e-5)).sum((1, 2))
    for row, (ours, theirs) in enumerate(zip(got.labels, expected.labels, strict=True)):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            assert (one.node, one.category) == (other.node, other.category)
            assert one.box == pytest.approx(other.box, abs=1)
            assert one.full_box is not None
            seen = int((expected.instances[row] == number).sum())
            shares = tied[row] * other.visible / seen if seen else 0.0
            assert one.visible == pytest.approx(other.visible, abs=0.03 + shares)
            if max(map(abs, other.full_box or ())) < 2 * max(size):
                assert one.full_box == pytest.approx(other.full_box, abs=1)
            visible.append(one.visible)
            assert one.pose is not None
            assert other.pose is not None
            assert one.pose.rotation == pytest.approx(other.pose.rotation, abs=1e-4)
            assert one.pose.translation == pytest.approx(other.pose.translation, abs=1e-4)
            assert one.pose.scale == pytest.approx(other.pose.scale, abs=1e-4)
    assert {0.0, 1.0} < {*visible}  # all sorts are there


# --- the package ---------------------------------------------------------------------------


def assets() -> list[Path]:
    return [path for path in PACKAGE.rglob("*") if path.suffix != ".meta"]


def test_every_asset_has_an_identity_that_stays() -> None:
    """In a package that Unity may not write to, what has no .meta is not seen."""
    assert {path.with_name(path.name + ".meta") for path in assets()} == {*PACKAGE.rglob("*.meta")}
    for path in assets():
        name = f"dev.metasim.unity/{path.relative_to(PACKAGE).as_posix()}"
        guid = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        told = path.with_name(path.name + ".meta").read_text()
        assert f"\nguid: {guid}\n" in told, f"the GUID must be the MD5 digest of {name}: {guid}"
        assert ("\nfolderAsset: yes\n" in told) == path.is_dir()


def test_the_version_is_that_of_metasim() -> None:
    pyproject = (PLAYER.parents[1] / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*)"$', pyproject, re.MULTILINE)
    assert version is not None
    assert json.loads((PACKAGE / "package.json").read_text())["version"] == version[1]
    player = (PACKAGE / "Runtime" / "Player.cs").read_text()
    assert f'Version = "{version[1]}"' in player


def test_assemblies_refer_to_what_there_is() -> None:
    told = [json.loads(file.read_text()) for file in PACKAGE.rglob("*.asmdef")]
    names = {one["name"] for one in told}
    assert names == {"Metasim", "Metasim.Framing", "Metasim.Editor"}
    for one in told:
        assert {*one["references"]} <= names | {"Unity.ML-Agents"}
        assert one["noEngineReferences"] == (one["name"] == "Metasim.Framing")


def test_components_have_files_of_their_names() -> None:
    """Else Unity cannot attach them to prefabs."""
    for file in PACKAGE.rglob("*.cs"):
        for name in re.findall(r"class (\w+) : (?:MonoBehaviour|Agent)\b", file.read_text()):
            assert file.stem == name


def test_the_shader_is_where_it_is_looked_for() -> None:
    truth = (PACKAGE / "Runtime" / "GroundTruth.cs").read_text()
    name = re.search(r'ShaderName = "(.*)"', truth)
    assert name is not None
    shader = PACKAGE / "Runtime" / "Resources" / f"{name[1]}.shader"
    for property_name in re.findall(r'PropertyToID\("(\w+)"\)', truth):
        assert property_name in shader.read_text()
