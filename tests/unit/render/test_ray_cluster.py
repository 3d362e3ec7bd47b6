"""Clusters of Ray: joined, started, left; and machines of them that are lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from metasim.errors import PluginError
from metasim.render import cluster
from metasim.render.cores import cores
from metasim.render.pool import WorkerPool
from tests.unit.render.batches import faultless, sleepy
from tests.unit.render.watching import is_there, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Hire = Callable[..., WorkerPool]
Alone = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def here(ray_apart: ModuleType) -> Iterator[str]:
    """Ray on this machine; gives its address."""
    cluster.join("auto", 1)
    yield ray_apart.get_runtime_context().gcs_address
    cluster.leave()


def test_a_machine_that_is_lost_costs_nothing_but_time(
    two_machines: Any, hire_actors: Hire
) -> None:
    (doomed,) = two_machines.worker_nodes
    head, batch = two_machines.head_node, sleepy(400)
    pool = hire_actors(workers={"count": "auto", "address": two_machines.address})
    assert pool.where == f"the Ray cluster at {two_machines.address} has 2 CPUs (2 machines)"

    def machines() -> set[str]:
        pool.render(sleepy(40))
        return {member.worker.node for member in pool._crew.members.values() if member.ready}

    wait_until(lambda: machines() == {head.node_id, doomed.node_id})
    loss = threading.Timer(0.5, two_machines.remove_node, (doomed, False))
    loss.start()
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    loss.join()
    np.testing.assert_array_equal(pool.render(batch).images, faultless(batch))
    assert machines() == {head.node_id}
    other = two_machines.add_node(num_cpus=1)
    wait_until(lambda: machines() == {head.node_id, other.node_id})


# --- joining -------------------------------------------------------------------------------

ALONE = """
import json, os, signal, sys
from pathlib import Path
from metasim.render import make_renderer
from metasim.render.cluster import import_ray
from metasim.render.options import Workers
from metasim.testing import AnalyticRenderer
from metasim.scene import SceneGrammar
from metasim.rng import stream

def state():
    handlers = [str(signal.getsignal(s)) for s in signal.valid_signals()]
    return dict(os.environ), handlers, str(sys.excepthook), os.getcwd()

def mode():
    return os.environ["RAY_AUTH_MODE"]

grammar = SceneGrammar.model_validate(AnalyticRenderer.example)
scenes = [grammar.sample(stream(0, n)) for n in range(8)]
ray, before = import_ray(), state()
told = []
for _ in range(2):
    pool = make_renderer("metasim.testing:AnalyticRenderer", workers=Workers(executor="ray"))
    with pool:
        assert len(pool.render(scenes)) == 8
        told.append({
            "where": pool.where,
            "cpus": ray.cluster_resources()["CPU"],
            "listens": [node["NodeManagerAddress"] for node in ray.nodes()],
            "mode": ray.get(ray.remote(num_cpus=0)(mode).remote()),
            "undisturbed": state() == before,
        })
        if sys.argv[1:]:
            ready = [member for member in pool._crew.members.values() if member.ready]
            pids = [member.worker._about["pid"] for member in ready]
            Path(sys.argv[1]).write_text(json.dumps(pids))
            input()
    assert not ray.is_initialized() and state() == before
print(json.dumps(told))
"""


@pytest.fixture
def alone(ray_apart: ModuleType, tmp_path: Path) -> Iterator[Alone]:
    """Start a process that draws on Ray, without a cluster unless the environment names one."""

    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(ALONE), *words],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "RAY_AUTH_MODE"} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def other_address() -> str:
    """This machine's address in its network; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def test_ray_is_started_for_this_machine_alone_and_leaves_the_process_as_it_was(
    alone: Alone,
) -> None:
    out, err = alone().communicate(timeout=200)
    assert err == ""
    for told in json.loads(out):
        assert told["where"].startswith("Ray was started on this machine, for ")
        assert told["cpus"] == cores()
        assert told["listens"] == ["127.0.0.1"]
        assert told["mode"] == "token"
        assert told["undisturbed"]


def test_nobody_else_can_reach_it(here: str) -> None:
    address = other_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no other address")
    port = int(here.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address, port), 5)


def workers_end_with(driver: subprocess.Popen[str], written: Path) -> None:
    wait_until(lambda: driver.poll() is not None or (written.exists() and written.stat().st_size))
    assert driver.poll() is None, driver.communicate()
    pids = json.loads(written.read_text())
    assert pids
    assert all(map(is_there, pids))
    driver.kill()
    driver.communicate()
    wait_until(lambda: not any(map(is_there, pids)))


def test_ray_ends_with_the_process_that_started_it(alone: Alone, tmp_path: Path) -> None:
    workers_end_with(alone(str(tmp_path / "pids")), tmp_path / "pids")


def test_workers_end_with_their_driver_and_the_cluster_goes_on(
    alone: Alone, here: str, ray_apart: ModuleType, tmp_path: Path
) -> None:
    # A cluster that listens on loopback alone is found there by whoever believes as it does.
    joining = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    workers_end_with(alone(str(tmp_path / "pids"), RAY_ADDRESS=here, **joining), tmp_path / "pids")
    assert ray_apart.get(ray_apart.remote(lambda: "there").remote()) == "there"


def test_addresses_that_do_not_answer_are_told(
    ray_apart: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ray_apart.is_initialized()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    told = rf"workers.address must be HOST:PORT of a Ray cluster, but {address} does not answer"
    with pytest.raises(PluginError, match=told):
        cluster.join(address, 1)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(PluginError, match=rf"RAY_ADDRESS must be HOST:PORT .* {address} does not"):
        cluster.join("auto", 1)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(PluginError, match="RAY_ADDRESS must be HOST:PORT of a cluster that this"):
        cluster.join("auto", 1)
    assert not ray_apart.is_initialized()


def test_a_process_belongs_to_one_cluster_at_a_time(here: str, ray_apart: ModuleType) -> None:
    cluster.join(here, 1)
    cluster.leave()
    with pytest.raises(PluginError, match=rf"must be {here}, which this .*, got 10.0.0.1:6379"):
        cluster.join("10.0.0.1:6379", 1)
    assert ray_apart.is_initialized()
