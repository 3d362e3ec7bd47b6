"""Belonging to a Ray cluster: one that runs, or one on this machine for as long as it is needed.

Ray is imported here and nowhere else in metasim's own process, when it is asked for. What it
changes of the process as it connects is put back, and what it would print is not shown: standard
output is for results.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import random
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from metasim.errors import MetasimError, MissingExtraError, PluginError

__all__ = ["import_ray", "join", "leave"]

_ADDRESS = "RAY_ADDRESS"
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_KNOCKING = 5.0  # seconds in which a cluster must be heard of


class _Held:
    """Who uses the connection.

    Attributes:
        lock: held while it changes.
        users: how many have joined and not left.
        address: that was asked for; None where somebody else has connected this process.
        started: whether the cluster is this process's own.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users = 0
        self.address: str | None = None
        self.started = False


_held = _Held()


def import_ray() -> ModuleType:
    """Ray.

    Raises:
        MissingExtraError: when it is not installed.
        PluginError: when it is, and cannot be imported.
    """
    try:
        with _undisturbed():
            import ray
    except Exception as error:  # a broken installation raises almost anything
        if find_spec("ray") is None:
            raise MissingExtraError("ray", "ray", "workers.executor 'ray'") from None
        raise PluginError(
            f"workers.executor 'ray' needs Ray, which is installed and cannot be imported "
            f"({_first_line(error)}); reinstall it with: pip install 'metasim[ray]'"
        ) from error
    found: ModuleType = ray
    return found


def join(address: str, cpus: int) -> str:
    """Belong to a cluster until :func:`leave`; this process can belong to one at a time.

    Args:
        address: "host:port" of the cluster, or "auto": that of RAY_ADDRESS, or where there is
            none, one that is started on this machine, which nobody else can reach.
        cpus: how many workers that one is to have room for.

    Returns:
        Where it is, in words.

    Raises:
        MissingExtraError: when Ray is not installed.
        PluginError: when the cluster cannot be joined or started.
    """
    ray = import_ray()
    with _held.lock:
        if not ray.is_initialized():
            _connect(ray, address, cpus)
        elif address not in ("auto", _held.address, ray.get_runtime_context().gcs_address):
            raise PluginError(
                f"workers.address must be {ray.get_runtime_context().gcs_address}, which this "
                f"process belongs to already, or be left out, got {address}"
            )
        _held.users += 1
        return _place(ray)


def leave() -> None:
    """Have no more use for the cluster; with the last user's leave the connection ends."""
    ray = import_ray()
    with _held.lock:
        _held.users -= 1
        if _held.users == 0 and _held.address is not None:
            _disconnect(ray)


def _connect(ray: ModuleType, address: str, cpus: int) -> None:
    asked = os.environ.get(_ADDRESS, "auto") if address == "auto" else address
    _hush(ray, True)
    try:
        with _undisturbed():
            if asked == "auto":
                _start(ray, cpus)
            else:
                _reach(ray, asked, _ADDRESS if address == "auto" else "workers.address")
    except BaseException as error:
        _disconnect(ray)
        if not isinstance(error, Exception) or isinstance(error, MetasimError):
            raise
        what = "start on this machine" if asked == "auto" else f"let this process join {asked}"
        raise PluginError(
            f"Ray must {what}, but {type(error).__name__}: {_first_line(error)}; see that all its "
            "machines have the same versions of Python and Ray, and the same RAY_AUTH_MODE and "
            "RAY_AUTH_TOKEN, and that this machine is one of them"
        ) from error
    _held.address, _held.started = asked, asked == "auto"


def _reach(ray: ModuleType, address: str, named: str) -> None:
    """Connect to a cluster that runs."""
    if not re.fullmatch(r"[^/\s]+:[0-9]+", address):
        raise PluginError(
            f"{named} must be HOST:PORT of a cluster that this machine belongs to, got {address!r}"
        )
    host, _, port = address.rpartition(":")
    try:  # Ray itself would go on trying for minutes
        socket.create_connection((host.strip("[]"), int(port)), _KNOCKING).close()
    except (OSError, OverflowError) as error:
        raise PluginError(
            f"{named} must be HOST:PORT of a Ray cluster, but {address} does not answer "
            f"({error}); start one with 'ray start --head', or leave the address out"
        ) from None
    ray._raylet.Config.initialize("")
    ray.init(address=address, **_QUIET)


def _start(ray: ModuleType, cpus: int) -> None:
    """Start a cluster that only this machine can reach, and only with its token."""
    from ray._private import ray_constants

    os.environ.setdefault("RAY_AUTH_MODE", "token")
    ray._raylet.Config.initialize("")  # it has read the environment as it was imported
    # Its workers find what this process finds.
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    # Ray takes 127.0.0.1 for the machine's own address elsewhere, and listens there, unless it
    # believes to be where no clusters are made.
    clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        started = ray.init(address="local", num_cpus=cpus, include_dashboard=False, **_QUIET)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
    listening = started.address_info["node_ip_address"]
    if not ipaddress.ip_address(listening).is_loopback:
        raise PluginError(
            f"Ray {ray.__version__} must listen on this machine alone, but listens on {listening}; "
            "start it with 'ray start', and name it as workers.address"
        )


def _disconnect(ray: ModuleType) -> None:
    _held.address, _held.started = None, False
    with _undisturbed():
        ray.shutdown()
    _hush(ray, False)


def _hush(ray: ModuleType, quiet: bool) -> None:
    """Keep Ray from printing what its machines tell; ``log_to_driver`` does not keep all of it."""
    ray._private.worker._worker_logs_enabled = not quiet


def _place(ray: ModuleType) -> str:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if _held.started:
        return (
            f"Ray was started on this machine, for {cpus} workers (name a cluster that runs with "
            f"workers.address or {_ADDRESS})"
        )
    machines = sum(node["Alive"] for node in ray.nodes())
    return (
        f"the Ray cluster at {ray.get_runtime_context().gcs_address} has {cpus} CPUs "
        f"({machines} machines)"
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back what Ray changes of the process.

    That is its environment, what SIGTERM does, and the state of Python's random generator, of
    which it draws ports.
    """
    before, drawn = dict(os.environ), random.getstate()
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGTERM, handler)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        random.setstate(drawn)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
