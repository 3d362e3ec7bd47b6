"""Processes on this machine: that cannot be started, and that cannot be ended."""

from __future__ import annotations

import itertools
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metasim.errors import PluginError
from metasim.render import local
from metasim.render.local import LocalTransport


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """What is started like an interpreter, and does nothing."""
    (tmp_path / "sleeper").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "sleeper").chmod(0o755)
    return tmp_path / "sleeper"


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """So many more may be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(handle) for handle in os.listdir("/proc/self/fd")}
    free = (handle for handle in itertools.count() if handle not in taken)
    limit = next(itertools.islice(free, count, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_missing_descriptor_is_not_the_interpreters_fault(
    sleeper: Path, nothing_left: None
) -> None:
    """Whichever of those that a process takes is missing."""
    transport = LocalTransport({}, {}, python=sleeper)
    for count in itertools.count():
        with descriptors_left(count):
            try:
                transport.start()
                break
            except PluginError as error:
                told = str(error)
        assert told == (
            "another worker must be started, but Too many open files; have fewer (workers.count), "
            "there are 0"
        )
    assert count > 5
    transport.shut()


def test_what_is_no_interpreter_is_told(tmp_path: Path, nothing_left: None) -> None:
    transport = LocalTransport({}, {}, python=tmp_path / "nothing")
    with pytest.raises(PluginError, match=r"python must be an interpreter .* got .*/nothing: No s"):
        transport.start()
    transport.shut()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_process_that_cannot_be_ended_keeps_nobody(
    sleeper: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None
) -> None:
    """It may wait for a disk or a device, for ever."""
    transport = LocalTransport({}, {}, python=sleeper)
    monkeypatch.setattr(local, "_ENDING", 0.2)
    workers = [transport.start() for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda *_: None)
        transport.shut()
    for worker in workers:
        assert worker.process.poll() is None
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
