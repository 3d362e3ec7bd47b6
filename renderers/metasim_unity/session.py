"""A connected player: the ML-Agents handshake, and exchanges after it."""

from __future__ import annotations

from typing import Any, Final

from metasim_unity.communicator import Communicator, Watch
from metasim_unity.faults import PlayerError
from metasim_unity.protos import message_class

__all__ = ["Session"]

_SPOKEN: Final = "1.5.0"
"""The communication version of mlagents-envs 0.28.0."""

_PACKAGE: Final = "0.28.0"
_CAPABILITIES: Final = (
    "baseRLCapabilities",
    "concatenatedPngObservations",
    "compressedChannelMapping",
    "hybridActions",
    "trainingAnalytics",
    "variableLengthObservation",
    "multiAgentGroups",
)
_STEP, _RESET = 0, 1


class Session:
    """Exchanges with one player, from its first message on.

    Args:
        communicator: that it connects to.
        watch: called while waiting; raises when there is no use in it.
        seconds: that an exchange may take.

    Attributes:
        player: what ML-Agents says of the player's own version.
    """

    def __init__(self, communicator: Communicator, watch: Watch, seconds: float) -> None:
        self._communicator, self._watch, self._seconds = communicator, watch, seconds
        self._actions: dict[str, tuple[int, int]] = {}  # by behaviour: continuous, discrete
        self._agents: dict[str, int] = {}
        self.player = ""

    def begin(self, connecting: float) -> None:
        """Wait for the player, and shake hands.

        Args:
            connecting: seconds to wait for it.

        Raises:
            PlayerError: when none comes, or its version of the connection is another.
        """
        told = self._communicator.connect(connecting, self._watch)
        self.player = f"ML-Agents {told.package_version or 'of unknown version'}"
        if told.communication_version.partition(".")[0] != _SPOKEN.partition(".")[0]:
            raise PlayerError(
                f"the player must speak version {_SPOKEN} of ML-Agents' connection, or another "
                f"1.x, but speaks {told.communication_version!r} ({self.player}); build it with "
                "com.unity.ml-agents 2.x to 4.x"
            )
        inputs = message_class("UnityInputProto")()
        first = inputs.rl_initialization_input
        first.communication_version, first.package_version = _SPOKEN, _PACKAGE
        first.num_areas = 1
        for name in _CAPABILITIES:
            setattr(first.capabilities, name, True)
        self._communicator.send(inputs)
        self.receive()

    def exchange(self, side_channel: bytes, reset: bool = False) -> Any:
        """:meth:`send`, then :meth:`receive`."""
        self.send(side_channel, reset)
        return self.receive()

    def send(self, side_channel: bytes, reset: bool = False) -> None:
        """Answer the player's last message with what goes through side channels.

        Args:
            side_channel: messages for :func:`metasim_unity.frames.on_channel`'s field.
            reset: whether the command is RESET rather than STEP.
        """
        inputs = message_class("UnityInputProto")()
        rl_input = inputs.rl_input
        rl_input.command = _RESET if reset else _STEP
        rl_input.side_channel = side_channel
        if not reset:
            self._act(rl_input)
        self._communicator.send(inputs)

    def receive(self) -> Any:
        """The player's next message, its ``UnityRLOutputProto``.

        Raises:
            PlayerError: when the player is gone, or says nothing in time.
        """
        output = self._communicator.receive(self._seconds, self._watch)
        self._note(output)
        return output.rl_output

    def _act(self, rl_input: Any) -> None:
        """Actions of zeros for every agent that waits for some, as players expect."""
        for behaviour, count in self._agents.items():
            continuous, discrete = self._actions.get(behaviour, (0, 0))
            for _ in range(count):
                action = rl_input.agent_actions[behaviour].value.add()
                action.continuous_actions.extend([0.0] * continuous)
                action.discrete_actions.extend([0] * discrete)

    def _note(self, output: Any) -> None:
        """What the player says of its behaviours and agents."""
        for told in output.rl_initialization_output.brain_parameters:
            spec = told.action_spec
            self._actions[told.brain_name] = (
                spec.num_continuous_actions,
                spec.num_discrete_actions,
            )
        self._agents = {
            behaviour: sum(not agent.done for agent in agents.value)
            for behaviour, agents in output.rl_output.agentInfos.items()
        }
