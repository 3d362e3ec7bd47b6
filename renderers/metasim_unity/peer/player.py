"""A player without Unity: the client's end of ML-Agents' connection, and what it answers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from metasim_unity.protos import EXCHANGE, message_class

__all__ = ["Behaviour", "Player", "stay"]

_GOOD, _RESET = 200, 1
_NAME: Final = "metasim"
_AGENT: Final = 1


class Behaviour(Protocol):
    """What a player does between two messages."""

    def hear(self, side_channel: bytes, reset: bool) -> None:
        """Take what came through side channels, and whether with the command RESET."""

    def side_channel(self) -> bytes:
        """What goes back through side channels."""

    def observations(self) -> Iterable[Mapping[str, Any]]:
        """The fields of the agent's observations."""


class Player:
    """Calls Python, message after message, until that says it is enough.

    Args:
        port: that Python listens on.
        behaviour: what is answered.
        version: of the connection, that is claimed.
    """

    def __init__(self, port: int, behaviour: Behaviour, version: str = "1.5.0") -> None:
        self._port, self._behaviour, self._version = port, behaviour, version

    def run(self, messages: int | None = None) -> int:
        """Play until the end; the exit code.

        Args:
            messages: how many are sent at most; then nothing more is, and the player stays.
        """
        import grpc

        message = message_class("UnityMessageProto")
        with grpc.insecure_channel(
            f"127.0.0.1:{self._port}", options=[("grpc.max_send_message_length", -1)]
        ) as channel:
            call = channel.unary_unary(EXCHANGE, message.SerializeToString, message.FromString)
            try:
                for count, output in enumerate(self._outputs(), start=1):
                    if messages is not None and count > messages:
                        return stay()
                    answer = call(output)
                    if answer.header.status != _GOOD:
                        return 0
                    told = answer.unity_input
                    if told.HasField("rl_input"):
                        rl_input = told.rl_input
                        self._behaviour.hear(rl_input.side_channel, rl_input.command == _RESET)
            except grpc.RpcError as error:
                sys.stderr.write(f"the connection to port {self._port} failed: {error.details()}\n")
                return 1
        return 0

    def _outputs(self) -> Iterator[Any]:
        """The player's messages, in order."""
        first = message_class("UnityMessageProto")()
        first.header.status = _GOOD
        told = first.unity_output.rl_initialization_output
        told.name, told.communication_version = "metasim's reference peer", self._version
        told.package_version = "0.0.0"
        told.capabilities.baseRLCapabilities = True
        yield first
        # Unity's second message is empty; its third says what behaviours there are.
        second = message_class("UnityMessageProto")()
        second.header.status = _GOOD
        yield second
        yield self._output(specified=True)
        while True:
            yield self._output()

    def _output(self, specified: bool = False) -> Any:
        message = message_class("UnityMessageProto")()
        message.header.status = _GOOD
        if specified:
            told = message.unity_output.rl_initialization_output.brain_parameters.add()
            told.brain_name, told.is_training = _NAME, True
            told.action_spec.num_continuous_actions = 1
        rl_output = message.unity_output.rl_output
        agent = rl_output.agentInfos[_NAME].value.add()
        agent.id = _AGENT
        for fields in self._behaviour.observations():
            _fill(agent.observations.add(), fields)
        rl_output.side_channel = self._behaviour.side_channel()
        return message


def _fill(observation: Any, fields: Mapping[str, Any]) -> None:
    """Numbers lie in a message of their own, all else in fields."""
    for name, value in fields.items():
        if name == "float_data":
            observation.float_data.data.extend(value)
        elif name == "shape":
            observation.shape.extend(value)
        else:
            setattr(observation, name, value)


def stay() -> int:
    """Do nothing, for good."""
    import threading

    threading.Event().wait()
    return 0
