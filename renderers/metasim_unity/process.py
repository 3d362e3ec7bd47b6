"""A player that metasim starts: in a process group of its own, watched, its output kept."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from metasim.errors import PluginError
from metasim_unity.faults import PlayerError

__all__ = ["PEER", "PlayerProcess", "beside"]

PEER: Final = Path(__file__).with_name("peer.x86_64")
"""The reference peer, started as a build is."""

_TAIL: Final = 4096  # bytes of what it wrote that are shown
_ENDING: Final = 3.0  # seconds that it has to quit by itself
_PROXIES: Final = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "grpc_proxy",
    "no_proxy",
    "no_grpc_proxy",
)


def _command(player: Path, port: int, arguments: Sequence[str] = ()) -> list[str]:
    """The command that starts a build so that it connects to a port.

    Args:
        player: the build's executable; on macOS the ``.app``, too.
        port: that Python listens on.
        arguments: more of them.
    """
    program = (
        [sys.executable, "-m", "metasim_unity.peer"] if player == PEER else [str(_inside(player))]
    )
    return [*program, "--mlagents-port", str(port), "-batchmode", "-logFile", "-", *arguments]


def _inside(player: Path) -> Path:
    """The executable in a macOS application."""
    if player.suffix == ".app" and player.is_dir():
        found = sorted((player / "Contents" / "MacOS").glob("*"))
        if found:
            return found[0]
    return player


def beside(player: Path) -> list[Path]:
    """What a build's executable is of no use without: its data, and the libraries of its code."""
    libraries = ("UnityPlayer", "GameAssembly")
    return sorted(
        path
        for path in player.parent.glob("*")
        if path.name == f"{player.stem}_Data" or (path.is_file() and path.stem in libraries)
    )


class PlayerProcess:
    """A player's process and those that it starts.

    Args:
        player: the executable.
        port: that it connects to.
        arguments: more of them.

    Raises:
        PluginError: when it cannot be started.
    """

    def __init__(self, player: Path, port: int, arguments: Sequence[str]) -> None:
        self._command = _command(player, port, arguments)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            self._log.close()
            raise PluginError(
                f"the player {str(player)!r} must be a program that can be started (a build's "
                f"executable, with its data folder beside it), but: {error.strerror or error}"
            ) from None
        self._end = weakref.finalize(self, _end, self._process, self._log)

    @property
    def pid(self) -> int:
        """Of the process, which its group is called after."""
        return self._process.pid

    def watch(self) -> None:
        """Raise when it has ended.

        Raises:
            PlayerError: with how, and the end of what it wrote.
        """
        code = self._process.poll()
        if code is None:
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        advice = "" if code == -signal.SIGKILL else _advice()
        raise PlayerError(f"the player ended with {how}{self.told()}{advice}", again=True)

    def told(self) -> str:
        """The end of what it wrote, for messages."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), _TAIL, max(0, size - _TAIL))
        tail = text.decode(errors="replace").strip()
        return f"; the end of its log:\n{tail}\n" if tail else "; it wrote nothing"

    def close(self) -> None:
        """Give it a moment to quit, then end its whole group; it may come twice."""
        self._end()

    def kill(self) -> None:
        """End its whole group at once."""
        _kill(self._process)
        self._end()

    def __str__(self) -> str:
        """The command, as a shell takes it."""
        return shlex.join(self._command)


def _environment() -> dict[str, str]:
    """Without proxies, through which gRPC would look for Python; with this Python, for the peer."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
    return {**kept, "METASIM_PYTHON": sys.executable}


def _advice() -> str:
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return " (there is no display: a Unity build then needs xvfb-run -a around metasim)"
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING)
    _kill(process)
    log.close()
