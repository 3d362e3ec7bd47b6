"""A renderer in worker processes that may crash, hang or grow: nothing is lost by it but time."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from metasim.errors import PluginError, RenderError
from metasim.render import wire
from metasim.render.base import Rendered, Renderer
from metasim.render.chunks import Batch, Chunk, Pace, Rounds
from metasim.render.crew import Crew
from metasim.render.geometry import Mesh
from metasim.render.member import Done, Lost, with_log
from metasim.render.options import Workers
from metasim.render.transport import Transport
from metasim.scene.graph import Scene

__all__ = ["WorkerPool"]

_ENOUGH = 3  # workers that end over a scene, all but the first over it alone: two may be chance


class WorkerPool(Renderer):
    """Draws through workers, each of which holds a renderer of its own.

    A batch is split among them. What is drawn depends neither on how many there are nor on which
    of them draws what. A worker that ends, hangs or grows is replaced, and its chunk is drawn
    once more, then in halves; a scene over which three workers have ended, two of them while it
    was alone, is refused from then on.

    One thread at a time can use it; :meth:`stop` and :meth:`close` may be called from another.

    Args:
        found: the renderer's class.
        kinds: that it understands.
        name: what people call it.
        transport: runs the workers.
        options: what is asked of them.

    Raises:
        MetasimError: what building the renderer raises.
        PluginError: when its worker ends before it is ready, or is not ready in time.

    Attributes:
        name: as given.
        where: the workers run, where their user should hear of it; else empty.
    """

    fresh = True

    def __init__(
        self,
        found: type[Renderer],
        kinds: Mapping[str, frozenset[str]],
        name: str,
        transport: Transport,
        options: Workers,
    ) -> None:
        self.kinds, self.example = kinds, found.example  # type: ignore[misc]
        self.name, self.where = name, transport.where
        self._transport = transport
        count = transport.room() if options.count == "auto" else options.count
        self._crew = Crew(transport, count, options, name)
        self._quarantined: dict[Scene, str] = {}
        self._meshes: dict[str, Mesh] | None = None
        self._owner = os.getpid()
        self._stopping = self._closed = False
        self._turn = threading.Lock()
        # Also where it is forgotten, and as Python ends.
        self._end = weakref.finalize(self, _shut, self._owner, transport.shut)
        try:
            self._begin()
        except BaseException:
            self._end()
            raise

    def _begin(self) -> None:
        """Learn from the first worker what the renderer is."""
        while self._crew.hello is None:
            for _ in self._crew.attend():
                pass
        size = self._crew.hello["image_size"]
        if not (isinstance(size, list) and len(size) == 2 and all(map(_is_side, size))):
            raise PluginError(
                f"the constructor of {self.name!r} must set image_size to (height, width), two "
                f"whole numbers of at least 1, got {size!r}"
            )
        self.image_size = (size[0], size[1])
        known = self._crew.hello["known_categories"]
        self.known_categories = {kind: tuple(names) for kind, names in known.items()}
        self._pace = Pace(self._crew.count, self.image_size)

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        """Draw a batch of scenes, in order.

        Raises:
            RenderError: when the renderer raises anything but an error of metasim's, which passes
                as it is; when a scene ends the workers that draw it (``scenes`` holds it).
            PluginError: when no worker can be started any more.
        """
        with self._exclusively():
            self._refuse_quarantined(scenes)
            batch, rounds = Batch(scenes, self.image_size), Rounds(self._pace)
            while not batch.done:
                self._hand_out(batch, rounds)
                for event in self._crew.attend():
                    self._take(batch, event)
                self._refuse_if_stopped()
            return batch.rendered()

    def meshes(self) -> Mapping[str, Mesh]:
        """The model of each category that has one."""
        with self._exclusively():
            asked = False
            while self._meshes is None:
                if not asked and (member := next(self._crew.free(0), None)):
                    self._crew.give(member, None, {"ask": "meshes"})
                    asked = True
                for event in self._crew.attend():
                    if isinstance(event, Lost) and not event.blamed:
                        asked = False
                        continue
                    if isinstance(event, Lost):
                        told = f"meshes() of {self.name!r} must return, but the worker {event.how}"
                        raise RenderError(with_log(told, event.worker.log()))
                    _raise_if_wrong(event)
                    self._meshes = wire.meshes_of(event.body["categories"], event.arrays)
                self._refuse_if_stopped()
            return self._meshes

    def stop(self) -> None:
        """Have a call that another thread is in end with an error, and all later ones."""
        self._stopping = True
        self._transport.wake()

    def close(self) -> None:
        """Close the workers' renderers, and end the workers.

        Raises:
            RenderError: when closing a renderer raised.
        """
        if os.getpid() != self._owner:
            return
        self.stop()
        with self._turn:
            if self._closed:
                return
            self._closed = True
            try:
                self._crew.leave()
            finally:
                self._end()
        if self._crew.closing_error is not None:
            raise self._crew.closing_error

    # --- one batch -------------------------------------------------------------------------

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One call at a time, after which no worker is at work, however it ends."""
        if os.getpid() != self._owner:
            raise RenderError(
                f"the renderer {self.name!r} must be used by the process that built it, and not by "
                "one forked from that; build another there"
            )
        with self._turn:
            self._refuse_if_stopped()
            try:
                self._crew.look_round()
                yield
            except Exception:
                self._crew.drop_busy()
                raise
            except BaseException:  # it may have come anywhere, and left anything half done
                self._crew.drop_all()
                raise

    def _refuse_if_stopped(self) -> None:
        if self._stopping:
            raise RenderError(f"the renderer {self.name!r} was closed; build another")

    def _refuse_quarantined(self, scenes: Sequence[Scene]) -> None:
        for place, scene in enumerate(scenes if self._quarantined else ()):
            if scene in self._quarantined:
                raise _refusal(scene, place, self._quarantined[scene])

    def _hand_out(self, batch: Batch, rounds: Rounds) -> None:
        """Give each worker a chunk, and the next one for when it has drawn that."""
        for queued in range(2):
            for member in self._crew.free(queued):
                left = batch.left
                if not batch.waiting or (queued and not rounds.worth_queueing(left)):
                    return
                chunk = batch.take(min(rounds.size(left), self._crew.room(member)))
                rounds.took(left)
                self._crew.give(member, chunk, batch.asked(chunk))

    def _take(self, batch: Batch, event: Done | Lost) -> None:
        if event.chunk is None:
            return
        if isinstance(event, Done):
            _raise_if_wrong(event)
            self._pace.note(len(event.chunk), event.body["seconds"])
            batch.put(event.chunk, event.body, event.arrays)
        elif not event.blamed:
            batch.give_back(event.chunk)
        else:
            self._try_again(batch, event.chunk, event)

    def _try_again(self, batch: Batch, chunk: Chunk, event: Lost) -> None:
        """Have a chunk over which a worker ended drawn again; first as it was, then in halves."""
        failed = replace(chunk, failures=chunk.failures + 1)
        if failed.failures > 1 and len(chunk) > 1:
            batch.give_back(*failed.halves())
        elif failed.failures < _ENOUGH:
            batch.give_back(failed)
        else:
            self._give_up(batch, chunk, event)

    def _give_up(self, batch: Batch, chunk: Chunk, event: Lost) -> None:
        if not len(chunk):
            told = (
                f"the renderer {self.name!r} must draw an empty batch, but its worker {event.how}"
            )
            raise RenderError(with_log(told, event.worker.log()))
        scene = batch.scenes[chunk.start]
        self._quarantined[scene] = event.how
        raise _refusal(scene, chunk.start, event.how, event.worker.log())


def _is_side(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side > 0


def _shut(owner: int, shut: Callable[[], None]) -> None:
    if os.getpid() == owner:
        shut()


def _raise_if_wrong(event: Done) -> None:
    if told := event.body.get("error"):
        error = wire.as_error(told)
        if isinstance(error, RenderError):  # others say all there is to say
            error.args = (with_log(str(error), event.member.worker.log()),)
        raise error


def _refusal(scene: Scene, place: int, how: str, log: str = "") -> RenderError:
    """What is said of a scene that ends its workers."""
    nodes = Counter(f"{node.name} ({node.kind})" for node in scene.nodes)
    listed = ", ".join(f"{n} {name}" if n > 1 else name for name, n in nodes.items())
    text = wire.text(scene.to_json())
    error = RenderError(
        with_log(
            f"image {place} of the batch must be drawn, but every worker that drew it {how}; its "
            f"scene is not tried again: {listed}; {text}",
            log,
        )
    )
    error.scenes = (json.loads(text),)
    return error
