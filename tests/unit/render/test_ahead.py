"""Drawing ahead: with workers, behind whatever wrappers they are, and with nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from metasim.render import Rendered, Renderer
from metasim.render.ahead import in_turn
from metasim.render.pool import WorkerPool
from metasim.render.wrapped import Wrapped
from metasim.scene.graph import Scene
from tests.unit.render.troubled import Troubled, scenes


class Plain(Wrapped):
    """Changes nothing."""

    def render(self, scenes: Sequence[Scene]) -> Rendered:
        return self.renderer.render(scenes)


def second_begins_early(renderer: Renderer, wait: float) -> bool:
    """Whether a second job begins while the caller is busy with what the first gave."""
    begun = threading.Event()

    def job(number: int) -> int:
        if number == 1:
            begun.set()
        return number * 10 + len(renderer.render(scenes(2)))

    with closing(in_turn(renderer, [lambda n=n: job(n) for n in range(3)])) as given:
        assert next(given) == 2
        early = begun.wait(wait)
        assert [*given] == [12, 22]
    return early


@pytest.mark.parametrize("wrap", [lambda one: one, Plain, lambda one: Plain(Plain(one))])
def test_workers_go_on_while_the_caller_is_busy(
    hire: Callable[..., WorkerPool], wrap: Callable[[Renderer], Renderer]
) -> None:
    assert second_begins_early(wrap(hire(workers=2)), 30.0)


@pytest.mark.parametrize("wrap", [lambda one: one, Plain])
def test_what_draws_in_this_process_waits_until_it_is_asked(
    wrap: Callable[[Renderer], Renderer],
) -> None:
    assert not second_begins_early(wrap(Troubled()), 0.2)


def test_a_wrapper_is_what_it_wraps_to_everybody_else() -> None:
    class Closing(Troubled):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    inner = Closing()
    with Plain(Plain(inner)) as outer:
        assert outer.image_size == inner.image_size
        assert outer.kinds == inner.kinds
        assert outer.known_categories == inner.known_categories
        assert outer.meshes() == inner.meshes()
    assert inner.closed == 1
