"""The task reward: its gradient is that of the expected accuracy, and it raises it."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.errors import DataError, TrainingError
from metasim.learn.codec import SceneCodec
from metasim.learn.distribution import Edit, EditDistribution
from metasim.learn.editor import make_editor
from metasim.learn.features.base import to_tensor
from metasim.learn.gradients.base import Estimate, Step
from metasim.learn.options import MixtureHead, ParametricEditor, Task
from metasim.learn.task import (
    TaskNetwork,
    TaskReward,
    class_indices,
    group_loss,
    train_task_network,
)
from metasim.render.base import Label, Rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.testing import AnalyticRenderer
from tests.unit.told import Told

SCENES, GROUPS = 6, 3
VALUES = torch.tensor([0.0, 1.0])


def coins(logits: Tensor) -> EditDistribution:
    """For each of 6 scenes one node, whose component (of two) is all that matters."""
    return EditDistribution(
        logits=logits,
        mean=torch.zeros(SCENES, 2, 1),
        scale=torch.ones(SCENES, 2, 1, 1),
        mask=torch.ones(SCENES, 1, dtype=torch.bool),
        periodic=torch.zeros(SCENES, 1, dtype=torch.bool),
        scene=torch.arange(SCENES),
        scenes=SCENES,
    )


def toss(component: Tensor) -> Estimate:
    edit = Edit(component, torch.zeros(SCENES, 1))
    return Estimate(torch.zeros(()), 0.0, torch.zeros(SCENES, 1), edit)


def accuracy(component: Tensor) -> Tensor:
    """A group's reward, no sum over its scenes: what two scenes do together counts."""
    first, second = component
    return VALUES[first] * VALUES[second] + 0.25 * VALUES[first]


def test_the_gradient_is_that_of_the_expected_reward_exactly() -> None:
    """Summed over every outcome of 6 coins, weighted by its probability."""
    logits = torch.randn(SCENES, 2, generator=torch.Generator().manual_seed(3))
    share = logits.softmax(dim=-1).requires_grad_()
    groups = torch.arange(SCENES).chunk(GROUPS)
    exact = torch.zeros(())
    for pair in groups:
        for outcome in itertools.product((0, 1), repeat=2):
            chance = share[pair[0], outcome[0]] * share[pair[1], outcome[1]]
            exact = exact + chance * accuracy(torch.tensor(outcome)) / GROUPS
    free = logits.clone().requires_grad_()
    (by_share,) = torch.autograd.grad(exact, share)
    (expected,) = torch.autograd.grad(free.softmax(dim=-1), free, by_share)

    found = torch.zeros(SCENES, 2)
    for outcome in itertools.product((0, 1), repeat=SCENES):
        component = torch.tensor(outcome)
        leaf = logits.clone().requires_grad_()
        rewards = torch.stack([accuracy(component[group]) for group in groups])
        loss = group_loss(coins(leaf), toss(component), groups, rewards)
        (gradient,) = torch.autograd.grad(loss, leaf)
        chance = logits.softmax(dim=-1)[torch.arange(SCENES), component].prod()
        found -= chance * gradient
    assert float(expected.abs().min()) > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def gaussians(mean: Tensor, count: int) -> EditDistribution:
    """For each scene one node with one attribute, distributed N(mean, 0.3)."""
    return EditDistribution(
        logits=torch.zeros(count, 1),
        mean=mean.expand(count, 1, 1),
        scale=torch.full((count, 1, 1, 1), 0.3),
        mask=torch.ones(count, 1, dtype=torch.bool),
        periodic=torch.zeros(count, 1, dtype=torch.bool),
        scene=torch.arange(count),
        scenes=count,
    )


def test_the_gradient_by_a_position_agrees_with_the_integral() -> None:
    """The reward of a group is the mean of x^2 over its draws: its expectation is m^2 + 0.09."""
    count = 60_000
    mean = torch.tensor(0.7, requires_grad=True)
    distribution = gaussians(mean, count)
    edit = distribution.sample(torch.Generator().manual_seed(0))
    groups = torch.arange(count).chunk(count // 4)
    rewards = torch.stack([edit.latent.detach()[group].square().mean() for group in groups])
    estimate = Estimate(torch.zeros(()), 0.0, torch.zeros(count, 1), edit)
    (found,) = torch.autograd.grad(group_loss(distribution, estimate, groups, rewards), mean)
    # Four draws a group, and a reward that is their mean: a standard error of about 0.03.
    assert float(-found) == pytest.approx(2 * 0.7, abs=0.12)


def test_without_detaching_the_draw_the_gradient_would_be_zero() -> None:
    """Why ``log_prob`` takes the draw as given: along the draw it does not change at all."""
    mean = torch.tensor(0.7, requires_grad=True)
    distribution = gaussians(mean, 8)
    edit = distribution.sample(torch.Generator().manual_seed(0))
    assert edit.latent.requires_grad
    rows = torch.distributions.Normal(distribution.mean[:, 0, 0], 0.3).log_prob(edit.latent[:, 0])
    torch.testing.assert_close(distribution.log_prob(edit).detach(), rows.detach())
    (along,) = torch.autograd.grad(rows[:4].sum(), mean, retain_graph=True)
    (score,) = torch.autograd.grad(distribution.log_prob(edit)[:4].sum(), mean)
    assert float(along) == pytest.approx(0.0, abs=1e-4)
    assert abs(float(score)) > 0.5


def test_equal_rewards_give_no_gradient() -> None:
    logits = torch.zeros(SCENES, 2, requires_grad=True)
    groups = torch.arange(SCENES).chunk(GROUPS)
    loss = group_loss(coins(logits), toss(torch.tensor([0, 1] * 3)), groups, torch.full((3,), 0.4))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() == 0


# --- with a network ------------------------------------------------------------------------


def label(category: str) -> Label:
    return Label(1, 1, "thing", "thing", category, (0, 0, 1, 1), 1.0)


def bars(upright: Tensor, turned: Tensor, rng: np.random.Generator) -> Rendered:
    """12 x 12 images of class "a" (upright) or "b" (flat); swapped where ``turned``."""
    images = rng.integers(0, 60, (len(upright), 12, 12, 3)).astype(np.uint8)
    for image, up in zip(images, (upright ^ turned).tolist(), strict=True):
        place = int(rng.integers(2, 9))
        image[(slice(None), slice(place, place + 2)) if up else slice(place, place + 2)] = 220
    labels = tuple((label("a" if up else "b"),) for up in upright.tolist())
    return Rendered(images, np.zeros(images.shape[:3], np.int32), labels)


@pytest.fixture
def reward() -> TaskReward:
    rng = np.random.default_rng(5)
    upright = torch.arange(60) % 2 == 0
    real = bars(upright, torch.zeros(60, dtype=torch.bool), rng)
    return TaskReward(
        real.images,
        (~upright).long().numpy(),
        ("a", "b"),
        Task(images=".", weight=1.0, groups=16, steps=3, lr=0.003),
        seed=1,
        progress=Told(),
    )


GRAMMAR = SceneGrammar.model_validate(
    {
        "root": {
            "name": "scene",
            "kind": "scene",
            "attributes": {
                "turned": {"prior": {"uniform": {"low": 0, "high": 1}}, "range": [0, 1],
                           "mutable": True}
            },
        }
    }
)  # fmt: skip


def test_the_reward_makes_data_on_which_the_task_is_learned(reward: TaskReward) -> None:
    """Half of the prior's images are labelled wrongly; the editor unlearns it."""
    codec = SceneCodec(GRAMMAR)
    editor = make_editor(codec, ParametricEditor(head=MixtureHead(components=2)), seed=0)
    with torch.no_grad():
        editor.table.zero_()  # type: ignore[union-attr]
        raw = editor.table.view(1, 2, -1)
        raw[:, :, 1] = torch.tensor([-0.5, 0.5])
        raw[:, :, 3] = -3.0
    optimiser = torch.optim.Adam([editor.table], lr=0.1)  # type: ignore[list-item]
    rng = np.random.default_rng(6)
    train_task_network(
        reward.network,
        reward.images,
        reward.labels,
        epochs=3,
        generator=torch.Generator().manual_seed(0),
    )
    upright = torch.arange(64) % 2 == 0

    def draw(generator: torch.Generator) -> tuple[Step, Estimate, Rendered]:
        scenes = [GRAMMAR.sample(stream(0, i)) for i in range(64)]
        batch = codec.encode(scenes)
        step = Step(scenes, batch, editor(batch, generator), generator)
        edit = step.distribution.sample(generator)
        estimate = Estimate(torch.zeros(()), 0.0, torch.zeros(64, 1), edit)
        return step, estimate, bars(upright, edit.latent[:, 0] > 0, rng)

    first = None
    for number in range(30):
        step, estimate, rendered = draw(torch.Generator().manual_seed(number))
        first = float((estimate.edit.latent > 0).float().mean()) if first is None else first
        optimiser.zero_grad()
        loss = reward.loss(step, estimate, rendered)
        loss.backward()
        assert editor.table.grad is not None
        optimiser.step()
    wrong = float((draw(torch.Generator().manual_seed(99))[1].edit.latent > 0).float().mean())
    assert first == pytest.approx(0.5, abs=0.2)
    assert wrong < 0.15
    assert reward.accuracy > 0.9


def test_the_task_network_learns_within_the_steps_of_a_short_run() -> None:
    """Of one that guesses, the copies' accuracies are noise, and so is the reward."""
    rng = np.random.default_rng(5)
    upright = torch.arange(64) % 2 == 0
    straight = torch.zeros(64, dtype=torch.bool)
    real = bars(upright, straight, rng)
    reward = TaskReward(
        real.images, (~upright).long().numpy(), ("a", "b"), Task(images="."), 1, Told()
    )
    for _ in range(12):
        one_step(reward, bars(upright, straight, rng))
    assert reward.accuracy > 0.95


def test_the_state_is_taken_over(reward: TaskReward) -> None:
    before = reward.state_dict()
    upright = torch.arange(16) % 2 == 0
    images = bars(upright, torch.zeros(16, dtype=torch.bool), np.random.default_rng(0)).images
    kept = {name: tensor.clone() for name, tensor in before["network"].items()}
    reward._learn(reward.network, reward.optimiser, to_tensor(images), (~upright).long())
    assert any(not torch.equal(kept[n], t) for n, t in reward.network.state_dict().items())
    reward.load_state_dict({**before, "network": kept, "accuracy": 0.5})
    assert all(torch.equal(kept[n], t) for n, t in reward.network.state_dict().items())
    assert reward.accuracy == 0.5


def test_a_task_network_learns_what_is_to_be_seen() -> None:
    rng = np.random.default_rng(1)
    upright = torch.arange(200) % 2 == 0
    images = to_tensor(bars(upright, torch.zeros(200, dtype=torch.bool), rng).images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TaskNetwork(2)
    labels = (~upright).long()
    train_task_network(
        network, images[:150], labels[:150], epochs=6, generator=torch.Generator().manual_seed(0)
    )
    found = network(images[150:]).argmax(dim=-1)
    assert float((found == labels[150:]).float().mean()) > 0.95


def test_an_image_of_several_instances_has_no_class() -> None:
    with pytest.raises(DataError, match="2 instances"):
        class_indices([(label("a"),), (label("a"), label("b"))], ("a", "b"))


def test_an_image_of_no_instance_has_no_class() -> None:
    renderer = AnalyticRenderer()
    empty = GRAMMAR.sample(stream(0))
    with pytest.raises(DataError, match="0 instances"):
        class_indices(renderer.render([empty]).labels, ("blob",))


def with_class(drawn: Rendered, category: str, rows: Tensor) -> Rendered:
    """The same images, those of ``rows`` as ones of another class."""
    chosen = set(rows.tolist())
    labels = tuple(
        (label(category),) if i in chosen else mine for i, mine in enumerate(drawn.labels)
    )
    return Rendered(drawn.images, drawn.instances, labels)


def one_step(reward: TaskReward, drawn: Rendered) -> dict[str, Tensor]:
    """The task network's weights after a step with these 64 renders."""
    count = len(drawn.labels)
    distribution = gaussians(torch.tensor(0.0), count)
    edit = distribution.sample(torch.Generator().manual_seed(0))
    step = Step([], None, distribution, torch.Generator())  # type: ignore[arg-type]
    reward.loss(step, Estimate(torch.zeros(()), 0.0, torch.zeros(count, 1), edit), drawn)
    return {name: tensor.clone() for name, tensor in reward.network.state_dict().items()}


def test_renders_of_a_class_without_validation_images_teach_nothing(reward: TaskReward) -> None:
    before = copy.deepcopy(reward.state_dict())
    upright = torch.arange(64) % 2 == 0
    drawn = bars(upright, torch.zeros(64, dtype=torch.bool), np.random.default_rng(2))
    rare = torch.arange(0, 12)  # three whole groups of the sixteen among them
    found = one_step(reward, with_class(drawn, "c", rare))
    one_step(reward, with_class(drawn, "c", rare))
    assert reward.progress.messages == [  # type: ignore[attr-defined]
        "no validation image shows class 'c': the task loss leaves its renders out"
    ]
    reward.load_state_dict(before)
    rest = Rendered(drawn.images[12:], drawn.instances[12:], drawn.labels[12:])
    for name, tensor in one_step(reward, rest).items():
        torch.testing.assert_close(found[name], tensor)


def test_renders_of_other_classes_alone_are_refused(reward: TaskReward) -> None:
    upright = torch.arange(64) % 2 == 0
    drawn = bars(upright, torch.zeros(64, dtype=torch.bool), np.random.default_rng(2))
    others = with_class(drawn, "one", torch.arange(64))
    for _ in range(7):  # by chance a few batches can lack a class that is there
        one_step(reward, others)
    kept = reward.state_dict()
    with pytest.raises(DataError, match=r"it drew one, and they show a, b: give task\.images"):
        one_step(reward, others)
    reward.load_state_dict(kept)
    with pytest.raises(DataError, match="it drew one"):
        one_step(reward, others)


def test_what_was_seen_before_a_stop_counts_after_it(reward: TaskReward) -> None:
    """Else a run could go on for ever, and yet not be resumed at a batch without a known class."""
    upright = torch.arange(64) % 2 == 0
    drawn = bars(upright, torch.zeros(64, dtype=torch.bool), np.random.default_rng(2))
    one_step(reward, drawn)
    kept = reward.state_dict()
    reward._drawn, reward._images = set(), 0  # as in a new process
    reward.load_state_dict(kept)
    for _ in range(9):
        one_step(reward, with_class(drawn, "one", torch.arange(64)))


def test_a_task_network_that_diverges_is_told(reward: TaskReward) -> None:
    upright = torch.arange(64) % 2 == 0
    drawn = bars(upright, torch.zeros(64, dtype=torch.bool), np.random.default_rng(2))
    reward.options = reward.options.model_copy(update={"lr": 1e20})
    reward.begin()
    with pytest.raises(TrainingError, match=r"the task network .* with a lower task\.lr"):
        one_step(reward, drawn)


def test_an_unknown_class_has_no_index() -> None:
    assert class_indices([(label("b"),), (label("c"),)], ("a", "b")).tolist() == [1, -1]
