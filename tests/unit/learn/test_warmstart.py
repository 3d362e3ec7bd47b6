"""Kernel mean matching finds known weights; fitting an editor reaches known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.learn import options
from metasim.learn.codec import SceneCodec, wrap
from metasim.learn.discrepancies import RBF, Distance, Kernel
from metasim.learn.editor import SceneEditor, make_editor
from metasim.learn.matching import kernel_mean_matching
from metasim.learn.warmstart import fit_editor
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- kernel mean matching -------------------------------------------------------------------


def matched(points: Tensor, target: Tensor, kernel: Kernel, **more: Any) -> Tensor:
    return kernel_mean_matching(kernel(points, points), kernel(points, target).mean(dim=1), **more)


@pytest.mark.parametrize(
    "wanted", [[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0, 0.5, 0, 0.5]]
)
def test_known_weights_are_found(wanted: list[float]) -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    target = torch.cat(
        [point.repeat(round(100 * w), 1) for point, w in zip(points, wanted, strict=True)]
    )
    found = matched(points, target, RBF([0.5]), steps=2000)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float32), atol=0.01, rtol=0)


@pytest.mark.parametrize("kernel", [RBF([0.3, 1.0]), Distance()])
@pytest.mark.parametrize("rate", [0.1, 20.0, 1e4])
def test_the_weights_stay_on_the_simplex_and_never_do_worse_than_equal_ones(
    kernel: Kernel, rate: float
) -> None:
    points = torch.randn(200, 3, generator=generator())
    target = 0.3 * torch.randn(100, 3, generator=generator(1)) + 0.8
    within, across = kernel(points, points), kernel(points, target).mean(dim=1)

    def objective(weight: Tensor) -> float:
        return float(weight @ within @ weight - 2 * weight @ across)

    equal = torch.full((200,), 1 / 200)
    values = [objective(equal)]
    for steps in (1, 10, 100):
        weight = kernel_mean_matching(within, across, steps=steps, rate=rate)
        assert bool((weight >= 0).all())
        assert float(weight.sum()) == pytest.approx(1.0, abs=1e-4)
        values.append(objective(weight))
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def test_weighted_known_points_have_the_target_s_moments() -> None:
    points = torch.rand(2000, 1, generator=generator()) * 2 - 1
    target = 0.1 * torch.randn(500, 1, generator=generator(1)) + 0.4
    weight = matched(points, target, RBF([0.1, 0.2, 0.4]))
    mean = float(weight @ points[:, 0])
    spread = math.sqrt(float(weight @ (points[:, 0] - mean).square()))
    assert mean == pytest.approx(0.4, abs=0.02)
    # Too wide rather than too narrow: the descent stops before it is sharp.
    assert 0.09 < spread < 0.16
    assert 1 / float(weight.square().sum()) > 50


# --- fitting an editor ----------------------------------------------------------------------

GRAMMAR = SceneGrammar.model_validate(
    {
        "root": {
            "name": "scene",
            "kind": "scene",
            "children": [
                {
                    "name": "digit",
                    "kind": "digit",
                    "attributes": {
                        "x": {"prior": 5, "range": [0, 10], "mutable": True},
                        "yaw": {
                            "prior": {"uniform": {"low": 0, "high": 360}},
                            "range": [0, 360],
                            "mutable": True,
                            "periodic": True,
                        },
                    },
                }
            ],
        }
    }
)
CODEC = SceneCodec(GRAMMAR)
Wanted = Callable[[Sequence[Scene], Tensor, Tensor], Tensor]


def scenes(step: int, count: int = 64) -> list[Scene]:
    rng = np.random.default_rng(step)
    return [GRAMMAR.sample(rng) for _ in range(count)]


def editor(kind: str, head: options.Head) -> SceneEditor:
    make = options.GCNEditor if kind == "gcn" else options.ParametricEditor
    return make_editor(CODEC, make(head=head), seed=0)


@torch.no_grad()
def draws(model: SceneEditor, count: int = 1000) -> Tensor:
    """Drawn latent positions (count, 2) of the digit's x and yaw."""
    batch = CODEC.encode(scenes(10**6, count))
    edit = model(batch, generator(5)).sample(generator(6))
    return CODEC.fit(edit.latent, batch.name_id)[batch.name_id == 1]


def fit(model: SceneEditor, wanted: Wanted, steps: int = 400, **more: Any) -> float:
    return fit_editor(model, scenes, wanted, steps=steps, generator=generator(), **more)


@pytest.mark.parametrize("kind", ["gcn", "parametric"])
def test_a_known_normal_distribution_is_reached_also_across_the_cut(kind: str) -> None:
    noise = generator(9)

    def wanted(_: Sequence[Scene], name_id: Tensor, latent: Tensor) -> Tensor:
        z = torch.randn(latent.shape, generator=noise)
        return torch.stack([0.3 + 0.1 * z[:, 0], wrap(1.0 + 0.15 * z[:, 1])], dim=1)

    model = editor(kind, options.GaussianHead())
    reached = fit(model, wanted, steps=600, rate=0.03)
    found = draws(model)
    assert float(found[:, 0].mean()) == pytest.approx(0.3, abs=0.03)
    assert float(found[:, 0].std()) == pytest.approx(0.1, abs=0.025)
    around_the_cut = wrap(found[:, 1] - 1.0)
    assert float(around_the_cut.mean()) == pytest.approx(0.0, abs=0.04)
    assert float(around_the_cut.std()) == pytest.approx(0.15, abs=0.035)
    entropy = -sum(math.log(d) + 0.5 * math.log(2 * math.pi) + 0.5 for d in (0.1, 0.15))
    assert reached == pytest.approx(entropy, abs=0.15)


def test_two_modes_and_a_correlation_are_reached() -> None:
    noise = generator(9)

    def wanted(_: Sequence[Scene], name_id: Tensor, latent: Tensor) -> Tensor:
        side = (torch.rand(len(latent), generator=noise) < 0.7).float() * 2 - 1
        z = 0.05 * torch.randn(latent.shape, generator=noise)
        return torch.stack([0.5 * side + z[:, 0], wrap(0.4 * side + z[:, 1])], dim=1)

    model = editor("gcn", options.MixtureHead(components=4))
    fit(model, wanted, steps=600, rate=0.02)
    found = draws(model)
    right = found[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.7, abs=0.08)
    assert float((found[right] - torch.tensor([0.5, 0.4])).abs().median()) < 0.08
    assert float((found[~right] - torch.tensor([-0.5, -0.4])).abs().median()) < 0.08


def test_reconstruction_gives_back_what_came_in() -> None:
    model = editor("gcn", options.GaussianHead())
    fit(model, lambda s, n, latent: latent, steps=500, rate=0.02, deviation=0.1)
    batch = CODEC.encode(scenes(10**6))
    rows = batch.name_id == 1
    with torch.no_grad():
        mean = model(batch, generator()).mean[rows, 0]
    given = CODEC.to_latent(batch.value, batch.name_id)[rows]
    assert float(wrap(mean[:, 1] - given[:, 1]).abs().mean()) < 0.1
    assert float((mean[:, 0] - given[:, 0]).abs().mean()) < 0.1


def test_no_steps_leave_the_editor_as_it_was() -> None:
    model = editor("gcn", options.GaussianHead())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert math.isnan(fit(model, lambda s, n, latent: latent, steps=0))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_same_generator_gives_the_same_fit() -> None:
    states = []
    for _ in range(2):
        model = editor("gcn", options.MixtureHead())
        fit(model, lambda s, n, latent: latent * 0.5, steps=5)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
