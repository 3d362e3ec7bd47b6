"""Python's end of the ML-Agents connection: a gRPC server that one player at a time calls.

It differs from the one in mlagents-envs: it listens on loopback, takes large messages, notices at
once that a player is gone, refuses a second one, and never keeps Python from ending.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, Final

from metasim.errors import MissingExtraError, PluginError
from metasim_unity.faults import PlayerError
from metasim_unity.protos import EXCHANGE, message_class
from metasim_unity.sockets import connected

__all__ = ["Communicator", "Watch", "keep_freed_memory"]

Watch = Callable[[], None]
"""Raises when there is no use in waiting any longer."""

_GOOD, _END = 200, 400  # a header's status
_LOOK: Final = 0.05  # seconds between looks at whether a player is still there
_SENDING: Final = 0.005  # seconds to wait until an answer is on its way
_ENDING: Final = 2.0  # seconds for calls to end
_KEPT: Final = 31 << 20  # bytes, and no page of them is touched


class Communicator:
    """A server that a player connects to.

    Args:
        host: address to listen on.
        port: its port; 0 takes a free one.
        largest: bytes of a message that is taken.

    Attributes:
        port: that it listens on.

    Raises:
        MissingExtraError: when mlagents-envs or gRPC is not installed.
        PluginError: when the port is taken.
    """

    def __init__(self, host: str, port: int, largest: int) -> None:
        message = message_class("UnityMessageProto")
        try:
            import grpc
        except ModuleNotFoundError:
            raise MissingExtraError("grpcio", "unity", "the renderer 'unity'") from None
        keep_freed_memory()
        self._line = _Line(grpc)
        self._threads = _Threads()
        options = {
            "grpc.so_reuseport": 0,  # else two would share a port, and their players
            "grpc.max_receive_message_length": largest,
            "grpc.max_send_message_length": -1,
            # Images in large pieces, and no asking how large they may be.
            "grpc.http2.max_frame_size": (1 << 24) - 1,
            "grpc.http2.lookahead_bytes": 1 << 23,
            "grpc.http2.bdp_probe": 0,
        }
        self._server = grpc.server(self._threads, options=list(options.items()))
        handler = grpc.unary_unary_rpc_method_handler(
            self._line.answer, message.FromString, message.SerializeToString
        )
        service, _, method = EXCHANGE.strip("/").partition("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self.port = _bind(self._server, host, port)
        self._server.start()
        self._end = weakref.finalize(self, _shut, self._server, self._line, self._threads)

    def connect(self, seconds: float, watch: Watch) -> Any:
        """Wait for a player; its ``rl_initialization_output``.

        Raises:
            PlayerError: when none comes in time.
        """
        self._line.forget()
        ends = time.monotonic() + seconds
        while (call := self._line.wait(_LOOK)) is None:
            watch()
            if time.monotonic() > ends:
                raise PlayerError(f"no player connected within {seconds:g} s", again=True)
        return call.unity_output.rl_initialization_output

    def send(self, inputs: Any) -> None:
        """Answer the player's last message.

        Args:
            inputs: a ``UnityInputProto``.
        """
        message = message_class("UnityMessageProto")(unity_input=inputs)
        message.header.status = _GOOD
        self._line.reply(message)

    def receive(self, seconds: float, watch: Watch) -> Any:
        """The player's next message, a ``UnityOutputProto``.

        Args:
            seconds: to wait at most.
            watch: called now and then while waiting.

        Raises:
            PlayerError: when the player is gone, or says nothing in time.
        """
        ends = time.monotonic() + seconds
        while (call := self._line.wait(_LOOK)) is None:
            watch()
            if self._line.lost():
                watch()  # which may know more
                raise PlayerError("the player closed its connection", again=True)
            if time.monotonic() > ends:
                raise PlayerError(f"the player did not answer within {seconds:g} s", again=True)
        if call.header.status not in (0, _GOOD):
            raise PlayerError(f"the player ended the connection ({call.header.status})", again=True)
        return call.unity_output

    def drop(self) -> None:
        """Tell the player that this is the end, and take no more messages of it."""
        self._line.end()

    def close(self) -> None:
        """Tell the player, and stop listening; it may come twice."""
        self._end()


def keep_freed_memory() -> None:
    """Have the C library keep some of what is freed for what comes next.

    A message of images is freed before the next one comes. glibc would give such blocks back to the
    system, and to take their pages anew costs more than to copy what is in them. But of sizes that
    it saw freed before, up to 32 MiB, it keeps them, up to twice as much for each heap; so it is
    shown one. Elsewhere nothing happens.
    """
    bytearray(_KEPT)


def _bind(server: Any, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    taken = PluginError(
        f"port {port} of {host} must be free, but something listens on it already (another run, "
        "another of several workers, or the Unity editor's own training); end that, have one "
        "worker, or give another port"
    )
    try:
        bound: int = server.add_insecure_port(address)
    except RuntimeError:
        raise taken from None
    if not bound:
        raise taken
    return bound


def _shut(server: Any, line: _Line, threads: _Threads) -> None:
    line.close()
    server.stop(_ENDING).wait(2 * _ENDING)  # farewells are on their way
    threads.join(_ENDING)


class _Line:
    """The player's calls, one after the other, as another thread sees them."""

    def __init__(self, grpc: Any) -> None:
        self._grpc = grpc
        self._changed = threading.Condition()
        self._call: _Call | None = None  # that waits to be answered
        self._new = False  # whether nobody has looked at it
        self._peer: str | None = None  # the address of the player, once there is one
        self._gone = self._closed = False

    # --- the threads of calls ---

    def answer(self, message: Any, context: Any) -> Any:
        """Keep a call until there is an answer to it."""
        call = _Call(message)
        with self._changed:
            if problem := self._refusal(message, context.peer()):
                context.abort(self._grpc.StatusCode.FAILED_PRECONDITION, problem)
            self._peer, self._gone = context.peer(), False
            self._call, self._new = call, True
            if not context.add_callback(lambda: self._ended(call)):
                self._gone = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: call.answer is not None or call.over or self._closed)
        return call.answer if call.answer is not None else _farewell()

    def _refusal(self, message: Any, peer: str) -> str:
        """Why a call is not taken; empty when it is."""
        if self._closed:
            return "metasim has ended"
        begins = bool(message.unity_output.rl_initialization_output.communication_version)
        if begins and self._peer is not None:
            return "another player is connected to this port; give each a port of its own"
        if not begins and self._peer is None:
            return "this connection has ended; start the player again"
        if not begins and self._call is not None and peer != self._peer:
            return "another player is connected to this port"
        return ""

    def _ended(self, call: _Call) -> None:
        """A call is over: because it was answered, or because the player is gone."""
        with self._changed:
            call.over = True
            self._gone = self._gone or call.answer is None
            self._changed.notify_all()

    # --- the thread of the renderer ---

    def wait(self, seconds: float) -> Any:
        """The player's next message; None when there is none so soon."""
        with self._changed:
            self._changed.wait_for(lambda: self._new, seconds)
            if not self._new or self._call is None:
                return None
            self._new = False
            return self._call.message

    def reply(self, message: Any) -> None:
        """Answer the player's last message.

        What its caller does next would keep the thread of the call from running (the GIL), and the
        player waiting; so the answer is let go first.
        """
        with self._changed:
            if self._call is None:
                return
            call, self._call = self._call, None
            call.answer = message
            self._changed.notify_all()
            self._changed.wait_for(lambda: call.over, _SENDING)

    def lost(self) -> bool:
        """Whether the player is gone."""
        with self._changed:
            peer, gone = self._peer, self._gone
        return gone or peer is None or not connected(peer)

    def forget(self) -> None:
        """Let another player come where the last one is gone."""
        with self._changed:
            if self._gone or (self._peer is not None and not connected(self._peer)):
                self._peer = self._call = None
                self._new = self._gone = False

    def end(self) -> None:
        """Say goodbye to the player, and forget it."""
        with self._changed:
            if self._call is not None:
                self._call.answer = _farewell()
            self._peer = self._call = None
            self._new = self._gone = False
            self._changed.notify_all()

    def close(self) -> None:
        """Say goodbye, for good."""
        self.end()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Call:
    """One call of the player's; it is over once it was answered, or the player is gone."""

    def __init__(self, message: Any) -> None:
        self.message, self.answer, self.over = message, None, False


def _farewell() -> Any:
    message = message_class("UnityMessageProto")()
    message.header.status = _END
    return message


class _Threads(Executor):
    """Threads for calls, as many as there are at once; they do not keep Python from ending."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in a thread that has nothing else to do."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:  # whoever asks the future hears of it
                future.set_exception(error)

        self._waiting.put(run)
        if not self._idle.acquire(blocking=False):
            thread = threading.Thread(target=self._work, name="metasim-unity", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None:
            run()
            self._idle.release()

    def join(self, seconds: float) -> None:
        """Have all end, and wait for them, but no longer than so many seconds each."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            with suppress(RuntimeError):  # the one that closes
                thread.join(seconds)
