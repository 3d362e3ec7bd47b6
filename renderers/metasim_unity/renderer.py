"""The renderer: options in, images of a Unity player out, whatever happens to the player."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeVar

from metasim.errors import PluginError, RenderError
from metasim.render.base import Rendered, Renderer
from metasim.render.geometry import Mesh
from metasim.render.size import check_size
from metasim.scene.graph import Scene
from metasim_unity.answers import plane_bytes
from metasim_unity.bridge import Bridge
from metasim_unity.canvas import PLANES
from metasim_unity.communicator import Communicator
from metasim_unity.example import EXAMPLE, KINDS
from metasim_unity.faults import PlayerError
from metasim_unity.parameters import Layout, Observed, kinds_of, read_parameters
from metasim_unity.process import PEER, PlayerProcess, beside
from metasim_unity.protos import lacks
from metasim_unity.session import Session

__all__ = ["UnityRenderer"]

T = TypeVar("T")

_EDITOR: Final = 5004
"""The port that the Unity editor connects to."""

_PIXELS: Final = 8 * 128 * 128
"""Of an exchange, unless the user says otherwise: few exchanges, and little memory."""

_SLACK: Final = 64 << 20  # bytes of a message beside what is expected
_DEATHS: Final = 2
"""Players in a row that may fail over the same scenes."""

_OFFERED: Final = ("depth", "normals")


class UnityRenderer(Renderer):
    """Draws scenes with a Unity player, by way of ML-Agents.

    The player has metasim's package (``metasim_unity/unity``), and with it answers scenes with
    images and labels; or it is any build with an agent that has a camera sensor, and its
    environment parameters are set (``parameters``), which gives images without labels. Kinds and
    attributes are those of the package's sample scene unless ``kinds`` tells others.

    Args:
        image_size: (H, W) in pixels.
        player: a build's executable, which is started, and again when it ends; "peer" is the
            reference peer, which is not Unity; None waits for one that the user starts, or for the
            editor.
        arguments: more of them for the player.
        port: that the player connects to; None is 5004, which the editor uses, and with ``player``
            one that is free.
        host: the address to listen on; others than loopback let other machines in.
        planes: of "depth" and "normals", those that are wanted if the player has them.
        kinds: kind -> attributes that the player understands.
        parameters: for builds without metasim's package, "kind.attribute" (or "seed") -> name of an
            environment parameter, or {name, scale, offset, values: text -> number}.
        observation: with ``parameters``, which visual observation of the agent is the image.
        settle: with ``parameters``, steps after a reset until frames show the scene.
        layout: with ``parameters``, how an observation is ordered: "auto", "hwc" or "chw".
        scenes: of an exchange, at most; None is 8 of 128 x 128 pixels, or as many
            as have no more pixels.
        connecting: seconds that a player may take to connect.
        answering: seconds that it may take for an exchange.

    Raises:
        MissingExtraError: when mlagents-envs is not installed.
        PluginError: when an option is wrong, the port is taken, or the player cannot be started.
        RenderError: when no player connects, or it is of no use.
    """

    kinds: ClassVar[Mapping[str, frozenset[str]]] = KINDS
    example: ClassVar[Mapping[str, Any] | None] = EXAMPLE
    fresh: ClassVar[bool] = True

    def __init__(
        self,
        image_size: tuple[int, int] = (64, 64),
        player: Literal["peer"] | Path | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
        host: str = "127.0.0.1",
        planes: Sequence[str] = _OFFERED,
        kinds: Mapping[str, Sequence[str]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        observation: int = 0,
        settle: int = 0,
        layout: Layout = "auto",
        scenes: int | None = None,
        connecting: float = 60.0,
        answering: float = 60.0,
    ) -> None:
        self.image_size = check_size(image_size)
        self._wanted = _checked_planes(planes)
        self._most = _checked_scenes(scenes, self.image_size)
        self._parameters = None if parameters is None else read_parameters(parameters)
        self._observing: tuple[int, int, Layout] = (observation, settle, layout)
        self._player = player
        self._arguments = tuple(map(str, arguments))
        self._connecting = _checked_seconds("connecting", connecting)
        self._answering = _checked_seconds("answering", answering)
        _check_kinds(kinds)
        self._told = kinds is not None
        self.kinds = self.kinds_of({"kinds": kinds, "parameters": parameters})  # type: ignore[misc]
        self._host, asked = host, (0 if player else _EDITOR) if port is None else port
        self._process: PlayerProcess | None = None
        self._drawing: Bridge | Observed | None = None
        largest = _SLACK + 2 * plane_bytes(self._most, self.image_size, [*PLANES])
        self._communicator = Communicator(host, asked, largest)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @classmethod
    def kinds_of(cls, options: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
        """What the option ``kinds`` says, or ``parameters`` speaks of; else the sample scene's."""
        told, parameters = options.get("kinds"), options.get("parameters")
        if isinstance(told, Mapping):
            return {str(kind): frozenset(map(str, names or ())) for kind, names in told.items()}
        return kinds_of(parameters) if isinstance(parameters, Mapping) else cls.kinds

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """What lies beside a build's executable: its scenes and code."""
        player = options.get("player")
        return beside(Path(player)) if player not in (None, "peer") else ()

    @classmethod
    def lacks(cls) -> Sequence[str]:
        """Whether mlagents-envs and gRPC are there, and give ML-Agents' messages."""
        return lacks()

    def meshes(self) -> Mapping[str, Mesh]:
        """The models of classes that the player tells.

        Raises:
            RenderError: when no player connects.
        """
        return self._trying(lambda drawing: drawing.models)

    @property
    def port(self) -> int:
        """That the player connects to."""
        return self._communicator.port

    @property
    def player_pid(self) -> int | None:
        """The process of the player that was started; None where the user starts it."""
        return None if self._process is None else self._process.pid

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, some in each exchange.

        A player that ends or falls silent is started again (or waited for), and asked once more.

        Raises:
            RenderError: when the player cannot draw a scene, or two in a row failed over it.
        """
        canvas = self._trying(lambda drawing: drawing.canvas(len(scenes)))
        self._trying(lambda drawing: drawing.draw(canvas, scenes), lambda: canvas.drawn)
        return canvas.rendered()

    def _trying(
        self, act: Callable[[Bridge | Observed], T], drawn: Callable[[], int] = lambda: 0
    ) -> T:
        """What a player that lives does; ``drawn`` tells how far it got."""
        failures, before = 0, drawn()
        while True:
            try:
                return act(self._drawing or self._begin())
            except PlayerError as error:
                self._end(at_once=True)
                failures = failures + 1 if drawn() == before else 1
                before = drawn()
                if not error.again or failures == _DEATHS:
                    raise
                self._say(f"{error}; trying again")
            except RenderError:
                raise  # it drew nothing, but is well
            except BaseException:
                self._end(at_once=True)  # whatever it sends next answers what nobody asks any more
                raise

    def _begin(self) -> Bridge | Observed:
        """Have a player connect, and learn what it is; what draws with it."""
        if self._player is not None:
            program = PEER if self._player == "peer" else Path(self._player)
            self._process = PlayerProcess(program, self._communicator.port, self._arguments)
        else:
            self._say(self._invitation())
        session = Session(self._communicator, self._watch, self._answering)
        try:
            session.begin(self._connecting)
        except PlayerError as error:
            raise self._explained(error) if error.again else error from None
        if self._parameters is not None:
            self._drawing = Observed(session, self.image_size, self._parameters, *self._observing)
            return self._drawing
        self._drawing = bridge = Bridge(session, self.image_size, self._wanted, self._most)
        if self._process is None:
            self._say(f"{bridge.hello.player} is connected")
        if self._told:
            _check_understood(self.kinds, bridge.hello.kinds)
        self.known_categories = {
            kind: names for kind, names in bridge.hello.categories.items() if kind in self.kinds
        }
        return bridge

    def _watch(self) -> None:
        if self._process is not None:
            self._process.watch()

    def _invitation(self) -> str:
        port = self._communicator.port
        editor = "press Play in the Unity editor, or " if port == _EDITOR else ""
        return (
            f"waiting for a Unity player on {self._host}:{port}, for {self._connecting:g} s: "
            f"{editor}start a build with: PLAYER --mlagents-port {port} -batchmode (on a machine "
            "without a screen under xvfb-run -a, and never with -nographics)"
        )

    def _explained(self, error: PlayerError) -> PlayerError:
        """What to look at when no player got as far as shaking hands."""
        if self._process is None:
            return PlayerError(
                f"{error}; a build connects once, as it starts, and only where it is given "
                f"--mlagents-port {self._communicator.port}: start it after metasim; an agent must "
                "request decisions; proxies (http_proxy) must not stand between",
                error.again,
            )
        self._process.watch()
        return PlayerError(
            f"{error}: it must be built with com.unity.ml-agents, and an agent in its first scene "
            f"must request decisions; it was started with: {self._process}{self._process.told()}",
            error.again,
        )

    def _say(self, text: str) -> None:
        sys.stderr.write(f"unity: {text}\n")
        sys.stderr.flush()

    def _end(self, at_once: bool = False) -> None:
        self._drawing = None
        self._communicator.drop()
        if self._process is not None:
            process, self._process = self._process, None
            process.kill() if at_once else process.close()

    def close(self) -> None:
        """Tell the player that this is the end, and end what was started."""
        self._end()
        self._communicator.close()


def _checked_scenes(scenes: Any, size: tuple[int, int]) -> int:
    if scenes is None:
        return max(1, _PIXELS // (size[0] * size[1]))
    if type(scenes) is not int or scenes < 1:
        raise PluginError(f"scenes must be a whole number of at least 1, or null, got {scenes!r}")
    return scenes


def _checked_seconds(name: str, seconds: Any) -> float:
    real = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not real or not 0 < seconds < math.inf:
        raise PluginError(f"{name} must be a time above 0 in seconds, got {seconds!r}")
    return float(seconds)


def _checked_planes(planes: Any) -> tuple[str, ...]:
    if not isinstance(planes, (list, tuple)) or not {*planes} <= {*_OFFERED}:
        raise PluginError(f"planes must be a list of {', '.join(_OFFERED)}, got {planes!r}")
    return tuple(dict.fromkeys(planes))


def _check_understood(
    kinds: Mapping[str, Collection[str]], player: Mapping[str, Collection[str]]
) -> None:
    """Refuse a player that lacks kinds or attributes that the user says it has."""
    lacking = sorted({*kinds} - {*player}) + [
        f"{kind}.{name}"
        for kind in sorted({*kinds} & {*player})
        for name in sorted({*kinds[kind]} - {*player[kind]})
    ]
    if lacking:
        raise PlayerError(
            f"the player must understand all that 'kinds' tells, but lacks {', '.join(lacking)}; "
            f"it understands { {kind: sorted(names) for kind, names in player.items()} }"
        )


def _check_kinds(told: Any) -> None:
    if told is None:
        return
    if not isinstance(told, Mapping) or not all(
        isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
        for names in told.values()
    ):
        raise PluginError(f"kinds must map each kind to a list of attributes, got {told!r}")
