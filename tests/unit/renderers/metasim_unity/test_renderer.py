from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.errors import PluginError, RenderError
from metasim.render import Rendered, make_renderer
from metasim.render.options import Workers
from metasim.scene.graph import Attributes, Node, Scene
from metasim.testing import RendererContract
from metasim_unity import UnityRenderer
from metasim_unity.peer.tabletop import TabletopRenderer
from tests.unit.renderers.metasim_unity.conftest import PEER

pytestmark = pytest.mark.unity

Launch = Callable[..., UnityRenderer]


class TestLaunched(RendererContract):
    """The contract holds of what the peer draws, through the connection."""

    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    renderer = UnityRenderer
    options = {"player": str(PEER)}  # noqa: RUF012 - as the contract has it


class TestPeer(RendererContract):
    """The contract holds of the peer's own renderer."""

    renderer = TabletopRenderer


def same(one: Rendered, other: Rendered) -> bool:
    planes = ("images", "instances", "depth", "normals")
    return one.labels == other.labels and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in planes
    )


def gone(pid: int) -> bool:
    """Whether a process is gone, soon."""
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("arguments", [(), ("--rows", "top-down"), ("--scenes", "2")])
def test_what_comes_through_is_what_was_drawn(
    launched: Launch, scenes: list[Scene], arguments: tuple[str, ...]
) -> None:
    drawn = launched(*arguments, image_size=(48, 64), scenes=4).render(scenes)
    wanted = TabletopRenderer((48, 64)).render(scenes)
    assert same(drawn, wanted)
    assert drawn.cameras == wanted.cameras
    assert all(label.pose for labels in drawn.labels for label in labels)


def test_models_come_through_and_poses_only_with_them(
    launched: Launch, scenes: list[Scene]
) -> None:
    renderer = launched()
    wanted = TabletopRenderer().meshes()
    for name, mesh in renderer.meshes().items():
        assert np.array_equal(mesh.vertices, wanted[name].vertices)
    without = launched("--fault", "modelless")
    assert not without.meshes()
    assert not any(label.pose for labels in without.render(scenes).labels for label in labels)


def test_planes_that_nobody_wants_are_not_sent(launched: Launch, scenes: list[Scene]) -> None:
    drawn = launched(planes=["depth"]).render(scenes[:1])
    assert drawn.depth is not None
    assert drawn.normals is None


def test_another_engine_is_drawn_alike(launched: Launch) -> None:
    from metasim_mnist import MnistRenderer

    kinds = {kind: sorted(names) for kind, names in MnistRenderer.kinds.items()}
    there = launched("--engine", "glyphs", image_size=(32, 32), kinds=kinds)
    digit = Node("digit", "digit", Attributes({"class": "7", "yaw": 30.0}), 0)
    scene = Scene((Node("scene", "scene", Attributes()), digit), 5)
    assert np.array_equal(
        there.render([scene]).images, MnistRenderer(image_size=(32, 32)).render([scene]).images
    )
    assert there.known_categories["digit"] == MnistRenderer().known_categories["digit"]


def test_a_player_killed_between_exchanges_is_started_again(
    launched: Launch, scenes: list[Scene], capsys: pytest.CaptureFixture[str]
) -> None:
    renderer = launched()
    before = renderer.render(scenes)
    for _ in range(2):
        assert renderer.player_pid is not None
        os.kill(renderer.player_pid, signal.SIGKILL)
        assert same(renderer.render(scenes), before)
    assert "SIGKILL" in capsys.readouterr().err


def test_a_player_killed_inside_an_exchange_is_started_again(
    launched: Launch, scenes: list[Scene]
) -> None:
    renderer = launched(scenes=1)
    many = scenes * 30
    assert renderer.player_pid is not None
    victim = threading.Timer(0.1, os.kill, (renderer.player_pid, signal.SIGKILL))
    victim.start()
    drawn = renderer.render(many)
    victim.join()
    assert same(drawn, TabletopRenderer().render(many))


def test_closing_ends_the_player_and_what_it_started(launched: Launch, scenes: list[Scene]) -> None:
    renderer = launched()
    renderer.render(scenes[:1])
    pid = renderer.player_pid
    assert pid is not None
    renderer.close()
    assert gone(pid)
    renderer.close()


def test_a_scene_that_cannot_be_built_is_told_and_the_next_drawn(
    launched: Launch, scenes: list[Scene]
) -> None:
    renderer = launched(scenes=4)
    pid = renderer.player_pid
    wrong = Scene((Node("scene", "scene", Attributes()), Node("cat", "cat", Attributes(), 0)))
    with pytest.raises(RenderError, match=r"no kind is 'cat'"):
        renderer.render([*scenes[:5], wrong])
    assert same(renderer.render(scenes[:2]), TabletopRenderer().render(scenes[:2]))
    assert renderer.player_pid == pid


FAULTS = {
    # fault: (frames before it, options, what the message says)
    "exit": (1, {}, r"exit code 3; the end of its log:(.|\n)*asked to exit with code 3"),
    "die": (1, {}, r"ended with signal SIGKILL"),
    "hang": (1, {"answering": 0.5}, r"did not answer within 0.5 s"),
    "stale": (1, {}, r"within 1000 exchanges, got 1 frames of other requests"),
    "protocol": (0, {}, r"of version 1, got 9; bring metasim's Unity package"),
    "kind": (1, {}, r"of the kinds \[1, 2, 3, 4, 5, 6, 7\], got 77"),
    "part": (1, {}, r"part must be below 1"),
    "json-length": (1, {}, r"must have 429\d+ bytes, got"),
    "planes-length": (1, {}, r"must have 429\d+ bytes, got"),
    "short": (0, {}, r"28 bytes or more, got 27"),
    "garbage": (1, {}, r"must begin with b'MSIM'"),
    "rows": (0, {}, r"HELLO.rows: Input should be 'top-down' or 'bottom-up', got 'sideways'"),
    "size": (0, {}, r"image_size must be the \(64, 64\) asked for, got \(7, 7\)"),
    "planes": (0, {}, r"planes must be of the .* asked for, got \[\]"),
    "count": (1, {}, r"from 1 to 9 scenes, .* got 10000 from number 0 on"),
    "labels": (1, {}, r"IMAGES.labels: Input should be a valid array, got None"),
    "black": (1, {}, r"\[0, 0, 0\] all over .* never give it -nographics.*xvfb-run -a"),
    "failed": (1, {}, r"the player failed: a shader"),
    "mute": (0, {}, r"must have metasim's package with a MetasimBridge .* or give 'parameters'"),
    "version": (0, {}, r"speak version 1.5.0 .* but speaks '2.0.0'"),
    "absent": (0, {"connecting": 0.5}, r"no player connected within 0.5 s: it must be built with"),
    "deaf": (0, {"answering": 0.5}, r"did not answer within 0.5 s: .* must request decisions"),
    "idle": (0, {"answering": 0.5}, r"did not answer within 0.5 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told(launched: Launch, scenes: list[Scene], fault: str) -> None:
    after, options, told = FAULTS[fault]
    with pytest.raises(RenderError, match=told):
        launched("--fault", fault, "--after", str(after), **options).render(scenes)


def test_frames_of_other_requests_are_thrown_away(launched: Launch, scenes: list[Scene]) -> None:
    renderer = launched("--fault", "late")
    assert same(renderer.render(scenes), TabletopRenderer().render(scenes))


def test_a_scene_too_large_for_a_player_is_refused(launched: Launch) -> None:
    renderer = launched()
    root = Node("scene", "scene", Attributes())
    thing = Node("x" * 1000, "object", Attributes(), 0)
    with pytest.raises(RenderError, match=r"4000000 bytes .* scene 0 of the batch has"):
        renderer.render([Scene((root, *[thing] * 4000))])


def test_scenes_that_do_not_fit_together_are_sent_apart(launched: Launch) -> None:
    renderer = launched(scenes=8, planes=[])
    root = Node("scene", "scene", Attributes())
    thing = Node("x" * 100_000, "object", Attributes({"x": 0.1}), 0)
    many = [Scene((root, *[thing] * 15), seed) for seed in range(5)]
    assert np.array_equal(renderer.render(many).images, TabletopRenderer().render(many).images)


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(PluginError, match=rf"port {port} of 127.0.0.1 must be free"):
            UnityRenderer(port=port)


def test_it_listens_on_loopback_alone(launched: Launch) -> None:
    port = launched().port
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = row.split()
            if state == "0A" and local.endswith(f":{port:04X}"):
                addresses.add(local.rpartition(":")[0])
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert addresses


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_size": [0, 4]}, "image_size"),
        ({"planes": ["colour"]}, "planes must be a list of depth, normals"),
        ({"kinds": {"a": "b"}}, "kinds must map each kind to a list"),
        ({"parameters": {"yaw": "a"}}, "keys of 'parameters' must be kind.attribute"),
        ({"parameters": {"object.yaw": {"name": "a", "times": 2}}}, "parameters.object.yaw must"),
        ({"scenes": 0}, "scenes must be"),
        ({"connecting": -1}, "connecting must be"),
        ({"player": "/nowhere/build.x86_64"}, "must be a program that can be started"),
    ],
)
def test_options_that_are_wrong_are_told(options: dict[str, Any], told: str) -> None:
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    with pytest.raises(PluginError, match=told):
        UnityRenderer(**options)


def test_the_peer_is_started_as_a_build_is(tmp_path: Path, scenes: list[Scene]) -> None:
    """By its file, wherever that lies: the Python to use is told to it."""
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    build = tmp_path / "build.x86_64"
    build.write_bytes(PEER.read_bytes())
    build.chmod(0o755)
    with UnityRenderer(player=build) as renderer:
        assert same(renderer.render(scenes), TabletopRenderer().render(scenes))


def test_two_players_side_by_side(scenes: list[Scene]) -> None:
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    hired = Workers(count=2)
    with make_renderer("metasim_unity:UnityRenderer", {"player": str(PEER)}, workers=hired) as pool:
        drawn = pool.render(scenes)
    assert same(drawn, TabletopRenderer().render(scenes))


def test_a_player_that_lacks_what_the_user_says_it_has_is_refused(launched: Launch) -> None:
    kinds = {"scene": ["red"], "object": ["x", "spin"], "robot": []}
    with pytest.raises(RenderError, match=r"lacks robot, object\.spin; it understands .*'camera'"):
        launched(kinds=kinds)


def test_what_lies_beside_a_build_is_read_too(tmp_path: Path) -> None:
    data = tmp_path / "table_Data" / "level0"
    data.parent.mkdir()
    for file in (data, tmp_path / "table.x86_64", tmp_path / "UnityPlayer.so", tmp_path / "notes"):
        file.write_text("a")
    read = UnityRenderer.reads({"player": str(tmp_path / "table.x86_64")})
    assert read == [tmp_path / "UnityPlayer.so", tmp_path / "table_Data"]
    assert not UnityRenderer.reads({"player": "peer"})
    assert not UnityRenderer.reads({})
