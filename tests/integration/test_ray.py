"""Runs and datasets on a Ray cluster, one of whose machines is lost: those of one process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metasim.data import dataset as writing
from metasim.learn.trainer import Trainer
from metasim.testing import AnalyticRenderer
from tests.integration.test_workers import EXPERIMENT, hashes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Command = Callable[..., Any]

SOURCE = """
from metasim.testing import AnalyticRenderer
class Blobs(AnalyticRenderer):
    pass
"""


@pytest.fixture
def grammar(tmp_path: Path) -> Callable[..., Path]:
    """Write a grammar whose renderer has given workers, or none; always to the same file."""
    (tmp_path / "metasim_blobs.py").write_text(SOURCE)

    def write(**workers: Any) -> Path:
        path = tmp_path / "blobs.yaml"
        renderer = {"use": "metasim_blobs:Blobs", **({"workers": workers} if workers else {})}
        path.write_text(yaml.safe_dump({**AnalyticRenderer.example, "renderer": renderer}))
        return path

    return write


def losing(cluster: Any, call: Callable[..., Any], at: int) -> Callable[..., Any]:
    """A function in whose so manieth call the cluster's second machine is lost first."""
    calls = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            (doomed,) = cluster.worker_nodes
            cluster.remove_node(doomed, False)
        return call(*args, **kwargs)

    return counted


def test_a_dataset_is_written_once_though_a_machine_is_lost_and_it_is_stopped(
    metasim: Command,
    two_machines: Any,
    grammar: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, out = ("--count", 450, "--out"), tmp_path / "out"
    assert metasim("generate", grammar(), *words, tmp_path / "whole").code == 0
    far = grammar(executor="ray", address=two_machines.address)
    write, written = writing.write_batch, 0

    def stopped(*args: Any) -> Any:
        nonlocal written
        written += 1
        if written == 4:
            signal.raise_signal(signal.SIGTERM)
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_batch", losing(two_machines, stopped, at=2))
        assert metasim("generate", far, *words, out).code == 130
    answer = metasim("generate", far, *words, out, "--resume")
    assert (answer.code, answer.data["rendered"]) == (0, 450 - 3 * 64)
    assert hashes(out) == hashes(tmp_path / "whole")


def test_a_run_is_that_of_one_process_though_a_machine_is_lost(
    metasim: Command,
    two_machines: Any,
    grammar: Callable[..., Path],
    assert_same_runs: Callable[[Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = []
    for workers in ({}, {"executor": "ray", "address": two_machines.address}):
        path = grammar(**workers)
        renderer = yaml.safe_load(path.read_text())["renderer"]
        file = path.with_name("experiment.yaml")
        file.write_text(yaml.safe_dump({**EXPERIMENT, "renderer": renderer}))
        with monkeypatch.context() as patch:
            if workers:
                lossy = losing(two_machines, Trainer._train_step, at=4)
                patch.setattr(Trainer, "_train_step", lossy)
            answer = metasim("train", file)
        assert answer.code == 0, answer
        runs.append(answer.run)
    assert len(two_machines.worker_nodes) == 0, "it was lost"
    assert_same_runs(*runs)
