"""What runs in a worker: a renderer, and how it answers. It needs numpy and the renderer's own."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from metasim.errors import MetasimError, PluginError, RenderError
from metasim.render import wire
from metasim.render.checking import check_rendered
from metasim.render.drawing import calling
from metasim.render.shelf import Shelf
from metasim.render.wire import Arrays
from metasim.scene.graph import Scene

__all__ = ["Host", "serve"]

_READ = 1 << 16  # bytes at a time


class Host:
    """A renderer, built in this process, and its answers to messages.

    Args:
        task: ``module`` and ``attribute`` of the renderer's class, its ``options``, and the
            ``name`` that people know it by.

    Raises:
        MetasimError: when it cannot be built.
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        module, name = task["module"], task["name"]
        with calling(f"importing {module!r} for the renderer {name!r}", PluginError):
            found = importlib.import_module(module)
        with calling(f"building the renderer {name!r}", PluginError):
            self.renderer = getattr(found, task["attribute"])(**task["options"])

    def hello(self) -> dict[str, Any]:
        """What a pool must know of the renderer."""
        with calling(f"looking at the renderer {type(self.renderer).__name__}", PluginError):
            size = getattr(self.renderer, "image_size", None)
            return {
                "image_size": list(size) if isinstance(size, (list, tuple)) else repr(size),
                "known_categories": {
                    kind: list(names) for kind, names in self.renderer.known_categories.items()
                },
            }

    def answer(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
        """The answer to a message: JSON values, and arrays.

        What goes wrong is an answer too, under ``error``, its traceback in the worker's log.
        """
        try:
            if message["ask"] == "meshes":
                return self._meshes()
            return self._render(message)
        except MetasimError as error:
            if isinstance(error, RenderError):  # others say all there is to say
                traceback.print_exc()
            return {"error": wire.from_error(error)}, {}

    def _render(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
        scenes = [Scene.from_json(scene) for scene in message["scenes"]]
        began = time.perf_counter()
        name, size = type(self.renderer).__name__, self.renderer.image_size
        with calling(f"the renderer {name}"):
            rendered = self.renderer.render(scenes)
        check_rendered(rendered, scenes, (int(size[0]), int(size[1])), message["first"])
        with calling(f"reading the labels and cameras of the renderer {name}"):
            return {
                "labels": wire.label_rows(rendered.labels),
                "cameras": wire.camera_rows(rendered.cameras),
                "seconds": time.perf_counter() - began,
            }, wire.planes_of(rendered)

    def _meshes(self) -> tuple[dict[str, Any], Arrays]:
        with calling(f"meshes() of the renderer {type(self.renderer).__name__}"):
            meshes = self.renderer.meshes()
            return {"categories": list(meshes)}, wire.mesh_arrays(meshes)

    def close(self) -> dict[str, Any]:
        """Close the renderer; the last answer."""
        try:
            with calling(f"closing the renderer {type(self.renderer).__name__}"):
                self.renderer.close()
        except MetasimError as error:
            traceback.print_exc()
            return {"error": wire.from_error(error)}
        return {}


def serve(channel: int, shelves: Sequence[int]) -> NoReturn:
    """Answer the messages that come over a socket until one says ``end``, or the socket closes.

    The first message is a task (see :class:`Host`). Answers go back in order; their arrays lie on
    the shelves, one after the other.

    Args:
        channel: descriptor of the socket.
        shelves: descriptors of the files.
    """
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # asked of a worker that hangs, before it is ended
    code = 1
    try:
        with socket.socket(fileno=channel) as stream:
            stream.sendall(wire.frame(_last_words(stream, shelves)))
        code = 0
    except BaseException:  # whatever it is, it must not reach Python's own end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an engine's clean-up as Python ends may hang, or crash


def _last_words(stream: socket.socket, shelves: Sequence[int]) -> dict[str, Any]:
    """Answer until it is enough; the message that is then left to send."""
    messages = _messages(stream)
    try:
        host = Host(next(messages))
        told = host.hello()
    except MetasimError as error:
        traceback.print_exc()
        return {"failed": wire.from_error(error)}
    stream.sendall(wire.frame({"ready": told}))
    turns = [Shelf(handle) for handle in shelves]
    for message in messages:
        if message["ask"] == "end":
            break
        turns.append(turns.pop(0))
        stream.sendall(_reply(message["id"], *host.answer(message), turns[-1]))
    return {"ended": host.close()}


def _reply(number: int, body: Mapping[str, Any], arrays: Arrays, shelf: Shelf) -> bytes:
    try:
        return wire.frame({"id": number, "arrays": shelf.put(arrays), **body})
    except (OSError, TypeError) as error:
        size = sum(array.nbytes for array in arrays.values()) >> 20
        problem = RenderError(
            f"what a worker draws ({size} MiB) must fit into shared memory, and its labels into "
            f"JSON, but did not: {error}; draw smaller images or use fewer workers"
        )
        return wire.frame({"id": number, "arrays": [], "error": wire.from_error(problem)})


def _messages(stream: socket.socket) -> Iterator[dict[str, Any]]:
    frames = wire.Frames()
    while data := stream.recv(_READ):
        yield from frames.feed(data)
