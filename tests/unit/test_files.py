"""Atomic writes and locks, with real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metasim import files
from metasim.files import (
    exclusive,
    is_temporary,
    link_or_copy,
    remove_temporaries,
    replacing,
    write_atomic,
)

_OVERWRITE = """
import sys
from pathlib import Path
from metasim.files import write_atomic
print("ready", flush=True)
while True:
    for letter in "ab":
        write_atomic(Path(sys.argv[1]), letter * 300_000, durable=False)
"""

_HOLD = """
import sys, time
from pathlib import Path
from metasim.files import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def _start(code: str, path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_content_and_mode(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "schön\r\n")
    write_atomic(tmp_path / "b", b"\0\xff", durable=False)
    assert (tmp_path / "a").read_bytes() == "schön\r\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\0\xff"
    (tmp_path / "plain").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    process = _start(_OVERWRITE, path)
    try:
        seen: set[str] = set()
        while len(seen) < 2:
            content = path.read_text() if path.exists() else ""
            if content:
                assert content in ("a" * 300_000, "b" * 300_000)
                seen.add(content[0])
    finally:
        _end(process)
    assert path.read_text() in ("a" * 300_000, "b" * 300_000)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    names = [".0a1b.metasim-tmp", "notes.metasim-tmp", ".hidden", "file.tmp"]
    for name in names:
        (tmp_path / name).touch()
    assert [is_temporary(name) for name in names] == [True, False, False, False]
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = _start(_HOLD, path)
    try:
        with pytest.raises(BlockingIOError, match=f"process {process.pid} on "), exclusive(path):
            pass
    finally:
        _end(process)
    with exclusive(path):
        assert f"process {os.getpid()} on " in path.read_text()
        with pytest.raises(BlockingIOError), exclusive(path):
            pass
    assert not path.exists()


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = _start(_HOLD, path)
    told: list[str] = []

    def waiting(holder: str) -> None:
        told.append(holder)
        # Another try finds it held still, of which nothing is told.
        threading.Timer(0.5, process.kill).start()

    try:
        with exclusive(path, waiting):
            assert f"process {os.getpid()} on " in path.read_text()
    finally:
        _end(process)
    (holder,) = told
    assert holder.startswith(f"process {process.pid} on ")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_linked_where_the_disk_can_and_copied_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    source, path = tmp_path / "source", tmp_path / "path"
    source.write_text("new")
    path.write_text("old")
    if not links:
        monkeypatch.setattr(os, "link", refused)
    for _ in range(2):  # the second time it is the same file already
        link_or_copy(source, path)
        assert path.read_text() == "new"
        assert path.samefile(source) == links
        assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "missing", path)
    assert path.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = _start(_HOLD, path)
    _end(process)
    assert path.exists(), "the killed process must have left its file"
    with exclusive(path):
        assert str(process.pid) not in path.read_text()


def test_a_failure_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock"):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock"):
        pass


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(handle: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(files, "_lock", unsupported)
    lock = files.exclusive(tmp_path / "lock", waiting=lambda holder: None)
    with pytest.raises(OSError, match="not supported") as caught:
        lock.__enter__()
    assert not isinstance(caught.value, BlockingIOError)
