"""Processes that train together do what one does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from metasim.errors import DataError, Interrupted, TrainingError
from metasim.learn.archive import unpack
from metasim.progress import Silent
from metasim.refine.base import Form
from metasim.refine.make import check_fit, make_method
from metasim.refine.options import Trained
from metasim.refine.sampling import Domains
from metasim.refine.stage import Stage
from metasim.refine.team import Team
from metasim.refine.together import together
from metasim.refine.training import Training
from tests.unit.refine.small import small
from tests.unit.told import Told

CPU = torch.device("cpu")
SLOW = pytest.mark.slow
WARM_UP = {"refiner_warmup": 1, "discriminator_warmup": 1, "history": 6}
SETTINGS: dict[str, dict[str, Any]] = {
    "simgan": WARM_UP,
    "cyclegan": {"pool": 3},
    "pix2pix": {"condition": []},
}


def options(method: str, **given: Any) -> Trained:
    few = {"steps": 4, "batch_size": 4, "learning_rate": 1e-4}
    return small(method, **few, **SETTINGS.get(method, {}), **given)


def domains(method: str) -> Domains:
    rng = np.random.default_rng(0)
    sim = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    told = rng.random((6, 2, 16, 16), np.float32) if method == "spade" else None
    return Domains(sim, 255 - sim, told, paired=method in ("pix2pix", "spade"))


def training(method: str, **given: Any) -> Training:
    channels = 2 if method == "spade" else 0
    made = make_method(options(method, **given), (16, 16), channels, seed=1)
    return Training(made, domains(method), 3, CPU, Silent())


def stage(
    folder: Path,
    method: str,
    stop: Callable[[], bool] = lambda: False,
    progress: Silent | None = None,
    threads: int = 2,
) -> Stage:
    return Stage(
        folder,
        options(method, processes=2, threads=threads),
        domains(method),
        Form((16, 16)),
        seed=3,
        device=CPU,
        progress=progress or Silent(),
        stop=stop,
    )


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([one.flatten().double() for one in tensors.values()])


@pytest.mark.parametrize(
    "method",
    ["cyclegan", *(pytest.param(name, marks=SLOW) for name in ("simgan", "cut", "unit"))],
)
def test_two_processes_do_what_one_does_to_rounding(method: str) -> None:
    alone, shared = training(method), training(method, processes=2)
    start = flat(alone.method.state_dict())
    alone.run()
    with together(shared):
        shared.run()
    one, other = flat(alone.method.state_dict()), flat(shared.method.state_dict())
    # Where a gradient is next to nothing, Adam makes a whole step of its rounding.
    assert float((one - other).abs().max()) < 1e-3
    assert float((one - other).abs().quantile(0.99)) < 1e-6
    assert float((one - other).norm()) < 0.1 * float((one - start).norm())
    assert shared.means == pytest.approx(alone.means, rel=1e-3)
    for name, pool in alone.method.pools.items():
        found = shared.method.pools[name].images
        assert found is not None
        assert pool.images is not None
        assert torch.allclose(pool.images, found, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pix2pix", "spade"])  # others: see above
def test_all_processes_end_with_the_same(method: str) -> None:
    again = []
    for _ in range(2):
        made = training(method, processes=2)
        first = flat(made.method.state_dict())
        with together(made):
            made.run()
        assert made.step == made.steps
        assert not torch.equal(first, flat(made.method.state_dict()))
        again.append(flat(made.method.state_dict()))
    assert torch.equal(*again)


def test_the_block_leaves_the_training_and_the_threads_as_they_were() -> None:
    made, before = training("simgan", processes=2), torch.get_num_threads()
    with together(made):
        assert made.method.team.size == 2
    assert made.method.team.size == 1
    assert torch.get_num_threads() == before
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_a_stopped_stage_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = stage(tmp_path / "whole", "cyclegan").carry_out()
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        stage(tmp_path / "parts", "cyclegan", lambda: next(asked)).carry_out()
    heard = Told()
    parts = stage(tmp_path / "parts", "cyclegan", progress=heard).carry_out()
    assert heard.messages == []  # as many threads for each process as there were
    sim = domains("cyclegan").sim
    assert np.array_equal(parts.refine(sim, None), whole.refine(sim, None))
    files = [tmp_path / name / "checkpoints/step-00000004.pt" for name in ("whole", "parts")]
    states = [unpack(file.read_bytes()) for file in files]
    assert torch.equal(*(flat(state["networks"]) for state in states))
    assert torch.equal(*(state["training"]["pools"]["sim"] for state in states))


def test_a_process_that_ends_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*arguments: Any, **given: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **given))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    made = training("simgan", processes=2)

    def end_the_other() -> None:
        if made.step == 3:
            started[0].kill()
            started[0].wait()

    with (
        pytest.raises(TrainingError, match=r"number 1 ended: .*; go on with what was kept"),
        together(made),
    ):
        made.run(end_the_other)


def test_a_process_that_cannot_begin_is_told_with_what_it_said() -> None:
    made = training("simgan", processes=2)
    made.method.settings = made.method.settings.model_copy(update={"width": 5})  # other weights
    with pytest.raises(TrainingError, match=r"number 1 ended: .*size mismatch"), together(made):
        made.run()


def test_errors_within_the_block_are_what_they_were_and_end_the_others() -> None:
    made = training("simgan", processes=2)

    def fail() -> None:
        raise RuntimeError("of somebody else")

    with pytest.raises(RuntimeError, match="of somebody else"), together(made):
        made.run(fail)


def test_batches_are_shared_out_equally() -> None:
    class Second(Team):
        rank, size = 1, 2

    whole = domains("cut").batch(3, 0, 4, CPU)
    part = domains("cut").batch(3, 0, 4, CPU, Second())
    assert torch.equal(part.sim, whole.sim[2:])
    assert torch.equal(part.real, whole.real[2:])
    with pytest.raises(ValidationError, match="batch_size must be a multiple of processes 3, got"):
        options("cut", processes=3)


def test_more_processes_than_graphics_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_fit(options("cut", processes=2), (16, 16), 0, torch.device("cuda"))
    check_fit(options("cut", processes=4), (16, 16), 0, CPU)
    for device in ("cuda:1", "mps"):
        with pytest.raises(DataError, match=r"at most the devices .* 1, got 2"):
            check_fit(options("cut", processes=2), (16, 16), 0, torch.device(device))
