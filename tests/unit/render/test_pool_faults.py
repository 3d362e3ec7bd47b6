"""Workers that are really killed, crash, hang and grow: the batch comes out whole, or says why."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metasim.errors import DataError, PluginError, RenderError
from metasim.render import make_renderer
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.scene import Scene
from tests.unit.render.troubled import Troubled, scene, scenes

Hire = Callable[..., WorkerPool]
Drawn = Callable[[], list[tuple[int, int]]]

HOW = {
    "kill": "was killed by SIGKILL",
    "segfault": "was killed by SIGSEGV",
    "leave": "ended with exit code 7",
    "close": r"(let go of its connection|had not answered after 1 s) and was killed",
    "hang": "had not answered after 1 s and was killed",
    "leak": r"took \d+ MiB of memory, of 300 allowed, and was killed",
}
SETTINGS = {"count": 2, "timeout": 1, "recycle": {"memory": 300}}


def faultless(batch: list[Scene]) -> np.ndarray:
    """The images of a batch that nothing happens to."""
    return Troubled().render([scene(one.seed) for one in batch]).images


@pytest.mark.parametrize("fault", HOW)
def test_a_fault_that_befalls_one_worker_costs_nothing_but_time(
    hire: Hire, tmp_path: Path, drawn: Drawn, fault: str
) -> None:
    pool = hire(workers=SETTINGS, notes=str(tmp_path))
    batch = scenes(30, s11=f"once:{fault}")
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    times = Counter(seed for seed, _ in drawn())
    assert times.keys() == set(range(30))
    # None twice but those of the one chunk whose worker was lost.
    assert sum(times.values()) - 60 <= 30


@pytest.mark.parametrize(
    "fault",
    [
        "kill",
        "segfault",
        "leave",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("close", "hang", "leak")),
    ],
)
def test_the_scene_that_ends_every_worker_is_found_and_refused(
    hire: Hire, tmp_path: Path, drawn: Drawn, fault: str
) -> None:
    pool = hire(workers=SETTINGS, notes=str(tmp_path))
    batch = scenes(14, s9=fault)
    with pytest.raises(RenderError) as error:
        pool.render(batch)
    told = str(error.value)
    assert re.match(rf"image 9 of the batch must be drawn, but every worker .* {HOW[fault]};", told)
    assert "room (scene), thing (thing)" in told
    assert json.dumps(batch[9].to_json()) in told
    assert error.value.scenes == (batch[9].to_json(),)
    assert "  | troubled renderer built" in told, "the end of its log"
    before = len(drawn())
    with pytest.raises(RenderError, match="image 1 of the batch must be drawn, but every") as again:
        pool.render([batch[0], Scene.from_json(batch[9].to_json())])
    assert again.value.scenes == error.value.scenes
    assert len(drawn()) == before, "what is equal to it is not tried"
    rest = batch[:9] + batch[10:]
    np.testing.assert_array_equal(pool.render(rest).images, faultless(rest))


def test_workers_that_die_while_there_is_nothing_to_do_are_replaced(
    hire: Hire, tmp_path: Path, drawn: Drawn
) -> None:
    pool = hire(notes=str(tmp_path))
    for _ in range(4):
        batch = scenes(10)
        np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
        for worker in list(pool._crew.members):
            worker.kill()
            os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
    assert len(drawn()) == 40, "none was lost and drawn again"


def test_a_crash_and_a_hang_say_where(hire: Hire) -> None:
    pool = hire(workers=SETTINGS)
    for fault, place in {"segfault": "segfault", "hang": "hang"}.items():
        with pytest.raises(RenderError, match=rf"  \|   File .*, line \d+ in {place}"):
            pool.render(scenes(1, s0=fault))


def test_faults_of_several_scenes_and_of_all_workers_at_once(hire: Hire, tmp_path: Path) -> None:
    pool = hire(workers={**SETTINGS, "count": 3}, notes=str(tmp_path))
    batch = scenes(60, s2="once:kill", s3="once:segfault", s30="once:leave", s59="once:hang")
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))


def test_what_befalls_a_scene_in_company_does_not_condemn_it_once_it_is_alone(
    hire: Hire, tmp_path: Path, drawn: Drawn
) -> None:
    pool = hire("Shy", notes=str(tmp_path))
    batch = scenes(100, s60="once:kill")
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    assert (tmp_path / "kill").exists(), "it was in company before, and then ended one alone"


@pytest.mark.slow
def test_workers_killed_from_outside_again_and_again(
    hire: Hire, tmp_path: Path, drawn: Drawn
) -> None:
    pool = hire(workers=3, notes=str(tmp_path))
    batch = [scene(seed, "sleep") for seed in range(300)]
    expected, done = faultless(batch), threading.Event()
    random = np.random.default_rng(0)
    killed = 0

    def kill() -> None:
        nonlocal killed
        while not done.wait(0.2):
            members = [m for m in list(pool._crew.members.values()) if m.ready]
            if members:
                members[int(random.integers(len(members)))].worker.kill()
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(3):
            np.testing.assert_array_equal(pool.render(batch).images, expected)
    finally:
        done.set()
        killer.join()
    assert killed > 5


def test_a_worker_that_grows_from_chunk_to_chunk_is_replaced(
    hire: Hire, tmp_path: Path, drawn: Drawn
) -> None:
    """Whoever renders next does not get the blame."""
    pool = hire("Growing", workers={"count": 1, "recycle": {"memory": 150}}, notes=str(tmp_path))
    batch = scenes(60)
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    assert 3 <= len({process for _, process in drawn()}) <= 40


def test_a_bound_below_what_the_renderer_needs_is_refused(hire: Hire) -> None:
    with pytest.raises(PluginError, match=r"recycle.memory must be more than .* got 5; raise"):
        hire(workers={"count": 2, "recycle": {"memory": 5}})


# --- starting ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("refuse", DataError, r"^no such mesh$"),
        (
            "complain",
            PluginError,
            r"^building the renderer '.*:Troubled' raised ValueError: no lamp",
        ),
        ("exit", PluginError, r"building the renderer '.*:Troubled' raised SystemExit: 5"),
        ("leave", PluginError, r"ready the worker ended with exit code 7, 3 times in a row; see"),
        ("segfault", PluginError, r"ready the worker was killed by SIGSEGV, 3 times in a row;"),
        ("hang", PluginError, r"ready the worker was not ready after 1 s and was killed; see that"),
    ],
)
def test_a_worker_that_does_not_get_ready_is_told(
    hire: Hire, fault: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        hire(workers={"count": 2, "start": 1 if fault == "hang" else 60}, at_start=fault)


def test_a_fault_at_one_start_is_passed_over(hire: Hire, tmp_path: Path) -> None:
    pool = hire(notes=str(tmp_path), at_start="once:kill")
    assert len(pool.render(scenes(8))) == 8


def test_a_module_that_cannot_be_imported_there_is_told(
    tmp_path: Path, module: str, nothing_left: None
) -> None:
    source = f"import os\nfrom {module} import *\nif os.getpid() != {os.getpid()}: import no_such"
    (tmp_path / "metasim_only_here.py").write_text(source)
    told = "importing 'metasim_only_here' for .* raised ModuleNotFoundError: .* 'no_such'"
    with pytest.raises(PluginError, match=told):
        make_renderer("metasim_only_here:Troubled", {}, tmp_path, Workers(count=1))


def test_workers_that_build_other_renderers_are_refused(hire: Hire, tmp_path: Path) -> None:
    pool = hire("Changing", workers=2, notes=str(tmp_path))
    with pytest.raises(PluginError, match="all workers must build the same renderer, but one of"):
        pool.render([scene(seed, "sleep") for seed in range(1000)])


def test_workers_that_cannot_be_replaced_end_the_batch(hire: Hire, tmp_path: Path) -> None:
    pool = hire(workers=2, notes=str(tmp_path))
    (tmp_path / "metasim_troubled.py").write_text("raise OSError('the disk is gone')")
    with pytest.raises(PluginError, match="raised OSError: the disk is gone"):
        pool.render(scenes(9, s3="kill"))


def test_a_renderer_that_hangs_as_it_closes_is_ended(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metasim.render.crew._LEAVING", 0.5)
    pool = hire("Unclosable", how="hang")
    pool.close()
