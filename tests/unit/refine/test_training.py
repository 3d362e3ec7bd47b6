from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metasim.errors import DataError, TrainingError
from metasim.learn.archive import pack, unpack
from metasim.learn.initial import initial_weights
from metasim.progress import Silent
from metasim.refine.health import Health
from metasim.refine.method import Batch, Method
from metasim.refine.methods.cyclegan import CycleGANMethod
from metasim.refine.options import CycleGAN
from metasim.refine.sampling import Domains
from metasim.refine.tensors import from_tensor, to_tensor
from metasim.refine.training import Training, rate_factor

CPU = torch.device("cpu")
OPTIONS = CycleGAN(steps=6, batch_size=2, width=4, blocks=1, discriminator_width=4, pool=3)


def domains(count: int = 5, size: int = 16) -> Domains:
    rng = np.random.default_rng(0)
    sim = rng.integers(0, 120, (count, size, size, 3)).astype(np.uint8)
    return Domains(sim, 255 - sim[::-1][:4])


def training(options: CycleGAN = OPTIONS) -> Training:
    with initial_weights(1):
        method = CycleGANMethod(options, (16, 16))
    return Training(method, domains(), 7, CPU, Silent())


def weights(method: Method) -> list[Tensor]:
    return [tensor.clone() for tensor in method.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- images --------------------------------------------------------------------------------


def test_images_come_back_from_tensors_as_they_were() -> None:
    images = np.arange(2 * 8 * 16 * 3, dtype=np.uint8).reshape(2, 8, 16, 3)
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 8, 16)
    assert float(to_tensor(np.full((1, 1, 1, 3), 255, np.uint8)).max()) == 1
    assert float(to_tensor(np.zeros((1, 1, 1, 3), np.uint8)).min()) == -1
    assert np.array_equal(from_tensor(tensor), images)
    assert np.array_equal(from_tensor(tensor * 9)[images == 255], images[images == 255])


# --- batches -------------------------------------------------------------------------------


def test_a_batch_follows_from_its_number_alone() -> None:
    found = domains()
    one, again, other = (found.batch(3, number, 4, CPU) for number in (5, 5, 6))
    assert torch.equal(one.sim, again.sim)
    assert torch.equal(one.real, again.real)
    assert not torch.equal(one.sim, other.sim)
    assert one.sim.shape == one.real.shape == (4, 3, 16, 16)
    assert one.condition is None


def test_pairs_and_conditions_stay_together() -> None:
    sim = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    condition = np.arange(9, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 4, 4), "f4")
    batch = Domains(sim, 2 * sim, condition, paired=True).batch(0, 0, 20, CPU)
    assert batch.condition is not None
    number = (batch.sim[:, 0, 0, 0] + 1) * 127.5
    assert torch.allclose((batch.real[:, 0, 0, 0] + 1) * 127.5, 2 * number, atol=1e-3)
    assert torch.allclose(batch.condition[:, 0, 0, 0], number, atol=1e-3)


@pytest.mark.parametrize(
    ("sim", "real", "paired", "told"),
    [
        ((0, 4, 4, 3), (2, 4, 4, 3), False, "must have images, got 0 renders and 2"),
        ((2, 4, 4, 3), (2, 4, 5, 3), False, "of one size, got 4 x 4 and 4 x 5"),
        ((2, 4, 4, 3), (3, 4, 4, 3), True, "as many renders as target images .* got 2 and 3"),
    ],
)
def test_domains_that_do_not_go_together_are_refused(
    sim: tuple[int, ...], real: tuple[int, ...], paired: bool, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        Domains(np.zeros(sim, np.uint8), np.zeros(real, np.uint8), None, paired)


# --- the loop ------------------------------------------------------------------------------


@given(steps=st.integers(1, 500), decay=st.floats(0, 1))
def test_the_learning_rate_is_constant_and_then_falls(steps: int, decay: float) -> None:
    factors = [rate_factor(step, steps, decay) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors == sorted(factors, reverse=True)
    assert factors.count(1.0) >= int(steps * (1 - decay))
    assert rate_factor(-3, steps, decay) == 1 or decay == 1


def test_the_rate_is_halfway_down_in_the_middle_of_its_fall() -> None:
    assert rate_factor(150, 200, 0.5) == 0.5
    assert rate_factor(100, 200, 0.5) == 1
    assert rate_factor(199, 200, 0.5) == pytest.approx(0.01)


def test_a_training_is_the_same_each_time_and_steps_are_counted() -> None:
    one, other = training(), training()
    one.run()
    other.run()
    assert one.step == 6
    assert same(weights(one.method), weights(other.method))
    assert {*one.means} == {"generator", "cycle", "discriminator"}


def test_a_training_goes_on_bit_for_bit_from_a_file() -> None:
    whole, begun = training(), training()
    whole.run()

    def stop() -> None:
        if begun.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun.run(stop)
    gone_on = training()
    gone_on.load_state_dict(unpack(pack(begun.state_dict())))
    assert gone_on.step == 4
    gone_on.run()
    assert same(weights(whole.method), weights(gone_on.method))
    assert whole.means == gone_on.means


def test_the_rates_of_all_optimisers_fall() -> None:
    made = training()
    seen = []
    made.run(lambda: seen.append(made.method.optimisers["generators"].param_groups[0]["lr"]))
    assert seen == pytest.approx([2e-4, 2e-4, 2e-4, 2e-4, 2e-4 * 2 / 3, 2e-4 / 3])


def test_a_loss_that_is_no_number_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = training()
    original = made.method.step

    def step(number: int, batch: Batch) -> dict[str, Tensor]:
        told = original(number, batch)
        return {**told, "cycle": torch.tensor(float("nan"))} if number == 3 else told

    monkeypatch.setattr(made.method, "step", step)
    with pytest.raises(TrainingError, match=r"of step 3 cycle is nan; lower refine.learning_rate"):
        made.run()
    assert made.step == 3


# --- health --------------------------------------------------------------------------------


def told(losses: list[float]) -> list[str]:
    health = Health()
    return [
        problem
        for number, loss in enumerate(losses)
        for problem in health.look(number, {"discriminator": loss})
    ]


def test_a_discriminator_that_has_won_is_told_once() -> None:
    (problem,) = told([0.5] * 100 + [1e-5] * 900)
    assert problem.startswith("the discriminator has told all images apart since step")
    assert "lower learning_rate" in problem


@pytest.mark.parametrize("losses", [[0.5] * 800, [0.5] * 100 + ([1e-5] * 20 + [0.3] * 20) * 20])
def test_a_discriminator_that_is_still_unsure_is_not(losses: list[float]) -> None:
    assert not told(losses)


def test_refined_images_that_are_all_alike_are_told_once() -> None:
    sim = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    health = Health()
    assert not health.compare(49, sim, -sim, sim)
    (problem,) = health.compare(99, sim, sim[:1].expand(4, -1, -1, -1), sim)
    assert "all alike at step 99" in problem
    assert not health.compare(149, sim, sim[:1].expand(4, -1, -1, -1), sim)
    assert health.problems == [problem]


def test_refined_images_vary_enough_where_they_do_as_much_as_target_images() -> None:
    sim = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not Health().compare(49, sim, 0.2 * sim, 0.2 * sim), "a target of little contrast"
    assert Health().compare(49, 0.2 * sim, 0.02 * sim, sim), "both vary more"
    assert not Health().compare(49, sim[:1], sim[:1], sim[:1]), "one image varies by nothing"


def test_health_goes_on_as_it_was() -> None:
    losses = [0.5] * 100 + [1e-5] * 900
    one, other = Health(), Health()
    for number, loss in enumerate(losses[:500]):
        one.look(number, {"discriminator": loss})
    state: dict[str, Any] = one.state_dict()
    other.load_state_dict(unpack(pack(state)))
    for number, loss in enumerate(losses[500:], 500):
        assert one.look(number, {"discriminator": loss}) == other.look(
            number, {"discriminator": loss}
        )
    assert one.problems == other.problems != []


def test_mixed_precision_rounds_what_layers_compute_and_nothing_that_is_kept() -> None:
    full, mixed = training(), training(OPTIONS.model_copy(update={"precision": "mixed"}))
    full.run()
    mixed.run()
    one, other = weights(full.method), weights(mixed.method)
    assert not same(one, other)
    assert all(tensor.dtype == torch.float32 for tensor in other if tensor.is_floating_point())
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a.float(), b.float(), atol=0.02)
    for name, value in mixed.means.items():
        assert value == pytest.approx(full.means[name], rel=0.1), name
