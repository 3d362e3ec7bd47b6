"""Workers that are actors of Ray: they draw the same, and faults cost nothing but time."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from metasim.errors import DataError, PluginError, RenderError
from metasim.render import Renderer, actor, cluster, make_renderer, remote_worker
from metasim.render.drawing import draw
from metasim.render.machines import Machines
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.rng import stream
from metasim.scene import SceneGrammar
from metasim.testing import AnalyticRenderer, RendererContract
from metasim_mnist import MnistRenderer
from tests.unit.render.batches import faultless, sleepy
from tests.unit.render.test_pool import assert_same
from tests.unit.render.troubled import scene, scenes
from tests.unit.render.watching import is_there, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Hire = Callable[..., WorkerPool]
Drawn = Callable[[], list[tuple[int, int]]]


@pytest.fixture(scope="module")
def here(ray_apart: ModuleType) -> Iterator[None]:
    """Ray on this machine, with room for two workers; every pool without an address is its."""
    cluster.join("auto", 2)
    yield
    cluster.leave()


@pytest.fixture
def hire(here: None, hire_actors: Hire, ray_apart: ModuleType) -> Hire:
    """Build a renderer of the module in workers on Ray, where nothing else has workers."""
    wait_until(lambda: ray_apart.available_resources().get("CPU", 0) == 2)
    return hire_actors


# --- what is drawn -------------------------------------------------------------------------


class OnRay(RendererContract):
    """The contract, kept by a renderer in actors."""

    use: str
    inner: type[Renderer]

    @pytest.fixture(autouse=True)
    def ray_runs(self, here: None) -> None:
        """Ray is imported, and started, before a renderer is watched."""

    @classmethod
    def setup_class(cls) -> None:
        class InActors(cls.inner):  # type: ignore[name-defined,misc]
            def __new__(self, **options: Any) -> Renderer:
                return make_renderer(cls.use, options, workers=Workers(executor="ray", count=2))

        cls.renderer = InActors
        super().setup_class()


class TestDigitsOnRay(OnRay):
    use = "mnist"
    inner = MnistRenderer


del OnRay


@pytest.mark.parametrize(
    ("use", "found"),
    [("mnist", MnistRenderer), ("metasim.testing:AnalyticRenderer", AnalyticRenderer)],
)
@pytest.mark.parametrize("count", [1, 2])
def test_actors_draw_what_one_process_draws(
    here: None, use: str, found: type[Renderer], count: int
) -> None:
    grammar, rng = SceneGrammar.model_validate(found.example), stream(0, "pool")
    every = [grammar.sample(rng) for _ in range(57)]
    with make_renderer(use, workers=Workers(executor="ray", count=count)) as pool:
        assert pool.image_size == found().image_size
        assert_same(draw(pool, every), found().render(every))
        for size in (0, 1, 2):
            assert_same(pool.render(every[:size]), found().render(every[:size]))


def test_images_and_messages_may_be_large(hire: Hire, in_process: Callable[..., Any]) -> None:
    crowded = [scene(seed, things=4000) for seed in range(6)]
    pool, alone = hire(size=[700, 900]), in_process(size=[700, 900])
    drawn = pool.render(crowded)
    assert_same(drawn, alone.render(crowded))
    kept = drawn.copy()
    pool.render(crowded[::-1])
    assert_same(drawn, kept)


def test_models_arrive(hire: Hire, in_process: Callable[..., Any]) -> None:
    ours, theirs = hire("Rich").meshes(), in_process("Rich").meshes()
    assert list(ours) == list(theirs)
    for name, mesh in theirs.items():
        np.testing.assert_array_equal(ours[name].vertices, mesh.vertices, strict=True)
        np.testing.assert_array_equal(ours[name].faces, mesh.faces, strict=True)


def test_as_many_workers_as_the_cluster_has_cpus(hire: Hire, drawn: Drawn, tmp_path: Path) -> None:
    pool = hire(workers={"count": "auto"}, notes=str(tmp_path))
    wait_until(lambda: len({pid for _, pid in drawn_by(pool, drawn)}) == 2)
    seeds = Counter(seed for seed, _ in drawn())
    assert set(seeds.values()) == {len(drawn()) / 40}, "each is drawn once in every batch"


def drawn_by(pool: WorkerPool, drawn: Drawn) -> list[tuple[int, int]]:
    pool.render(sleepy(40))
    return drawn()


def test_what_a_renderer_raises_is_told_as_in_one_process(hire: Hire) -> None:
    pool = hire()
    with pytest.raises(RenderError, match=r"^the renderer Troubled raised ValueError: no") as error:
        draw(pool, scenes(9, s4="complain"))
    assert "in complain" in str(error.value), "with the end of the worker's log"
    with pytest.raises(DataError, match=r"^no such mesh$"):
        draw(pool, scenes(9, s4="refuse"))
    assert len(pool.render(scenes(20))) == 20, "it can be used again"


def test_modules_beside_an_experiment_are_sent(here: None, tmp_path: Path) -> None:
    """Also those that are imported only as the renderer is built; nothing is left to read there."""
    (tmp_path / "metasim_far").mkdir()
    (tmp_path / "metasim_far" / "__init__.py").write_text(
        "from metasim.testing import AnalyticRenderer\n"
        "class Far(AnalyticRenderer):\n"
        "    def __init__(self):\n"
        "        from metasim_further import SIZE\n"
        "        super().__init__(image_size=SIZE)\n"
    )
    (tmp_path / "metasim_further.py").write_text("SIZE = [9, 11]\n")
    workers = Workers(executor="ray", count=1)
    with make_renderer("metasim_far:Far", {}, tmp_path, workers) as pool:
        assert pool.image_size == (9, 11)
        (tmp_path / "metasim_further.py").unlink()
        pool._crew.drop_all()
        assert pool.render([]).images.shape == (0, 9, 11, 3), "and so to the next worker"


# --- faults --------------------------------------------------------------------------------

HOW = {
    "kill": "ended unexpectedly on 127.0.0.1",
    "segfault": "ended unexpectedly on 127.0.0.1",
    "leave": "ended unexpectedly on 127.0.0.1",
    "hang": "had not answered after 2 s and was killed",
}
SETTINGS = {"count": 2, "timeout": 2}


@pytest.mark.parametrize("fault", HOW)
def test_a_fault_that_befalls_one_worker_costs_nothing_but_time(
    hire: Hire, tmp_path: Path, drawn: Drawn, fault: str
) -> None:
    pool = hire(workers=SETTINGS, notes=str(tmp_path))
    batch = scenes(30, s11=f"once:{fault}")
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    times = Counter(seed for seed, _ in drawn())
    assert times.keys() == set(range(30))


@pytest.mark.parametrize("fault", ["kill", "segfault", "hang"])
def test_the_scene_that_ends_every_worker_is_found_and_refused(
    hire: Hire, tmp_path: Path, drawn: Drawn, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = hire(workers=SETTINGS, notes=str(tmp_path))
    batch = scenes(14, s9=fault)
    with pytest.raises(RenderError, match="image 9 of the batch must be drawn, but") as error:
        pool.render(batch)
    told = str(error.value)
    assert f"every worker that drew it {HOW[fault]};" in told
    assert json.dumps(batch[9].to_json()) in told
    assert "  | troubled renderer built" in told or "in segfault" in told, "the end of its log"
    assert fault != "hang" or "in hang" in told, "and where it was"
    before = len(drawn())
    with pytest.raises(RenderError, match="image 1 of the batch must be drawn, but every"):
        pool.render([batch[0], batch[9]])
    assert len(drawn()) == before, "it is not tried again"
    rest = batch[:9] + batch[10:]
    np.testing.assert_array_equal(pool.render(rest).images, faultless(rest))
    shown = capfd.readouterr()
    assert set(shown.out.splitlines()) == {"troubled renderer built"}, "what is built here"
    assert shown.err == "", "and Ray says nothing"


def test_workers_killed_from_outside_again_and_again(
    hire: Hire, tmp_path: Path, drawn: Drawn
) -> None:
    pool, batch, done = hire(notes=str(tmp_path)), sleepy(150), threading.Event()
    expected, killed = faultless(batch), set[int]()

    def kill() -> None:
        while not done.wait(1.0):
            pid = drawn()[-1][1] if (tmp_path / "drawn").exists() else 0
            if pid and is_there(pid):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while len(killed) < 4:
            np.testing.assert_array_equal(pool.render(batch).images, expected)
    finally:
        done.set()
        killer.join()


def test_a_worker_that_dies_while_idle_is_nobodys_fault(
    hire: Hire, tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = hire(workers=1, notes=str(tmp_path))
    monkeypatch.setattr("metasim.render.pool._ENOUGH", 1)  # whoever is blamed is given up
    for _ in range(3):
        assert len(pool.render(scenes(1))) == 1
        os.kill(drawn()[-1][1], signal.SIGKILL)
    assert len(pool.render(scenes(1))) == 1


@pytest.fixture
def parent(hire: Hire, tmp_path: Path, module: str) -> Callable[..., Renderer]:
    """Build a renderer that starts a process in each call, by a child which leaves it behind."""
    (tmp_path / "metasim_parent.py").write_text(
        "import subprocess\n"
        "from metasim_troubled import Troubled\n"
        "class Parent(Troubled):\n"
        "    def render(self, scenes):\n"
        "        subprocess.run(f'sleep 600 & echo $! >> {self.notes}/children', shell=True)\n"
        "        return super().render(scenes)\n"
    )

    def build(count: int) -> Renderer:
        workers = Workers(executor="ray", count=count)
        options = {"notes": str(tmp_path)}
        return make_renderer("metasim_parent:Parent", options, tmp_path, workers)

    return build


def children(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "children").read_text().split()]


def test_what_a_lost_worker_has_started_is_ended(
    parent: Callable[..., Renderer], tmp_path: Path
) -> None:
    with parent(1) as pool:
        pool.render(scenes(4, s1="once:kill"))
        killed, *_, running = children(tmp_path)
        assert is_there(running)
        wait_until(lambda: not is_there(killed))
    wait_until(lambda: not any(map(is_there, children(tmp_path))))


def test_what_a_worker_has_started_whose_room_is_taken_is_ended(
    hire: Hire, parent: Callable[..., Renderer], tmp_path: Path
) -> None:
    with parent(2) as learner:
        wait_until(lambda: len(learner.render(sleepy(20))) and _all_ready(learner))
        learner.render(sleepy(20))
        hire()
        wait_until(lambda: not all(map(is_there, children(tmp_path))))


def _all_ready(pool: Renderer) -> bool:
    assert isinstance(pool, WorkerPool)
    return all(member.ready for member in pool._crew.members.values())


def test_a_worker_that_grows_is_replaced(hire: Hire, tmp_path: Path, drawn: Drawn) -> None:
    settings = {"count": 1, "recycle": {"memory": 250}}
    pool = hire("Growing", workers=settings, notes=str(tmp_path))
    batch = scenes(40)
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    assert 2 <= len({process for _, process in drawn()}) <= 30


def test_one_that_grows_over_a_single_scene_is_ended(
    hire: Hire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_worker, "_LOOKING", 0.05)
    pool = hire(workers={"count": 1, "recycle": {"memory": 300}}, notes=str(tmp_path))
    pool.render(scenes(4))
    with pytest.raises(RenderError, match=r"took \d+ MiB of memory, of 300 allowed, and was kill"):
        pool.render(scenes(4, s1="hoard"))


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("refuse", DataError, r"^no such mesh$"),
        ("complain", PluginError, r"^building the renderer '.*' raised ValueError: no lamp"),
        ("kill", PluginError, r"ready the worker ended unexpectedly on .*, 3 times in a row; see"),
        ("hang", PluginError, r"ready the worker was not ready after 3 s and was killed; see that"),
    ],
)
def test_a_worker_that_does_not_get_ready_is_told(
    hire: Hire, fault: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        hire(workers={"count": 2, "start": 3}, at_start=fault)


def test_closing_that_fails_is_told(hire: Hire) -> None:
    pool = hire("Unclosable", how="complain")
    with pytest.raises(RenderError, match="closing the renderer Unclosable raised ValueError: no"):
        pool.close()


def test_another_thread_can_end_a_call(hire: Hire) -> None:
    pool = hire()
    timer = threading.Timer(0.3, pool.stop)
    timer.start()
    with pytest.raises(RenderError, match="was closed; build another"):
        pool.render(sleepy(2000))
    timer.join()


# --- room ----------------------------------------------------------------------------------


def test_workers_without_room_are_done_without(hire: Hire, tmp_path: Path, drawn: Drawn) -> None:
    pool = hire(workers={"count": 5, "start": 20}, notes=str(tmp_path))
    batch = sleepy(60)
    wait_until(lambda: len({pid for _, pid in drawn_by(pool, drawn)}) == 2)
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))


def test_renderers_of_one_process_take_turns(hire: Hire) -> None:
    """The learner's has all the room, and does nothing, while the target's is built and draws."""
    learner, batch = hire(), scenes(30)
    np.testing.assert_array_equal(learner.render(batch).images, faultless(batch))
    target = hire(size=[5, 5])
    assert target.render(batch).images.shape == (30, 5, 5, 3)
    np.testing.assert_array_equal(learner.render(batch).images, faultless(batch))
    assert target.render(batch).images.shape == (30, 5, 5, 3)
    target.close()
    np.testing.assert_array_equal(learner.render(batch).images, faultless(batch))


def test_a_cluster_that_has_no_room_is_told(
    hire: Hire, ray_apart: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        """Somebody else's."""

    others = [ray_apart.remote(num_cpus=1)(Other).remote() for _ in range(2)]
    try:
        wait_until(lambda: ray_apart.available_resources().get("CPU", 0) == 0)
        told = r"none to start in for 2 s: .* has 2 CPUs on 1 machines, and 0 of them free; .* end"
        with pytest.raises(PluginError, match=told):
            hire(workers={"count": 2, "start": 2})
    finally:
        for other in others:
            ray_apart.kill(other)


# --- machines ------------------------------------------------------------------------------


def test_a_machine_that_would_draw_something_else_is_refused(
    hire: Hire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made_of = actor.made_of

    def other(task: Any) -> Any:
        found = made_of(task)
        found["versions"]["numpy"] = "0.9"
        found["content"]["the source of metasim"] = "another"
        found["content"]["what options.notes names"] = "another"
        found["content"]["what options.size names"] = "not there"
        return found

    monkeypatch.setattr(actor, "made_of", other)
    told = (
        rf"numpy is {np.__version__} instead of 0\.9; the source of metasim differs; "
        r"what options\.notes names differs; what options\.size names is missing; install"
    )
    with pytest.raises(PluginError, match=f"but on 127.0.0.1 {told}"):
        hire(notes=str(tmp_path))


def test_what_was_lost_from_outside_too_often_is_blamed_after_all(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scene that its whole machine is lost by must not take all of them."""
    monkeypatch.setattr(Machines, "reason", lambda *_: ("was lost with its machine", True))
    with pytest.raises(RenderError, match=r"image 2 of the batch .* was lost with its machine;"):
        hire(workers=1).render(scenes(3, s2="kill"))
