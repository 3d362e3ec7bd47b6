"""The making of a refiner: stopped and gone on with, damaged, changed, spoilt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor

from metasim.errors import DataError, Interrupted, RunError, TrainingError
from metasim.learn.initial import initial_weights
from metasim.progress import Silent
from metasim.refine import stage as module
from metasim.refine.base import Form
from metasim.refine.method import Batch, Method
from metasim.refine.methods.cyclegan import CycleGANMethod
from metasim.refine.options import Refine
from metasim.refine.refiner import StyledRefiner, TrainedRefiner, read_refiner
from metasim.refine.sampling import Domains
from metasim.refine.stage import Stage
from tests.unit.told import Told

CPU = torch.device("cpu")
FORM = Form((16, 16))
CYCLE = {
    "method": "cyclegan", "steps": 6, "batch_size": 2, "width": 4, "blocks": 1,
    "discriminator_width": 4, "pool": 3,
}  # fmt: skip
SIMGAN = {
    "method": "simgan", "steps": 4, "batch_size": 2, "width": 4, "blocks": 1, "history": 3,
    "refiner_warmup": 3, "discriminator_warmup": 2,
}  # fmt: skip
NST = {"method": "nst", "stand_in": "random", "iterations": 2}


def domains(count: int = 5) -> Domains:
    rng = np.random.default_rng(0)
    sim = rng.integers(0, 120, (count, 16, 16, 3)).astype(np.uint8)
    return Domains(sim, 255 - sim[::-1][:4])


def staged(folder: Path, settings: dict[str, Any] = CYCLE, **given: Any) -> Stage:
    options = TypeAdapter[Refine](Refine).validate_python(settings)
    known: dict[str, Any] = {
        "seed": 7,
        "device": CPU,
        "progress": Silent(),
        "sample_every": 4,
        "again": "metasim again",
    }
    return Stage(folder, options, given.pop("domains", domains()), FORM, **known | given)


def after(steps: int) -> Callable[[], bool]:
    """Says so when it is asked for the so-manieth time."""
    left = iter([False] * (steps - 1) + [True])
    return lambda: next(left)


def weights(refiner: Any) -> list[Tensor]:
    assert isinstance(refiner, TrainedRefiner)
    return list(refiner.method.state_dict().values())


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_a_refiner_is_made_and_all_is_where_it_belongs(tmp_path: Path) -> None:
    stage = staged(tmp_path / "deep" / "refine")
    refiner = stage.carry_out()
    assert names(stage.folder) == [
        "checkpoints/step-00000006.pt",
        "refiner.pt",
        "samples/step-00000004.png",
        "samples/step-00000006.png",
    ]
    assert (stage.steps, {*stage.losses}) == (6, {"generator", "cycle", "discriminator"})
    assert stage.seconds > 0
    assert same(read_refiner(stage.refiner_path), refiner)
    picture = np.asarray(Image.open(stage.folder / "samples" / "step-00000006.png"))
    assert picture.shape == (2 * 18 + 2, 5 * 18 + 2, 3)
    assert np.array_equal(picture[2:18, 2:18], domains().sim[0])
    assert np.array_equal(picture[20:36, 2:18], refiner.refine(domains().sim)[0])


def test_training_has_the_threads_that_were_asked_for_and_nothing_else_has(tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []

    def stop() -> bool:
        seen.append(torch.get_num_threads())
        return len(seen) == 2

    folder = tmp_path / "refine"
    wanted = before + 1  # whatever the machine has
    with pytest.raises(Interrupted):
        staged(folder, CYCLE | {"threads": wanted}, stop=stop).carry_out()
    assert (seen, torch.get_num_threads()) == ([wanted] * 2, before)
    heard = Told()
    staged(folder, CYCLE | {"threads": wanted}, progress=heard).carry_out()
    assert heard.messages == []  # not of other threads, as outside of it
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("settings", "steps"), [(CYCLE, 1), (CYCLE, 4), (CYCLE, 6), (SIMGAN, 2), (SIMGAN, 4)]
)
def test_what_is_gone_on_with_ends_as_if_it_had_not_been_stopped(
    tmp_path: Path, settings: dict[str, Any], steps: int
) -> None:
    whole = staged(tmp_path / "whole", settings)
    wanted = whole.carry_out()
    stopped = staged(tmp_path / "stopped", settings, stop=after(steps))
    with pytest.raises(Interrupted, match=rf"after step {steps} of .* go on with: metasim again$"):
        stopped.carry_out()
    assert not stopped.refiner_path.exists()
    assert (stopped.folder / f"checkpoints/step-{steps:08d}.pt").is_file()
    gone_on = staged(tmp_path / "stopped", settings)
    assert same(gone_on.carry_out(), wanted)
    assert (gone_on.steps, gone_on.losses) == (whole.steps, whole.losses)
    assert gone_on.seconds >= stopped.seconds > 0
    for one in (whole.folder / "samples").iterdir():
        assert (gone_on.folder / "samples" / one.name).read_bytes() == one.read_bytes()


def test_what_is_made_is_read_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = staged(tmp_path)
    made = first.carry_out()
    monkeypatch.setattr(module, "make_method", None)
    again = staged(tmp_path)
    assert same(again.carry_out(), made)
    for name in ("steps", "seconds", "losses", "problems"):
        assert getattr(again, name) == getattr(first, name)


@pytest.mark.parametrize("finished", [True, False])
def test_nothing_else_is_gone_on_with(tmp_path: Path, finished: bool) -> None:
    begun = staged(tmp_path, stop=(lambda: False) if finished else after(2))
    if finished:
        begun.carry_out()
    else:
        with pytest.raises(Interrupted):
            begun.carry_out()
    other = domains()
    other.real[0, 0, 0, 0] ^= 1
    changed: list[tuple[dict[str, Any], str]] = [
        ({"domains": other}, "other target images; bring that back, or begin anew"),
        ({"domains": domains(4)}, "other renders"),
        (
            {"domains": dataclasses.replace(domains(4), paired=True)},
            "other target images; other pairs",
        ),
        ({"seed": 8}, "7 became 8"),
        ({"settings": {**CYCLE, "cycle": 5.0, "width": 8}}, "width 4 became 8; cycle 10.0 became"),
    ]
    for given, told in changed:
        with pytest.raises(RunError, match=told):
            staged(tmp_path, **given).carry_out()
    # What says nothing about the training may differ.
    quick = {**CYCLE, "preset": "quick", "judged": 20}
    assert staged(tmp_path, quick).carry_out().options.judged == (500 if finished else 20)


def test_checkpoints_come_as_time_goes_by_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    wanted = staged(tmp_path / "whole").carry_out()
    with pytest.raises(Interrupted):
        staged(tmp_path, checkpoint_seconds=1e-9, stop=after(3)).carry_out()
    saved = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name[-4:] for path in saved] == ["1.pt", "2.pt", "3.pt"]
    saved[2].write_bytes(saved[2].read_bytes()[:-1])
    heard = Told()
    assert same(staged(tmp_path, progress=heard).carry_out(), wanted)
    assert heard.messages == [
        "damaged and passed over: step-00000003.pt (ValueError); step-00000002.pt is used"
    ]


def test_all_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        staged(tmp_path, stop=after(1)).carry_out()
    (tmp_path / "checkpoints" / "step-00000001.pt").write_bytes(b"anything")
    with pytest.raises(RunError, match=r"all are damaged: step-00000001.pt .* remove them"):
        staged(tmp_path).carry_out()


def test_a_damaged_refiner_is_made_again_of_the_last_checkpoint(tmp_path: Path) -> None:
    wanted = staged(tmp_path).carry_out()
    (tmp_path / "refiner.pt").write_bytes(b"anything")
    heard = Told()
    assert same(staged(tmp_path, progress=heard).carry_out(), wanted)
    assert "made again from the last checkpoint" in heard.messages[0]


def test_a_refiner_that_does_not_say_what_it_was_made_of_is_left(tmp_path: Path) -> None:
    staged(tmp_path / "one").carry_out().write(tmp_path / "refiner.pt")
    with pytest.raises(RunError, match="must tell what it was made of"):
        staged(tmp_path).carry_out()
    (tmp_path / "refiner.pt").write_text("mine")
    with pytest.raises(DataError, match="is not, or is damaged"):
        staged(tmp_path).carry_out()
    assert (tmp_path / "refiner.pt").read_text() == "mine"


@pytest.mark.parametrize("spoilt", ["loss", "weights"])
def test_when_numbers_are_lost_the_last_good_checkpoint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    original = CycleGANMethod.step

    def step(self: Method, number: int, batch: Batch) -> dict[str, Tensor]:
        told = original(self, number, batch)  # type: ignore[arg-type]
        if number == 3 and spoilt == "weights":
            with torch.no_grad():
                next(self.parameters()).fill_(float("nan"))
        return {**told, "cycle": torch.tensor(float("nan"))} if number == 4 else told

    monkeypatch.setattr(CycleGANMethod, "step", step)
    good = 4 if spoilt == "loss" else 3
    with pytest.raises(TrainingError) as error:
        staged(tmp_path, checkpoint_seconds=1e-9).carry_out()
    assert re.search(rf"\(step-0000000{good}.pt is the last good checkpoint, in ", str(error.value))
    assert "lower refine.learning_rate" in str(error.value)
    assert len([*(tmp_path / "checkpoints").iterdir()]) == good
    with pytest.raises(TrainingError, match="there was no checkpoint"):
        staged(tmp_path / "other").carry_out()


def test_the_state_of_a_training_is_a_copy() -> None:
    options: Any = TypeAdapter[Refine](Refine).validate_python(CYCLE)
    with initial_weights(0):
        method = CycleGANMethod(options, (16, 16))
        batch = domains().batch(0, 0, 2, CPU)
        method.step(0, batch)
    state = method.training_state()
    kept = state["pools"]["real"].clone()
    moments = state["optimisers"]["generators"]["state"][0]["exp_avg"]
    before = moments.clone()
    with initial_weights(0):
        method.step(1, batch)
    method.load_training_state(state)
    with initial_weights(0):
        for number in range(2, 6):
            method.step(number, batch)
    assert torch.equal(state["pools"]["real"], kept)
    assert torch.equal(moments, before)


def test_methods_that_train_nothing_are_there_at_once(tmp_path: Path) -> None:
    stage = staged(tmp_path, NST)
    made = stage.carry_out()
    assert isinstance(made, StyledRefiner)
    assert (stage.steps, stage.losses, names(tmp_path)) == (0, {}, ["refiner.pt"])
    assert np.array_equal(made.styles, domains().real)
    again = staged(tmp_path, NST).carry_out()
    assert isinstance(again, StyledRefiner)
    assert again.seed == 7
    with pytest.raises(RunError, match="iterations 2 became 3"):
        staged(tmp_path, {**NST, "iterations": 3}).carry_out()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(RunError, match=r"checkpoints cannot be written: .* go on with: metasim"):
        staged(tmp_path).carry_out()
