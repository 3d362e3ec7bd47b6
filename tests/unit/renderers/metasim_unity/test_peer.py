from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from metasim_unity.peer.__main__ import main
from metasim_unity.peer.tabletop import TabletopRenderer
from metasim_unity.protos import EXCHANGE, message_class
from tests.unit.renderers.metasim_unity.conftest import free_port

pytestmark = pytest.mark.unity


@pytest.fixture
def stock() -> Iterator[Any]:
    """mlagents-envs' own environment, its messages replaced by those that import everywhere."""
    package = pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    before = {name for name in sys.modules if name.startswith("mlagents_envs")}
    folder = Path(package.__path__[0], "communicator_objects")
    for path in folder.glob("*_pb2.py"):
        name = f"mlagents_envs.communicator_objects.{path.stem}"
        sys.modules[name] = _Messages(name)
    _grpc()
    with pytest.MonkeyPatch.context() as patch:
        if "bool" not in vars(np):
            patch.setitem(vars(np), "bool", np.bool_)
        yield importlib.import_module("mlagents_envs.environment")
    for name in [n for n in sys.modules if n.startswith("mlagents_envs") and n not in before]:
        del sys.modules[name]


class _Messages(ModuleType):
    """A module of messages, and of the names of their enumerations."""

    def __getattr__(self, name: str) -> Any:
        if name in ("NONE", "STEP", "DEFAULT"):
            return 0
        if name in ("PNG", "RESET", "GOAL_SIGNAL"):
            return 1
        if not name[0].isupper():
            raise AttributeError(name)
        return message_class(name)


def _grpc() -> None:
    """What mlagents-envs' generated module for gRPC says."""
    import grpc

    message = message_class("UnityMessageProto")
    module = ModuleType("mlagents_envs.communicator_objects.unity_to_external_pb2_grpc")

    def add(servicer: Any, server: Any) -> None:
        service, _, method = EXCHANGE.strip("/").partition("/")
        handler = grpc.unary_unary_rpc_method_handler(
            servicer.Exchange, message.FromString, message.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )

    vars(module)["UnityToExternalProtoServicer"] = object
    vars(module)["add_UnityToExternalProtoServicer_to_server"] = add
    sys.modules[module.__name__] = module


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlagents-envs is of 2022
@pytest.mark.parametrize("observe", ["png", "floats"])
def test_the_peer_is_a_player_to_ml_agents_itself(stock: Any, observe: str) -> None:
    """Not only to metasim's end of the connection, with which it might share a mistake."""
    port = free_port()
    environment: list[Any] = []
    player = subprocess.Popen(
        [sys.executable, "-c", _LATE, "--mlagents-port", str(port), "--observe", observe],
        stderr=subprocess.DEVNULL,
    )
    try:
        env = stock.UnityEnvironment(file_name=None, base_port=port, timeout_wait=20)
        environment.append(env)
        env.reset()
        (behaviour,) = env.behavior_specs
        assert env.behavior_specs[behaviour].observation_specs[0].shape == (64, 64, 3)
        for _ in range(3):
            env.step()
        decisions, _ = env.get_steps(behaviour)
        seen = np.rint(decisions.obs[0][0] * 255).astype(np.uint8)
        assert np.array_equal(seen, _default_image())
    finally:
        for env in environment:
            env.close()
        if not environment:
            player.kill()
        ended = player.wait(10)
    assert ended == 0  # told that this is the end


_LATE = """
import socket, sys, time
from metasim_unity.peer.__main__ import main
port = int(sys.argv[2])
while True:  # a player connects only once, so that Python must listen before
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.05)
sys.exit(main(sys.argv[1:]))
"""


def _default_image() -> Any:
    from metasim.scene.graph import Attributes, Node, Scene

    root, thing = Node("scene", "scene", Attributes()), Node("object", "object", Attributes(), 0)
    return TabletopRenderer().render([Scene((root, thing))]).images[0]


def test_it_needs_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--mlagents-port" in capsys.readouterr().err


def test_it_says_that_it_is_not_unity_and_that_nobody_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    assert main(["--mlagents-port", str(free_port()), "-batchmode"]) == 1
    told = capsys.readouterr().err
    assert "it is not Unity" in told
    assert "failed" in told
