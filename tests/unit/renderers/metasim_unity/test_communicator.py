from __future__ import annotations

import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from metasim_unity.communicator import Communicator
from metasim_unity.faults import PlayerError
from metasim_unity.protos import EXCHANGE, message_class
from metasim_unity.session import Session

pytest.importorskip("mlagents_envs", reason="needs the extra unity")
pytestmark = pytest.mark.unity

MIB = 1 << 20


def nothing() -> None:
    """No reason to stop waiting."""


@pytest.fixture
def communicator() -> Iterator[Communicator]:
    found = Communicator("127.0.0.1", 0, 8 * MIB)
    yield found
    found.close()


class Caller:
    """A player that a test plays by hand; every call is answered in a thread of its own."""

    def __init__(self, port: int) -> None:
        import grpc

        message = message_class("UnityMessageProto")
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.call = self.channel.unary_unary(
            EXCHANGE, message.SerializeToString, message.FromString
        )
        self.calls: list[Any] = []  # gRPC takes back those that nobody holds

    def begin(self, version: str = "1.5.0") -> Any:
        message = message_class("UnityMessageProto")()
        message.unity_output.rl_initialization_output.communication_version = version
        self.calls.append(self.call.future(message))
        return self.calls[-1]

    def send(self, side_channel: bytes = b"") -> Any:
        message = message_class("UnityMessageProto")()
        message.header.status = 200
        message.unity_output.rl_output.side_channel = side_channel
        self.calls.append(self.call.future(message))
        return self.calls[-1]


@pytest.fixture
def caller(communicator: Communicator) -> Iterator[Caller]:
    found = Caller(communicator.port)
    yield found
    found.channel.close()


def connected(communicator: Communicator, caller: Caller, seconds: float = 5) -> Session:
    """A session that has begun, the player's third message not yet sent."""
    caller.begin().add_done_callback(lambda _: caller.send())
    session = Session(communicator, nothing, seconds)
    session.begin(5)
    return session


def test_a_player_that_goes_while_it_waits_is_noticed_at_once(
    communicator: Communicator, caller: Caller
) -> None:
    session = connected(communicator, caller, seconds=60)
    caller.channel.close()
    began = time.monotonic()
    with pytest.raises(PlayerError, match="closed its connection"):
        session.exchange(b"")
    assert time.monotonic() - began < 30  # not the 60 s that an exchange may take


def test_a_player_that_goes_while_it_draws_is_noticed_at_once(
    communicator: Communicator, caller: Caller
) -> None:
    session = connected(communicator, caller, seconds=60)
    closing = threading.Timer(0.3, caller.channel.close)
    closing.start()
    began = time.monotonic()
    with pytest.raises(PlayerError, match="closed its connection"):
        session.exchange(b"")
    closing.join()
    assert time.monotonic() - began < 30


def test_a_second_player_is_turned_away(communicator: Communicator, caller: Caller) -> None:
    import grpc

    connected(communicator, caller)
    other = Caller(communicator.port)
    with pytest.raises(grpc.RpcError, match="another player is connected to this port"):
        other.begin().result(5)
    other.channel.close()


def test_a_player_whose_connection_has_ended_is_turned_away(
    communicator: Communicator, caller: Caller
) -> None:
    import grpc

    connected(communicator, caller)
    communicator.drop()
    with pytest.raises(grpc.RpcError, match="start the player again"):
        caller.send().result(5)


def test_messages_above_four_megabytes_are_taken(
    communicator: Communicator, caller: Caller
) -> None:
    session = connected(communicator, caller)
    told = bytes(range(256)) * (5 * MIB // 256)
    heard: list[bytes] = []
    exchange = threading.Thread(target=lambda: heard.append(session.exchange(b"").side_channel))
    exchange.start()
    caller.send(told)
    exchange.join(10)
    assert heard == [told]


def test_messages_of_absurd_size_are_refused(communicator: Communicator, caller: Caller) -> None:
    import grpc

    connected(communicator, caller)
    with pytest.raises(grpc.RpcError, match="larger than max"):
        caller.send(bytes(9 * MIB)).result(10)


def test_nothing_that_is_left_open_keeps_python_from_ending() -> None:
    code = (
        "from metasim_unity.communicator import Communicator\n"
        "kept = Communicator('127.0.0.1', 0, 1 << 20)\n"
        "print(kept.port, flush=True)\n"
        "import sys; sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as python:
        assert python.stdin is not None
        assert python.stdout is not None
        caller = Caller(int(python.stdout.readline()))
        call = caller.begin()  # and nobody answers
        time.sleep(0.3)
        python.stdin.write("\n")
        python.stdin.flush()
        assert python.wait(10) == 0
    assert call.result(5).header.status == 400
    caller.channel.close()


FAULTS = """
import resource
from metasim_unity.communicator import keep_freed_memory
{first}
def turns(count):
    for _ in range(count):
        held = [bytes(b"1" * (1 << 20)) for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = turns(5)
print(turns(20) - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep what they like")
def test_freed_memory_is_used_again() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", FAULTS.format(first=first)],
            capture_output=True,
            text=True,
            check=True,
        )
        for first in ("", "keep_freed_memory()")
    ]
    without, kept = (int(one.stdout) for one in told)
    assert kept < without / 10
