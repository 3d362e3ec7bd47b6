"""What every test is held to."""

from __future__ import annotations

import os
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# Before anything imports torch: tensors are small here, and threads that spin while they wait
# make a busy machine a hundred times slower. Child processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import rich.style  # noqa: F401 - draws from Python's generator when imported; not in a test

from metasim.errors import MissingExtraError

_EXTRAS = {"blender": "bpy", "ray": "ray"}
"""What tests with a marker need; both are called as the extra that brings it."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a package that is not installed."""
    for extra, package in _EXTRAS.items():
        if item.get_closest_marker(extra) and find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra {extra})")


def _torch_state() -> bytes | None:
    """The state of torch's global generator; None while nothing has imported torch."""
    torch = sys.modules.get("torch")
    return torch.get_rng_state().numpy().tobytes() if hasattr(torch, "get_rng_state") else None


def _numpy_state() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    return (name, np.asarray(keys).tobytes(), *rest)


@pytest.fixture(autouse=True)
def no_global_randomness() -> Iterator[None]:
    """Fail a test during which Python's, numpy's or torch's global generator moved."""
    python, numpy, torch = random.getstate(), _numpy_state(), _torch_state()
    numpy_before = np.random.get_state()
    yield
    moved = [
        name
        for name, same in {
            "random": random.getstate() == python,
            "numpy.random": _numpy_state() == numpy,
            "torch": torch is None or _torch_state() == torch,
        }.items()
        if not same
    ]
    # Put back what was there, so that one test's fault is not the next one's too.
    random.setstate(python)
    np.random.set_state(numpy_before)
    assert not moved, f"the global random state moved: {', '.join(moved)}; pass a generator in"


@pytest.fixture(autouse=True)
def no_lasting_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget modules that a test wrote: another's of the same name is another module."""
    path, base = list(sys.path), str(tmp_path_factory.getbasetemp())
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(base):
            del sys.modules[name]


@pytest.fixture(scope="session")
def ray_apart() -> Iterator[ModuleType]:
    """Ray, where it is installed; its files, ports and token are these tests' own."""
    from metasim.render.cluster import import_ray

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray") as folder:
        patch.setenv("RAY_TMPDIR", folder)  # a short name: sockets lie below it
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex())
        patch.delenv("RAY_ADDRESS", raising=False)
        try:
            ray = import_ray()
        except MissingExtraError:
            pytest.skip("Ray is not installed (extra ray)")
        from ray._private import ray_constants

        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)  # it listens on loopback alone
        yield ray


@pytest.fixture
def two_machines(ray_apart: ModuleType) -> Iterator[Any]:
    """A Ray cluster of two nodes with one CPU each, which are on this machine."""
    from ray.cluster_utils import Cluster

    drawn = random.getstate()  # ports are drawn at random
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray_apart.shutdown()
    cluster.shutdown()
    random.setstate(drawn)
