from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metasim.errors import PluginError, RenderError
from metasim.scene.graph import Attributes, Node, Scene
from metasim_unity import UnityRenderer
from metasim_unity.parameters import Parameter, kinds_of, read_parameters
from metasim_unity.peer.tabletop import TabletopRenderer
from tests.unit.renderers.metasim_unity.conftest import free_port

pytestmark = pytest.mark.unity

Launch = Callable[..., UnityRenderer]
ONE = {"object.yaw": "object.yaw", "object.x": "object.x"}


def scene_of(*nodes: tuple[str, dict[str, Any]]) -> Scene:
    root = Node("scene", "scene", Attributes())
    return Scene((root, *(Node(kind, kind, Attributes(said), 0) for kind, said in nodes)))


YAWS = [scene_of(("object", {"yaw": yaw, "x": 0.25})) for yaw in (0.0, 90.0, 215.5)]


@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("observe", ["png", "floats"])
def test_a_build_without_the_package_is_drawn_by_its_camera(
    launched: Launch, observe: str, layout: str
) -> None:
    renderer = launched("--observe", observe, "--layout", layout, parameters=ONE)
    drawn = renderer.render(YAWS)
    assert np.array_equal(drawn.images, TabletopRenderer().render(YAWS).images)
    assert not drawn.instances.any()
    assert drawn.labels == ((), (), ())
    assert len(renderer.render([])) == 0


def test_frames_that_lag_behind_need_steps_to_settle(launched: Launch) -> None:
    late = launched("--observe", "png", "--late", "2", parameters=ONE)
    wanted = TabletopRenderer().render(YAWS).images
    assert not np.array_equal(late.render(YAWS).images, wanted)
    settled = launched("--observe", "png", "--late", "2", parameters=ONE, settle=2)
    assert np.array_equal(settled.render(YAWS).images, wanted)


def test_numbers_are_converted_and_texts_are_counted(launched: Launch) -> None:
    parameters = {
        "object.yaw": {"name": "object.yaw", "scale": 180 / math.pi, "offset": 0},
        "object.class": {"name": "object.class", "values": {"car": 0, "mug": 1}},
    }
    renderer = launched("--observe", "png", parameters=parameters)
    there = scene_of(("object", {"yaw": math.pi / 2, "class": "mug"}))
    wanted = scene_of(("object", {"yaw": float(np.float32(90)), "class": "mug"}))
    assert np.array_equal(
        renderer.render([there]).images, TabletopRenderer().render([wanted]).images
    )
    with pytest.raises(RenderError, match=r"must have a number for 'house'"):
        renderer.render([scene_of(("object", {"class": "house"}))])


@pytest.mark.parametrize(
    ("scene", "told"),
    [
        (scene_of(("object", {"scale": 2.0})), r"object.scale of scene 0 of the batch has none"),
        (scene_of(("object", {"x": 0.0}), ("object", {"x": 0.1})), r"at most one 'object'"),
    ],
)
def test_scenes_that_parameters_cannot_tell_are_refused(
    launched: Launch, scene: Scene, told: str
) -> None:
    with pytest.raises(RenderError, match=told):
        launched("--observe", "png", parameters=ONE).render([scene])


def test_sensors_of_another_size_are_refused(launched: Launch) -> None:
    renderer = launched("--observe", "png", "--size", "48", parameters=ONE)
    with pytest.raises(
        RenderError, match=r"64 x 64 pixels .* got the shape \(48, 48, 3\), read as"
    ):
        renderer.render(YAWS)


def test_a_build_without_a_camera_is_told(launched: Launch) -> None:
    with pytest.raises(RenderError, match=r"must observe something, but did not in 1000 steps"):
        launched(parameters=ONE).render(YAWS[:1])


def test_observations_that_are_not_there_are_told(launched: Launch) -> None:
    renderer = launched("--observe", "png", parameters=ONE, observation=1)
    with pytest.raises(RenderError, match=r"observation must be below 1"):
        renderer.render(YAWS[:1])


def test_kinds_are_those_that_parameters_speak_of() -> None:
    assert kinds_of({"object.yaw": "a", "light.strength": "b", "seed": "s"}) == {
        "scene": frozenset(),
        "object": frozenset({"yaw"}),
        "light": frozenset({"strength"}),
    }


def test_parameters_are_read() -> None:
    told = {"seed": "scene_seed", "object.x": {"name": "px", "scale": 2, "offset": -1}}
    assert read_parameters(told) == {
        ("", "seed"): Parameter("scene_seed"),
        ("object", "x"): Parameter("px", 2.0, -1.0),
    }


@pytest.mark.parametrize(
    "told",
    [
        {"yaw": "a"},
        {"object.": "a"},
        {"object.yaw": ""},
        {"object.yaw": 3},
        {"object.yaw": {"scale": 2}},
        {"object.yaw": {"name": "a", "scale": "2"}},
        {"object.yaw": {"name": "a", "values": {"car": "1"}}},
        {"object.yaw": {"name": "a", "values": [1]}},
        {"object.yaw": {"name": "a", "times": 1}},
    ],
)
def test_parameters_that_are_wrong_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="parameters"):
        read_parameters(told)


def test_the_users_own_player_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Attach: a second terminal, here a thread, starts the player once it is asked for."""
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    port = free_port()
    players: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        told = ""
        while f"--mlagents-port {port}" not in told:
            told += capsys.readouterr().err
            time.sleep(0.01)
        command = [sys.executable, "-m", "metasim_unity.peer", "--mlagents-port", str(port)]
        players.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    terminal = threading.Thread(target=start)
    terminal.start()
    with UnityRenderer(port=port, connecting=30) as renderer:
        terminal.join()
        before = renderer.render(YAWS)
        players[0].kill()
        players[0].wait()
        terminal = threading.Thread(target=start)
        terminal.start()
        assert np.array_equal(renderer.render(YAWS).images, before.images)
        terminal.join()
    assert players[1].wait(10) == 0  # it was told that this is the end
