"""What a renderer leaves in the process is found, and what is not its doing is not."""

import decimal
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from multiprocessing import shared_memory

import numpy as np
import pytest

from metasim.testing import AnalyticRenderer, Footprint

NOTHING = [sys.executable, "-c", "import sys; sys.stdin.read()"]  # until its input is closed


@pytest.fixture
def ended():
    """Child processes, ended after the test."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="children are looked up in /proc")
def test_a_child_process_left_running_is_found(failures, ended):
    class Leaves(AnalyticRenderer):
        def __init__(self):
            super().__init__()
            ended.append(subprocess.Popen(NOTHING, stdin=subprocess.PIPE))

    found = failures(Leaves)
    assert found.keys() == {"clean_close"}
    assert "process python" in found["clean_close"]


def test_a_daemon_thread_left_running_is_found(failures):
    stop = threading.Event()

    class Leaves(AnalyticRenderer):
        def render(self, scenes):
            threading.Thread(target=stop.wait, name="left behind", daemon=True).start()
            return super().render(scenes)

    try:
        found = failures(Leaves)
    finally:
        stop.set()
    assert found.keys() == {"clean_close"}
    assert "thread left behind" in found["clean_close"]


def test_what_close_has_told_to_end_is_waited_for(failures, ended):
    class Ends(AnalyticRenderer):
        def __init__(self):
            super().__init__()
            self.process = subprocess.Popen(NOTHING, stdin=subprocess.PIPE)
            ended.append(self.process)
            self.stop = threading.Event()
            threading.Thread(target=self.stop.wait).start()
            # It starts Python's resource tracker, which lives as long as the process.
            memory = shared_memory.SharedMemory(create=True, size=16)
            memory.close()
            memory.unlink()

        def close(self):
            self.stop.set()
            self.process.terminate()

    assert failures(Ends) == {}


def limit(value):
    sys.setrecursionlimit(sys.getrecursionlimit() + value)


CHANGES = {
    "sys.path": (lambda: sys.path.insert(0, "/leak"), lambda: sys.path.remove("/leak")),
    "the signal handlers": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    ),
    "the interval at which threads take turns": (
        lambda: sys.setswitchinterval(0.02),
        lambda: sys.setswitchinterval(0.005),
    ),
    "what logging.disable has set": (
        lambda: logging.disable(logging.ERROR),
        lambda: logging.disable(logging.NOTSET),
    ),
    "numpy's print options": (
        lambda: np.set_printoptions(precision=3),
        lambda: np.set_printoptions(precision=8),
    ),
    "the decimal context": (
        lambda: setattr(decimal.getcontext(), "prec", 50),
        lambda: setattr(decimal.getcontext(), "prec", 28),
    ),
    "the recursion limit": (lambda: limit(1), lambda: limit(-1)),
    "the working directory": (lambda: os.chdir("/"), lambda: None),
    "the warning filters": (lambda: warnings.simplefilter("ignore"), lambda: None),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_global_state_is_found(failures, what, tmp_path, monkeypatch):
    do, undo = CHANGES[what]
    monkeypatch.chdir(tmp_path)

    class Changes(AnalyticRenderer):
        done = False

        def __init__(self):
            super().__init__()
            if not Changes.done:
                do()
                Changes.done = True

    with warnings.catch_warnings():
        try:
            found = failures(Changes)
        finally:
            undo()
    assert found.keys() == {"no_global_state"}
    assert f"must not touch {what};" in found["no_global_state"]


def test_torchs_number_of_threads_is_found(failures):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()

    class Changes(AnalyticRenderer):
        def __init__(self):
            super().__init__()
            torch.set_num_threads(before + 1)

    try:
        found = failures(Changes)
    finally:
        torch.set_num_threads(before)
    assert "torch's number of threads" in found["no_global_state"]


def test_what_libraries_do_as_they_are_imported_is_not_the_renderers_doing(monkeypatch):
    class OwnWarning(UserWarning):
        pass

    footprint = Footprint()
    monkeypatch.setattr(sys, "path", list(sys.path))
    decimal.getcontext().clear_flags()
    monkeypatch.setenv("KMP_INIT_AT_FORK", "TRUE")
    with warnings.catch_warnings(), footprint.watched():
        warnings.simplefilter("always", OwnWarning)
        warnings.filterwarnings("ignore", module="somewhere")
        warnings.filterwarnings("ignore", message="something")
        os.environ["KMP_INIT_AT_FORK"] = "FALSE"
        decimal.Decimal(1) / 3  # sets a flag of the context
        sys.path.append(os.getcwd())  # metasim does, for a module:Class
    assert footprint.changed == set()
    assert footprint.still_running() == []


def test_what_is_left_by_code_that_raises_is_found(monkeypatch):
    monkeypatch.setenv("METASIM_TEST_LEAK", "0")
    footprint = Footprint()

    def fails():
        os.environ["METASIM_TEST_LEAK"] = "1"
        raise KeyError("no lamp")

    with pytest.raises(KeyError), footprint.watched():
        fails()
    assert footprint.changed == {"the environment variables"}
