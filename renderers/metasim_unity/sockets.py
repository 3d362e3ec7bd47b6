"""Whether a connection is still there, as the system knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["connected"]

# A socket for both versions of IP has all its connections in the second.
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"


def connected(peer: str) -> bool:
    """Whether a connection from this address and port is open.

    Linux tells; elsewhere, where nothing is known, it is taken to be.

    Args:
        peer: as gRPC gives it, for example ``ipv4:127.0.0.1:40312``.
    """
    port = peer.rpartition(":")[2]
    if not port.isdigit():
        return True
    ends = f":{int(port):04X}"
    known = False
    for table in _TABLES:
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        known = True
        for row in rows:
            _, _, remote, state, *_ = row.split()
            if remote.endswith(ends) and state == _ESTABLISHED:
                return True
    return not known
