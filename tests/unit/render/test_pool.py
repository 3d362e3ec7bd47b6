"""A pool draws what its renderer draws, whoever of its workers draws it."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.errors import DataError, PluginError, RenderError
from metasim.render import Rendered, Renderer, make_renderer
from metasim.render.drawing import draw
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.rng import stream
from metasim.scene import SceneGrammar
from metasim.testing import AnalyticRenderer, RendererContract
from metasim_mnist import MnistRenderer
from tests.unit.render.troubled import Troubled, scene, scenes

Hire = Callable[..., WorkerPool]


def assert_same(one: Rendered, other: Rendered) -> None:
    """Fail where two batches differ in the least."""
    for field in fields(Rendered):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, strict=True)
        else:
            assert a == b, field.name


class Pooled(RendererContract):
    """The contract, kept by a renderer in workers."""

    use: str
    inner: type[Renderer]
    workers: Workers = Workers(count=2)

    @classmethod
    def setup_class(cls) -> None:
        class InWorkers(cls.inner):  # type: ignore[name-defined,misc]
            def __new__(self, **options: Any) -> Renderer:
                return make_renderer(cls.use, options, workers=cls.workers)

        cls.renderer = InWorkers
        super().setup_class()


class TestDigitsInWorkers(Pooled):
    use = "mnist"
    inner = MnistRenderer


class TestBlobsInWorkers(Pooled):
    use = "metasim.testing:AnalyticRenderer"
    inner = AnalyticRenderer
    workers = Workers(count=3, recycle={"renders": 4})


del Pooled


@pytest.mark.parametrize(
    ("use", "found"),
    [("mnist", MnistRenderer), ("metasim.testing:AnalyticRenderer", AnalyticRenderer)],
)
@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_workers_draws_what_one_process_draws(
    use: str, found: type[Renderer], count: int, nothing_left: None
) -> None:
    grammar, rng = SceneGrammar.model_validate(found.example), stream(0, "pool")
    every = [grammar.sample(rng) for _ in range(57)]
    expected = found().render(every)
    with make_renderer(use, workers=Workers(count=count)) as pool:
        assert pool.image_size == found().image_size
        assert pool.kinds == found.kinds
        assert pool.example == found.example
        assert {k: tuple(v) for k, v in pool.known_categories.items()} == {
            k: tuple(v) for k, v in found().known_categories.items()
        }
        assert not hasattr(pool, "render_tensor")
        assert_same(draw(pool, every), expected)
        order = np.random.default_rng(1).permutation(len(every)).tolist()
        shuffled = pool.render([every[place] for place in order])
        for row, place in enumerate(order):
            assert_same(shuffled[row : row + 1], expected[place : place + 1])
        for size in (0, 1, 2):
            assert_same(pool.render(every[:size]), found().render(every[:size]))


def test_all_that_a_renderer_may_offer_arrives_as_it_was(
    hire: Hire, in_process: Callable[..., Any]
) -> None:
    pool, here = hire("Rich", size=[5, 7]), in_process("Rich", size=[5, 7])
    for count in (40, 0, 1):
        assert_same(pool.render(scenes(count)), draw(here, scenes(count)))
    ours, theirs = pool.meshes(), here.meshes()
    assert list(ours) == list(theirs)
    for name, mesh in theirs.items():
        for part in ("vertices", "faces"):
            got, expected = getattr(ours[name], part), getattr(mesh, part)
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected, strict=True)
    assert hire().meshes() == {}


def test_what_was_drawn_stays_as_later_batches_are_drawn(hire: Hire) -> None:
    pool = hire(workers=1)
    first = pool.render(scenes(9))
    kept = first.copy()
    pool.render(scenes(30)[::-1])
    assert_same(first, kept)


def test_messages_and_images_may_be_large(hire: Hire, in_process: Callable[..., Any]) -> None:
    """Larger than what a socket holds, in both directions, and than the memory shared at first."""
    crowded = [scene(seed, things=4000) for seed in range(6)]
    pool, here = hire(size=[700, 900]), in_process(size=[700, 900])
    assert_same(pool.render(crowded), here.render(crowded))


def test_every_scene_is_drawn_once(
    hire: Hire, drawn: Callable[[], list[tuple[int, int]]], tmp_path: Path
) -> None:
    pool = hire(workers=3, notes=str(tmp_path))
    for _ in range(3):
        pool.render([scene(seed, "sleep") for seed in range(40)])
    seeds, processes = zip(*drawn(), strict=True)
    assert sorted(seeds) == sorted(3 * list(range(40)))
    assert len(set(processes)) == 3


def test_an_isolated_renderer_has_workers_without_being_asked(
    module: str, tmp_path: Path, nothing_left: None
) -> None:
    import os

    with make_renderer(f"{module}:Isolated", {"owner": os.getpid()}, tmp_path) as pool:
        assert isinstance(pool, WorkerPool)
        assert len(pool.render(scenes(5))) == 5


def test_what_a_renderer_raises_is_told_as_in_one_process(hire: Hire, tmp_path: Path) -> None:
    pool = hire(notes=str(tmp_path))
    with pytest.raises(RenderError, match=r"^the renderer Troubled raised ValueError: no") as error:
        draw(pool, scenes(9, s4="complain"))
    assert "in complain" in str(error.value), "with the end of the worker's log"
    with pytest.raises(RenderError, match=r"^the renderer Troubled raised SystemExit: 5"):
        draw(pool, scenes(9, s4="exit"))
    with pytest.raises(DataError, match=r"^no such mesh$"):
        draw(pool, scenes(9, s4="refuse"))
    assert len(pool.render(scenes(20))) == 20, "it can be used again"


def test_models_are_told_after_the_renderer_has_raised(hire: Hire) -> None:
    """The one worker had its next chunk, and was ended for it."""
    pool = hire("Rich", workers=1)
    with pytest.raises(RenderError, match="no lamp"):
        pool.render(scenes(9, s0="complain"))
    assert set(pool.meshes()) == {"cup", "nothing", "mug"}


def test_models_are_told_after_workers_have_died_with_nothing_to_do(hire: Hire) -> None:
    pool = hire("Rich")
    for worker in list(pool._crew.members):
        worker.kill()
        os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
    assert set(pool.meshes()) == {"cup", "nothing", "mug"}


def test_nothing_is_tried_again_that_a_renderer_refuses(
    hire: Hire, tmp_path: Path, drawn: Callable[[], list[tuple[int, int]]]
) -> None:
    pool = hire(workers=1, notes=str(tmp_path))
    with pytest.raises(RenderError):
        pool.render(scenes(4, s2="complain"))
    assert [seed for seed, _ in drawn()] == [0, 1]


def test_what_does_not_fit_is_told_with_its_place_in_the_batch(hire: Hire) -> None:
    pool = hire("Moody", workers=1)
    for _ in range(3):  # once it is known how fast they are, all are one chunk
        pool.render(scenes(8)[1:])
    with pytest.raises(RenderError, match=r"the same of all images, .* offers depth and"):
        pool.render([*scenes(300)[1:], scene(0)])


def test_what_a_worker_prints_disturbs_nothing(hire: Hire) -> None:
    pool = hire()
    for _ in range(3):
        drawn = pool.render(scenes(12, s3="babble", s7="babble"))
    assert_same(drawn, Troubled().render(scenes(12, s3="babble", s7="babble")))
    sizes = [len(member.worker.log()) for member in pool._crew.members.values()]
    assert max(sizes) < 10_000


def test_another_thread_can_end_a_call(hire: Hire) -> None:
    pool = hire()
    timer = threading.Timer(0.3, pool.stop)
    timer.start()
    with pytest.raises(RenderError, match="was closed; build another"):
        pool.render([scene(seed, "sleep") for seed in range(2000)])
    timer.join()
    with pytest.raises(RenderError, match="was closed; build another"):
        pool.render(scenes(1))


def test_a_closed_pool_draws_nothing_and_closes_again(hire: Hire, tmp_path: Path) -> None:
    pool = hire(workers=3, notes=str(tmp_path))
    while not all(member.ready for member in pool._crew.members.values()):
        pool.render([scene(seed, "sleep") for seed in range(9)])
    pool.close()
    assert len((tmp_path / "closed").read_text().split()) == 3, "each worker closes its renderer"
    pool.close()
    with pytest.raises(RenderError, match="was closed"):
        pool.render(scenes(1))


def test_closing_that_fails_is_told(hire: Hire) -> None:
    pool = hire("Unclosable", how="complain")
    with pytest.raises(RenderError, match="closing the renderer Unclosable raised ValueError: no"):
        pool.close()


def test_options_that_cannot_be_handed_over_are_named(hire: Hire) -> None:
    with pytest.raises(PluginError, match=r"options\.notes of .* must be a number, text, .*object"):
        hire(notes=object())
    with pytest.raises(PluginError, match="no option 'sise'"):
        hire(sise=3)


def test_a_renderer_of_the_main_program_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "Main", Troubled, raising=False)
    with pytest.raises(PluginError, match="'__main__' must be one that other processes can import"):
        make_renderer("__main__:Main", workers=Workers(count=1))


def test_a_forgotten_pool_ends(hire: Hire, nothing_left: None, module: str, tmp_path: Path) -> None:
    import gc

    pool = make_renderer(f"{module}:Troubled", {}, tmp_path, Workers(count=2))
    pool.render(scenes(3))
    del pool
    gc.collect()


def test_recycled_workers_draw_what_others_draw(
    hire: Hire, tmp_path: Path, drawn: Callable[[], list[tuple[int, int]]]
) -> None:
    settings = {"count": 2, "recycle": {"renders": 10}}
    pool = hire(workers=settings, notes=str(tmp_path))
    for _ in range(4):
        assert_same(pool.render(scenes(30)), Troubled().render(scenes(30)))
    by_process = Counter(process for _, process in drawn())
    assert set(by_process.values()) == {10}
    pool.close()
    closed = map(int, (tmp_path / "closed").read_text().split())
    assert by_process.keys() <= set(closed), "those that are replaced close their renderers"


def test_a_worker_that_raises_over_its_last_image_is_replaced(hire: Hire) -> None:
    pool = hire("Rich", workers={"count": 1, "recycle": {"renders": 1}})
    for _ in range(2):
        with pytest.raises(RenderError, match="no lamp"):
            pool.render(scenes(1, s0="complain"))
        assert len(pool.render(scenes(2))) == 2
    with pytest.raises(RenderError, match="no lamp"):
        pool.render(scenes(1, s0="complain"))
    assert set(pool.meshes()) == {"cup", "nothing", "mug"}


def test_a_worker_that_raises_as_it_has_grown_too_large_is_replaced(
    hire: Hire, tmp_path: Path, drawn: Callable[[], list[tuple[int, int]]]
) -> None:
    settings = {"count": 1, "recycle": {"memory": 1500}}
    pool = hire("Growing", workers=settings, notes=str(tmp_path))
    pool.render(scenes(1))
    (worker,) = pool._crew.members
    worker.resident = lambda: 1 << 40  # as it is looked at with the answer
    with pytest.raises(RenderError, match="no lamp"):
        pool.render(scenes(1, s0="complain"))
    pool.render(scenes(1))
    assert len({process for _, process in drawn()}) == 2


def told_by(pool: WorkerPool) -> tuple[str, ...]:
    with pytest.raises(DataError) as error:
        pool.render(scenes(1))
    found = re.fullmatch(r"heavy: (.*), threads: \('(.*)', (\d+)\), python: (.*)", str(error.value))
    assert found
    return found.groups()


def test_a_worker_imports_no_more_than_it_needs(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert told_by(hire("Threaded")) == ("[]", "1", "1", sys.executable)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert told_by(hire("Threaded"))[1] == "3"


class Apart(AnalyticRenderer):
    """Must not live in this process."""

    isolated = True
    built_in: int | None = None

    def __init__(self) -> None:
        super().__init__()
        Apart.built_in = os.getpid()


class TestIsolatedRenderer(RendererContract):
    """The tests of an isolated renderer build it in workers, too."""

    renderer = Apart

    def test_it_was_not_built_here(self) -> None:
        assert Apart.built_in is None
