"""Laws of the editors and of the distributions they give, for every editor and head."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.distribution import EditDistribution
from metasim.learn.editor import SceneEditor, edit_scenes, make_editor
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

X = {"prior": {"uniform": {"low": 0, "high": 9}}, "range": [0, 10], "mutable": True}
YAW = {
    "prior": {"uniform": {"low": 0, "high": 360}},
    "range": [0, 360],
    "mutable": True,
    "periodic": True,
}
FIXED = {"prior": {"normal": {"mean": 0, "std": 1}}}
GRAMMAR = SceneGrammar.model_validate(
    {
        "root": {
            "name": "scene",
            "kind": "scene",
            "attributes": {"light": FIXED},
            "children": [
                {
                    "name": "digit",
                    "kind": "digit",
                    "count": {"choice": {"values": [1, 2, 3]}},
                    "attributes": {"x": X, "yaw": YAW, "tint": FIXED},
                    "children": [{"name": "part", "kind": "part", "attributes": {"x": X}}],
                }
            ],
        }
    }
)
CODEC = SceneCodec(GRAMMAR)
HEADS: dict[str, options.Head] = {
    "gaussian": options.GaussianHead(),
    "mixture": options.MixtureHead(components=3),
    "deterministic": options.DeterministicHead(exploration=0.05),
}
KINDS = ("gcn", "parametric")
every = pytest.mark.parametrize(("kind", "head"), [(k, h) for k in KINDS for h in HEADS])


def editor(kind: str, head: str, seed: int = 0, noise: int = 2) -> SceneEditor:
    if kind == "gcn":
        return make_editor(CODEC, options.GCNEditor(head=HEADS[head], noise=noise), seed)
    return make_editor(CODEC, options.ParametricEditor(head=HEADS[head]), seed)


def sample(count: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [GRAMMAR.sample(rng) for _ in range(count)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def given(
    mean: Any, deviation: float | Tensor, logits: Any = None, periodic: Any = None
) -> EditDistribution:
    """The distribution of one node of one scene; ``mean`` is (K, A)."""
    means = torch.tensor(mean, dtype=torch.float32)[None]
    a = means.shape[-1]
    scale = deviation if isinstance(deviation, Tensor) else deviation * torch.eye(a)
    return EditDistribution(
        torch.zeros(1, means.shape[1]) if logits is None else torch.tensor([logits]),
        means,
        scale.expand(1, means.shape[1], a, a),
        torch.ones(1, a, dtype=torch.bool),
        torch.tensor([periodic or [False] * a]),
        torch.zeros(1, dtype=torch.long),
        1,
    )


def at(distribution: EditDistribution, points: Tensor) -> Tensor:
    """Log density at points (n, A), each as a scene of its own."""
    n = len(points)

    def copies(x: Tensor) -> Tensor:
        return x.expand(n, *x.shape[1:])

    d = distribution
    many = EditDistribution(
        copies(d.logits),
        copies(d.mean),
        copies(d.scale),
        copies(d.mask),
        copies(d.periodic),
        torch.arange(n),
        n,
    )
    return many.log_density(points)


# --- what an editor may and may not do ------------------------------------------------------


@every
def test_immutable_entries_come_back_bit_for_bit(kind: str, head: str) -> None:
    scenes = sample(20)
    batch = CODEC.encode(scenes)
    edit = editor(kind, head)(batch, generator()).sample(generator())
    after = CODEC.decode(scenes, CODEC.to_values(edit.latent, batch.name_id))
    for old, new in zip(scenes, after, strict=True):
        assert old.seed == new.seed
        for before, now in zip(old.nodes, new.nodes, strict=True):
            for name in ("light", "tint"):
                assert before.attributes.get(name) == now.attributes.get(name)
            if "x" in before.attributes:
                assert before.attributes["x"] != now.attributes["x"]
                assert 0 <= now.attributes["x"] <= 10


@every
def test_a_batch_gives_what_its_scenes_give_alone(kind: str, head: str) -> None:
    scenes, model = sample(6), editor(kind, head, noise=0)
    whole = model(CODEC.encode(scenes), generator())
    alone = [model(CODEC.encode([scene]), generator()) for scene in scenes]
    for name in ("logits", "mean", "scale", "mask", "periodic"):
        joined = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(whole, name), joined, atol=1e-5, rtol=1e-5)


@every
def test_the_order_of_scenes_does_not_matter(kind: str, head: str) -> None:
    scenes, model = sample(6), editor(kind, head, noise=0)
    forward = model(CODEC.encode(scenes), generator()).mean
    backward = model(CODEC.encode(scenes[::-1]), generator()).mean
    sizes = [len(scene.nodes) for scene in scenes[::-1]]
    torch.testing.assert_close(
        forward, torch.cat(backward.split(sizes)[::-1]), atol=1e-5, rtol=1e-5
    )


@every
def test_every_parameter_that_is_used_learns(kind: str, head: str) -> None:
    model, batch = editor(kind, head), CODEC.encode(sample(16))
    distribution = model(batch, generator())
    edit = distribution.sample(generator(1))
    density = distribution.log_prob(edit).sum() + edit.latent.square().sum()
    density.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


@every
def test_saved_and_loaded_it_is_the_same(kind: str, head: str) -> None:
    model, other = editor(kind, head, seed=1), editor(kind, head, seed=2)
    batch, file = CODEC.encode(sample(4)), io.BytesIO()
    assert not torch.equal(model(batch, generator()).mean, other(batch, generator()).mean)
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(model(batch, generator()).mean, other(batch, generator()).mean)


@every
def test_the_seed_decides_the_weights_and_nothing_global_does(kind: str, head: str) -> None:
    batch = CODEC.encode(sample(4))
    first = editor(kind, head, seed=3)(batch, generator()).mean
    assert torch.equal(first, editor(kind, head, seed=3)(batch, generator()).mean)
    assert not torch.equal(first, editor(kind, head, seed=4)(batch, generator()).mean)


@every
def test_a_node_s_attributes_are_correlated_by_the_graph_editor_alone(kind: str, head: str) -> None:
    scale = editor(kind, head)(CODEC.encode(sample(8)), generator()).scale.detach()
    coupled = float(scale.tril(-1).abs().max()) > 0
    assert coupled == (kind == "gcn" and head != "deterministic")
    assert float(scale.triu(1).abs().max()) == 0


@every
def test_no_deviation_is_below_the_smallest_allowed_one(kind: str, head: str) -> None:
    model, batch = editor(kind, head), CODEC.encode(sample(8))
    if head == "deterministic":
        with torch.no_grad():
            scale = model(batch, generator()).scale
        mask = CODEC.mask[batch.name_id][:, None].expand(scale.shape[:3])
        assert torch.equal(scale.diagonal(dim1=-2, dim2=-1)[mask].unique(), torch.tensor([0.05]))
        return
    before = model(batch, generator()).scale.diagonal(dim1=-2, dim2=-1).detach()
    model.min_scale = 0.3
    after = model(batch, generator()).scale.diagonal(dim1=-2, dim2=-1).detach()
    mask = CODEC.mask[batch.name_id][:, None].expand_as(after)
    assert float(after[mask].min()) > 0.3
    assert bool((after[mask] > before[mask]).all())


def test_deviations_that_have_run_away_still_feel_the_gradient() -> None:
    model, batch = editor("parametric", "gaussian"), CODEC.encode(sample(4))
    for weight in (-3.0, 3.0):
        with torch.no_grad():
            model.table.fill_(weight)
        model.zero_grad()
        scale = model(batch, generator()).scale.diagonal(dim1=-2, dim2=-1)
        mask = CODEC.mask[batch.name_id][:, None].expand_as(scale)
        assert bool(((scale[mask] > 0) & (scale[mask] < 1)).all())
        scale[mask].log().sum().backward()
        assert float(model.table.grad.abs().max()) > 0


def test_messages_pass_up_and_down_the_tree() -> None:
    model = editor("gcn", "gaussian", noise=0)
    (scene,) = sample(1, seed=4)
    batch = CODEC.encode([scene])
    plain = model(batch, generator()).mean.detach()
    names = [node.name for node in scene.nodes]
    for changed, seen in (("scene", "part"), ("part", "scene"), ("part", "digit")):
        moved = batch.clone()
        moved.x[names.index(changed), len(CODEC.names) :] += 1.0
        answer = model(moved, generator()).mean.detach()[names.index(seen)]
        assert not torch.equal(answer, plain[names.index(seen)]), (changed, seen)


def test_the_noise_input_spreads_the_graph_editor_s_answers() -> None:
    batch = CODEC.encode(sample(4))
    with_noise, without = editor("gcn", "gaussian"), editor("gcn", "gaussian", noise=0)
    assert not torch.equal(
        with_noise(batch, generator(0)).mean, with_noise(batch, generator(1)).mean
    )
    assert torch.equal(without(batch, generator(0)).mean, without(batch, generator(1)).mean)


def test_a_frozen_encoder_stays_as_it_is() -> None:
    model, batch = editor("gcn", "gaussian"), CODEC.encode(sample(4))
    model.freeze_encoder()
    model(batch, generator()).mean.sum().backward()
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {"decoder", "skip"}


# --- what a distribution must be ------------------------------------------------------------


def test_the_density_of_a_draw_is_that_of_a_multivariate_normal() -> None:
    model, scenes = editor("gcn", "gaussian"), sample(5)
    distribution = model(CODEC.encode(scenes), generator())
    edit = distribution.sample(generator(1))
    wanted = torch.zeros(len(scenes))
    for n, b in enumerate(distribution.scene.tolist()):
        used = torch.nonzero(distribution.mask[n]).squeeze(-1)
        if len(used):
            normal = MultivariateNormal(
                distribution.mean[n, 0, used],
                scale_tril=distribution.scale[n, 0][used][:, used],
            )
            wanted[b] += normal.log_prob(edit.latent[n, used])
    torch.testing.assert_close(distribution.log_prob(edit), wanted, atol=1e-4, rtol=1e-4)


def test_the_density_of_a_mixture_is_that_of_torch() -> None:
    factor = torch.tensor([[0.2, 0.0], [0.1, 0.3]])
    ours = given([[0.1, -0.2], [0.5, 0.4]], factor, logits=[0.3, -0.5])
    components = MultivariateNormal(ours.mean[0], scale_tril=ours.scale[0])
    theirs = MixtureSameFamily(Categorical(logits=ours.logits[0]), components)
    points = torch.randn(50, 2, generator=generator())
    torch.testing.assert_close(at(ours, points), theirs.log_prob(points), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", ["gaussian", "mixture"])
def test_the_joint_density_is_weight_times_component(head: str) -> None:
    distribution = editor("gcn", head)(CODEC.encode(sample(5)), generator())
    edit = distribution.sample(generator(1))
    # One component at a time: the others are given no weight.
    logits = torch.full_like(distribution.logits, -1e4)
    logits.scatter_(1, edit.component[:, None], 0.0)
    alone = EditDistribution(**{**vars(distribution), "logits": logits})
    straight = EditDistribution(
        **{**vars(alone), "periodic": torch.zeros_like(distribution.periodic)}
    )
    torch.testing.assert_close(
        distribution.log_prob(edit),
        straight.log_density(edit.latent) + distribution.component_log_prob(edit),
        atol=1e-3,
        rtol=1e-4,
    )


def test_the_density_with_a_known_component_is_the_joint_one() -> None:
    """Nodes with nothing to learn have no part in it, whatever their weights are."""
    distribution = editor("gcn", "mixture")(CODEC.encode(sample(5)), generator())
    assert not bool(distribution.mask.any(dim=1).all())
    straight = replace(distribution, periodic=torch.zeros_like(distribution.periodic))
    edit = straight.sample(generator(1))
    torch.testing.assert_close(
        straight.log_density(edit.latent, edit.component),
        straight.log_prob(edit),
        atol=1e-4,
        rtol=1e-4,
    )


LINE_GRID = torch.linspace(-3, 3, 6001)[:, None]
CIRCLE_GRID = torch.linspace(-1, 1, 2001)[:-1, None]


@pytest.mark.parametrize("mean", [0.0, 0.6, 0.99])
@pytest.mark.parametrize(("periodic", "grid"), [(False, LINE_GRID), (True, CIRCLE_GRID)])
def test_the_density_integrates_to_one(mean: float, periodic: bool, grid: Tensor) -> None:
    distribution = given(
        [[mean], [-0.5], [0.2]], 0.25, logits=[0.1, 0.9, -1.0], periodic=[periodic]
    )
    step = float(grid[1, 0] - grid[0, 0])
    assert float(at(distribution, grid).exp().sum() * step) == pytest.approx(1.0, abs=2e-3)


def test_the_density_of_a_line_and_a_circle_together_integrates_to_one() -> None:
    factor = torch.tensor([[0.2, 0.0], [0.15, 0.2]])
    distribution = given([[0.3, 0.9], [-0.4, -0.8]], factor, periodic=[False, True])
    x, y = torch.linspace(-2, 2, 201), torch.linspace(-1, 1, 101)[:-1]
    points = torch.cartesian_prod(x, y)
    total = at(distribution, points).exp().sum() * float((x[1] - x[0]) * (y[1] - y[0]))
    assert float(total) == pytest.approx(1.0, abs=5e-3)


def test_both_sides_of_the_cut_are_near() -> None:
    circle = given([[0.999]], 0.1, periodic=[True])
    line = given([[0.999]], 0.1)
    other_side = torch.tensor([[-0.999]])
    assert float(at(circle, other_side)) == pytest.approx(
        float(at(circle, torch.tensor([[0.997]]))), abs=0.05
    )
    assert float(at(line, other_side)) < -100


def test_draws_have_the_moments_of_the_distribution() -> None:
    factor = torch.tensor([[0.2, 0.0], [0.1, 0.3]])
    one = given([[0.1, -0.2], [2.0, 0.4]], factor, logits=[math.log(0.3), math.log(0.7)])
    n = 20000
    many = EditDistribution(
        *(
            getattr(one, f).expand(n, *getattr(one, f).shape[1:])
            for f in ("logits", "mean", "scale", "mask", "periodic")
        ),
        torch.arange(n),
        n,
    )
    edit = many.sample(generator())
    assert float((edit.component == 1).float().mean()) == pytest.approx(0.7, abs=0.02)
    second = edit.latent[edit.component == 1]
    torch.testing.assert_close(second.mean(dim=0), torch.tensor([2.0, 0.4]), atol=0.02, rtol=0)
    torch.testing.assert_close(second.T.cov(), factor @ factor.T, atol=0.01, rtol=0)


@every
def test_a_draw_made_again_is_the_same_and_follows_the_parameters(kind: str, head: str) -> None:
    distribution = editor(kind, head)(CODEC.encode(sample(5)), generator())
    edit = distribution.sample(generator(2))
    assert torch.equal(distribution.sample(generator(2)).latent, edit.latent)
    moved = EditDistribution(**{**vars(distribution), "mean": distribution.mean + 0.25})
    torch.testing.assert_close(moved.sample(generator(2)).latent, edit.latent + 0.25)


@every
def test_the_density_takes_the_draw_as_given(kind: str, head: str) -> None:
    # Through the draw as well, the gradient of a normal's density would vanish in the mean.
    distribution = editor(kind, head)(CODEC.encode(sample(5)), generator())
    distribution = EditDistribution(
        **{**vars(distribution), "mean": distribution.mean.detach().requires_grad_()}
    )
    edit = distribution.sample(generator(2))
    (slope,) = torch.autograd.grad(distribution.log_prob(edit).sum(), distribution.mean)
    rows = torch.arange(len(edit.component))
    mine = slope[rows, edit.component][distribution.mask]
    assert float(mine.abs().min()) > 0


def test_held_deviations_leave_the_means_as_they_are() -> None:
    distribution = editor("gcn", "mixture")(CODEC.encode(sample(5)), generator())
    held = distribution.with_deviation(0.1)
    assert torch.equal(held.mean, distribution.mean)
    diagonal = held.scale.diagonal(dim1=-2, dim2=-1)
    mask = held.mask[:, None].expand_as(diagonal)
    assert bool((diagonal[mask] == 0.1).all())
    assert not bool(held.scale.tril(-1).any())
    assert bool((diagonal[~mask] == 1).all())


def test_a_deterministic_head_makes_one_value_and_is_drawn_around_it_to_explore() -> None:
    """Its exploration must not show in what it makes: datasets, p-values, learned values."""
    model, scenes = editor("gcn", "deterministic", noise=0), sample(6)
    batch = CODEC.encode(scenes)
    made = model.made(batch, generator())
    for seed in (1, 2):
        assert torch.equal(made.sample(generator(seed)).latent[made.mask], _means(made))
    explored = [model(batch, generator()).sample(generator(seed)).latent for seed in (1, 2)]
    away = torch.cat([(latent - made.mean[:, 0])[made.mask] for latent in explored])
    assert float(away.detach().std()) == pytest.approx(HEADS["deterministic"].exploration, rel=0.5)
    assert edit_scenes(model, scenes, 1) == edit_scenes(model, scenes, 2)
    assert edit_scenes(model, scenes, 1, explore=True) != edit_scenes(model, scenes, 1)


def _means(distribution: EditDistribution) -> Tensor:
    return distribution.mean[:, 0][distribution.mask]


@pytest.mark.parametrize("head", ["gaussian", "mixture"])
def test_other_heads_make_what_they_are_drawn_from(head: str) -> None:
    model, batch = editor("gcn", head), CODEC.encode(sample(3))
    made, drawn = model.made(batch, generator()), model(batch, generator())
    assert torch.equal(made.scale, drawn.scale)


def test_what_goes_up_the_tree_and_what_goes_down_has_weights_of_its_own() -> None:
    model, batch = editor("gcn", "gaussian"), CODEC.encode(sample(16))
    model(batch, generator()).mean.square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith(".weight") and parameter.ndim == 3:
            down, up = parameter.grad
            assert float(down.abs().sum()) > 0, name
            assert float(up.abs().sum()) > 0, name
            assert not torch.allclose(down, up), name


def test_the_prior_s_editor_leaves_scenes_bit_for_bit_and_draws_nothing() -> None:
    made = make_editor(CODEC, options.PriorEditor(), seed=0)
    scenes = sample(5)
    before = torch.get_rng_state()
    assert edit_scenes(made, scenes, seed=1) == scenes
    assert edit_scenes(made, scenes, seed=1, explore=True) == scenes
    assert torch.equal(before, torch.get_rng_state())
    assert not made.edits
    assert all(editor(kind, "gaussian").edits for kind in KINDS)
