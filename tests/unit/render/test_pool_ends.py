"""However the one that started them ends, or is interrupted, no worker is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from metasim.errors import Interrupted, RenderError
from metasim.render import make_renderer
from metasim.render.options import Workers
from metasim.render.pool import WorkerPool
from metasim.signals import interruptible
from tests.unit.render.troubled import Troubled, scene, scenes

Hire = Callable[..., WorkerPool]

SUPERVISOR = """
import os, sys, time
from pathlib import Path
from metasim.render import make_renderer
from metasim.render.options import Workers
folder = Path(sys.argv[1])
sys.path.append(str(folder))
from metasim_troubled import scene
pool = make_renderer("metasim_troubled:Troubled", {}, folder, Workers(count=2))
pids = []
while len(pids) < 2:
    pool.render([scene(n, "sleep") for n in range(9)])
    pids = [m.worker.process.pid for m in pool._crew.members.values() if m.ready]
if sys.argv[2] == "fork" and not os.fork():
    time.sleep(60)
    os._exit(0)
(folder / "pids.part").write_text(" ".join(map(str, pids)))
(folder / "pids.part").rename(folder / "pids")
match sys.argv[2]:
    case "idle" | "fork":
        time.sleep(60)
    case "forgets":
        sys.exit(3)
    case "leaves":
        os._exit(4)
    case fault:
        while True:
            pool.render([scene(n, fault) for n in range(99)])
"""


def is_running(pid: int) -> bool:
    """Whether a process is there that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_gone(*pids: int) -> None:
    """Fail where one of some processes does not end."""
    deadline = time.monotonic() + 20
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.01)


@pytest.fixture
def supervise(tmp_path: Path, module: str) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a process that has two workers, in a group of its own."""
    (tmp_path / "supervisor.py").write_text(SUPERVISOR)
    started: list[subprocess.Popen[bytes]] = []

    def start(does: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(tmp_path / "supervisor.py"), str(tmp_path), does]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        while not (tmp_path / "pids").exists():
            assert started[-1].poll() is None or (tmp_path / "pids").exists()
            time.sleep(0.01)
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()
            os.killpg(process.pid, signal.SIGKILL) if is_running(process.pid) else None


def workers_of(folder: Path) -> list[int]:
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 2
    return pids


@pytest.mark.parametrize("does", ["idle", "hang", "sleep"])
def test_a_supervisor_that_is_killed_leaves_no_worker(
    tmp_path: Path, supervise: Callable[[str], subprocess.Popen[bytes]], does: str
) -> None:
    """Also where they are in native code that never comes back to Python."""
    process = supervise(does)
    pids = workers_of(tmp_path)
    time.sleep(0.3)  # into what it does
    process.kill()
    process.wait()
    assert_gone(*pids)


@pytest.mark.parametrize(("does", "code"), [("forgets", 3), ("leaves", 4)])
def test_a_supervisor_that_does_not_close_leaves_no_worker(
    tmp_path: Path, supervise: Callable[[str], subprocess.Popen[bytes]], does: str, code: int
) -> None:
    assert supervise(does).wait() == code
    assert_gone(*workers_of(tmp_path))


def test_a_child_of_the_supervisor_keeps_no_worker_alive(
    tmp_path: Path, supervise: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = supervise("fork")
    group = [int(p.name) for p in Path("/proc").glob("[0-9]*") if _group_of(p) == process.pid]
    (child,) = set(group) - {process.pid}
    process.kill()
    process.wait()
    assert_gone(*workers_of(tmp_path))
    assert is_running(child), "it outlives its parent, as nothing else does"
    os.kill(child, signal.SIGKILL)


def _group_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return -1


@pytest.mark.parametrize("system", ["with process descriptors", "without"])
@pytest.mark.parametrize("fault", ["fork", "spawn"])
def test_a_worker_takes_what_it_has_started_with_it(
    hire: Hire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, system: str
) -> None:
    monkeypatch.setenv("METASIM_TEST_CHILD", str(tmp_path / "child"))
    if system == "without":
        monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(RenderError, match="every worker that drew it was killed by SIGKILL"):
        hire().render(scenes(1, s0=fault))
    assert_gone(int((tmp_path / "child").read_text()))


def test_so_does_one_that_has_ended_as_it_is_asked_where_it_is(
    hire: Hire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it has is only then told."""
    monkeypatch.setenv("METASIM_TEST_CHILD", str(tmp_path / "child"))
    pool = hire(workers=1)
    (worker,) = pool._crew.members
    worker.post({"id": 1, "ask": "render", "first": 0, "scenes": [scene(0, "spawn").to_json()]})
    os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
    worker.ask_where()
    pool.render(scenes(1))
    assert_gone(int((tmp_path / "child").read_text()))


def test_a_forked_process_cannot_use_the_pool_nor_end_it(hire: Hire) -> None:
    pool = hire()
    pool.render(scenes(3))
    told, tell = os.pipe()
    if not os.fork():  # pragma: no cover - another process
        try:
            pool.render(scenes(3))
        except RenderError as error:
            os.write(tell, str(error).encode())
        pool.close()
        os._exit(0)
    os.wait()
    said = os.read(told, 1000).decode()
    os.close(told)
    os.close(tell)
    assert "by the process that built it, and not by one forked from that" in said
    assert len(pool.render(scenes(9))) == 9


def test_the_memory_that_is_shared_has_no_name(hire: Hire) -> None:
    """So that nobody need remove it."""
    pool = hire(workers=1, size=[50, 60])
    pool.render(scenes(9))
    (worker,) = pool._crew.members
    for shelf in worker._shelves:
        assert os.readlink(f"/proc/self/fd/{shelf.handle}").endswith("(deleted)")
        assert os.fstat(shelf.handle).st_nlink == 0


def test_systems_without_memory_files_and_process_descriptors(
    hire: Hire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    pool = hire(notes=str(tmp_path))
    for fault in ("kill", "leave", "segfault"):
        batch = scenes(30, s7=f"once:{fault}")
        np.testing.assert_array_equal(
            pool.render(batch).images, Troubled().render(scenes(30)).images
        )
    assert not list((tmp_path / "shared").iterdir())


# --- being interrupted ---------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C raises: a program that a shell has put into the background is started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_in_a_batch_leaves_a_pool_that_draws(hire: Hire) -> None:
    """A worker sends the signal, in the middle of its chunk."""
    pool = hire()
    for place in (0, 5, 29):
        with pytest.raises(KeyboardInterrupt):
            pool.render(
                [scene(n, "interrupt" if n == place else "sleep") for n in range(30)]
                + [scene(31, "hang")]
            )
        batch = scenes(40)
        np.testing.assert_array_equal(pool.render(batch).images, Troubled().render(batch).images)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_in_a_batch_leaves_a_pool_that_tells_of_models(hire: Hire) -> None:
    """Though nobody is left of its workers."""
    pool = hire("Rich")
    with pytest.raises(KeyboardInterrupt):
        pool.render([scene(0, "interrupt"), scene(1, "hang")])
    assert set(pool.meshes()) == {"cup", "nothing", "mug"}


def test_ctrl_c_in_a_batch_leaves_a_pool_that_closes(hire: Hire) -> None:
    pool = hire(workers=3)
    with pytest.raises(Interrupted, match="stopped"), interruptible(lambda: "stopped"), pool:
        pool.render([*scenes(30, s3="interrupt"), scene(31, "hang")])
    with pytest.raises(RenderError, match="was closed"):
        pool.render(scenes(1))


def _interrupt(first: float, caught_it: threading.Event) -> None:
    """Send Ctrl-C after so many seconds, and every ten, until it is caught."""
    wait = first
    while not caught_it.wait(wait):
        os.kill(os.getpid(), signal.SIGINT)
        wait = 10.0


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_moment(
    tmp_path: Path, module: str, children: Callable[[], set[int]]
) -> None:
    """Whatever the pool is doing: building, handing out, copying, replacing, closing.

    An interrupted constructor may leave a socket to the garbage collector, but no process. What
    is raised while Python forgets an object is lost, so the signal comes again after a while.
    """
    random = np.random.default_rng(0)
    expected = Troubled().render(scenes(200)).images
    caught = 0
    for attempt in range(40):
        caught_it, first = threading.Event(), random.uniform(0, 0.5)
        signals = threading.Thread(target=_interrupt, args=(first, caught_it))
        pool = None
        try:
            signals.start()
            pool = make_renderer(f"{module}:Troubled", {}, tmp_path, Workers(count=2))
            while True:
                pool.render(scenes(200))
        except KeyboardInterrupt:
            caught += 1
        finally:
            caught_it.set()
            signals.join()
        if pool is not None:
            if attempt % 2:
                np.testing.assert_array_equal(pool.render(scenes(200)).images, expected)
            pool.close()
    assert caught == 40
    del pool
    gc.collect()
    assert not children()


@pytest.mark.usefixtures("heard")
def test_stale_answers_are_not_taken_for_new_ones(hire: Hire) -> None:
    pool = hire()
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            pool.render([*(scene(900 + n, "sleep") for n in range(20)), scene(3, "interrupt")])
        batch = scenes(12)
        np.testing.assert_array_equal(pool.render(batch).images, Troubled().render(batch).images)
