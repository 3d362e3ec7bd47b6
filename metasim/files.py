"""Files that appear whole or not at all, and locks that die with their process."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "exclusive",
    "is_temporary",
    "link_or_copy",
    "remove_temporaries",
    "replacing",
    "sync_all",
    "write_atomic",
]

_SUFFIX = ".metasim-tmp"
_POLL = 0.2  # seconds between two tries for a lock


def write_atomic(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write a file that is seen either as it was before or as it is after, never in between.

    Args:
        path: the file; its folder must exist.
        data: the content; a string is written as UTF-8, with line ends as they are.
        durable: wait until the disk holds it, so that it survives a loss of power too.

    Raises:
        OSError: when it cannot be written; the file is then as it was before.
    """
    with replacing(path, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """An open binary file that takes the place of ``path`` at the end of the block.

    When the block raises, ``path`` stays as it was. See :func:`write_atomic`.
    """
    temporary = os.path.join(path.parent, f".{secrets.token_hex(8)}{_SUFFIX}")
    # Mode 0o666 as open() uses: the user's umask decides, as with any other file.
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        _sync_folder(path.parent)


def link_or_copy(source: Path, path: Path) -> None:
    """Let ``path`` have the content of ``source``, by a hard link where the disk can.

    As with :func:`write_atomic`, ``path`` is seen whole or not at all.

    Raises:
        OSError: when ``source`` cannot be read or ``path`` not be written.
    """
    temporary = os.path.join(path.parent, f".{secrets.token_hex(8)}{_SUFFIX}")
    try:
        os.link(source, temporary)
    except OSError:  # two file systems, or one without links
        write_atomic(path, source.read_bytes(), durable=False)
        return
    try:
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # it stays where ``path`` was a link to the same already
            os.unlink(temporary)


def sync_all() -> None:
    """Wait until the disk holds all that was written so far, where the platform can tell."""
    if sync := getattr(os, "sync", None):
        sync()


_BINARY = getattr(os, "O_BINARY", 0)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; not every platform and file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a half-written one of ours."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process of ours left half-written in ``folder``.

    Call it only under a lock that keeps other writers out.
    """
    for entry in os.scandir(folder):
        if is_temporary(entry.name):
            os.unlink(entry.path)


@contextmanager
def exclusive(path: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of the block.

    The operating system holds the lock for the process, so the lock of a process that
    died is free at once, whatever the file says.

    Args:
        path: of the lock file; its folder must exist.
        waiting: told once who holds the lock, which is then waited for.

    Raises:
        BlockingIOError: without ``waiting``, when another process (or another block of this
            one) holds it; the message names the holder.
    """
    handle = _acquire(path) if waiting is None else _wait(path, waiting)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # Removed while still held: whoever waits on this very file sees that it is gone.
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _wait(path: Path, waiting: Callable[[str], None]) -> int:
    told = False
    while True:
        try:
            return _acquire(path)
        except BlockingIOError as error:
            if not told:
                waiting(str(error))
            told = True
        time.sleep(_POLL)


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | _BINARY, 0o666)
        try:
            _lock(handle)
        except OSError as error:
            if error.errno not in _HELD:  # a file system without locks, for one
                os.close(handle)
                raise
            holder = os.read(handle, 200).decode(errors="replace")
            os.close(handle)
            raise BlockingIOError(holder or "another process") from None
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)  # its last holder removed the file in between


# What a lock that another process holds is told by.
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 1 << 20, os.SEEK_SET)  # beyond the text, which others must read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
