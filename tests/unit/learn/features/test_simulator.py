"""The simulator-supervised network: what it is asked, what it learns, where it looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.learn.features.base import CLASSES, channels_first, to_tensor
from metasim.learn.features.lesson import Lesson, Truth, make_lesson
from metasim.learn.features.simulator import SimulatorNetwork
from metasim.learn.features.teach import Grade, grade, teach
from metasim.render.base import Rendered
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Attributes, Node, Scene

UNSEEN = {"prior": 1.0, "range": [0, 2], "mutable": True}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network_for(lesson: Lesson, seed: int = 0, width: int = 8) -> SimulatorNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SimulatorNetwork(lesson, width=width, size=16)


def wide(grammar: SceneGrammar, count: int) -> list[Scene]:
    rng = np.random.default_rng(3)
    return [grammar.widened().sample(rng) for _ in range(count)]


def scene(*blobs: dict[str, float]) -> Scene:
    nodes = [Node("blob", "blob", Attributes(blob), 0) for blob in blobs]
    return Scene((Node("scene", "scene", Attributes()), *nodes))


# --- what it is asked -----------------------------------------------------------------------


@pytest.fixture
def lesson(make_grammar: Any, make_renderer: Any) -> Lesson:
    codec = SceneCodec(make_grammar(count=2))
    labels = make_renderer().render([scene({"x": 5.0}, {"x": 20.0})]).labels
    return make_lesson(codec, labels, (24, 24))


def test_ids_of_any_size_say_the_same(lesson: Lesson, make_renderer: Any) -> None:
    """A renderer may write colours; a table as long as the largest would take all memory."""
    rendered = make_renderer().render([scene({"x": 5.0}, {"x": 20.0}), scene({"x": 12.0})])
    renamed = {1: 2**31 - 1, 2: 2000}
    instances = rendered.instances.copy()
    for old, new in renamed.items():
        instances[rendered.instances == old] = new
    labels = tuple(
        tuple(replace(label, instance=renamed[label.instance]) for label in mine)
        for mine in rendered.labels
    )
    large = Rendered(rendered.images, instances, labels)
    cells = lesson.cells_of(rendered)
    assert bool(cells.any())
    assert torch.equal(lesson.cells_of(large), cells)


def truth_of(lesson: Lesson, renderer: Any, *scenes: Scene) -> tuple[Truth, Rendered]:
    rendered = renderer.render(scenes)
    return lesson.truth_of(scenes, rendered.labels, lesson.cells_of(rendered)), rendered


def test_a_lesson_knows_nodes_columns_and_categories(lesson: Lesson) -> None:
    assert lesson.names == ("blob",)
    assert lesson.categories == ("left", "right")
    assert lesson.width == 3  # x, and the yaw's cosine and sine
    assert lesson.columns_of(0) == [0, 1, 2]
    assert lesson.cells == (3, 3)


def test_readings_are_means_over_a_node_s_instances(lesson: Lesson, make_renderer: Any) -> None:
    two = scene({"x": 3.0, "yaw": 0.0}, {"x": 12.0, "yaw": 90.0})
    truth, _ = truth_of(lesson, make_renderer(), two)
    # x from 3 to 21 is -1 to 1; at yaw 0 and 90 the latent angles are -pi and -pi/2.
    assert truth.readings[0].tolist() == pytest.approx([-0.5, -0.5, -0.5], abs=1e-6)
    assert truth.categories[0, 0].tolist() == [0.5, 0.5]
    assert truth.present.tolist() == [[True]]


def test_cells_are_those_that_show_some_of_the_node(lesson: Lesson, make_renderer: Any) -> None:
    truth, rendered = truth_of(lesson, make_renderer(), scene({"x": 4.0, "y": 4.0, "yaw": 0.0}))
    wanted = torch.from_numpy(rendered.instances > 0).view(1, 3, 8, 3, 8).any(4).any(2)
    assert torch.equal(truth.cells[:, 0], wanted)
    assert bool(truth.cells[0, 0, 0, 0])
    assert not bool(truth.cells[0, 0, 2].any())


def test_what_is_out_of_sight_or_missing_is_not_present(lesson: Lesson, make_renderer: Any) -> None:
    shown = scene({"x": 12.0, "yaw": 0.0})
    away = scene({"x": 500.0, "yaw": 0.0})
    none = scene()
    truth, _ = truth_of(lesson, make_renderer(), shown, away, none)
    assert truth.present[:, 0].tolist() == [True, False, False]
    assert not bool(truth.readings[2].any())


def test_a_node_that_no_mask_shows_is_present_where_the_scene_has_it() -> None:
    light = {"name": "light", "kind": "light", "count": {"choice": {"values": [0, 1]}}}
    grammar = SceneGrammar.model_validate(
        {
            "root": {
                "name": "scene",
                "kind": "scene",
                "children": [{**light, "attributes": {"power": UNSEEN}}],
            }
        }
    )
    lesson = make_lesson(SceneCodec(grammar), [()], (16, 16))
    root = Node("scene", "scene", Attributes())
    lit = Scene((root, Node("light", "light", Attributes(power=2.0), 0)))
    images, instances = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.int32)
    drawn = Rendered(images, instances, ((), ()))
    truth = lesson.truth_of([lit, Scene((root,))], drawn.labels, lesson.cells_of(drawn))
    assert truth.present.tolist() == [[True], [False]]
    assert truth.readings.tolist() == [[1.0], [0.0]]
    network = network_for(lesson)
    assert math.isfinite(float(network.loss(to_tensor(images), truth).detach()))


def test_a_category_that_had_not_shown_up_is_passed_over(
    lesson: Lesson, make_renderer: Any
) -> None:
    narrow = Lesson(lesson.codec, ["left"], (24, 24))
    truth, _ = truth_of(narrow, make_renderer(), scene({"x": 20.0, "yaw": 0.0}))
    assert truth.categories.tolist() == [[[0.0]]]


@pytest.mark.parametrize("size", [(24, 24), (20, 33), (200, 120), (8, 8), (5, 7)])
def test_the_network_s_cells_are_the_lesson_s(size: tuple[int, int], make_grammar: Any) -> None:
    lesson = Lesson(SceneCodec(make_grammar()), ["a"], size)
    features, attention = (
        network_for(lesson).eval().look(torch.rand(2, 3, *size, generator=generator()))
    )
    assert features.shape == (2, 1, 16)
    assert attention.shape == (2, 1, *lesson.cells)
    torch.testing.assert_close(attention.sum(dim=(2, 3)), torch.ones(2, 1))
    assert max(lesson.seen_size) <= 96


# --- through which window it looks -------------------------------------------------------------


def test_a_window_holds_nearly_all_of_a_node_with_room_around_it(
    make_grammar: Any, make_renderer: Any
) -> None:
    codec = SceneCodec(make_grammar(count=2))
    one = [scene({"x": float(x)}) for x in range(6, 20)]
    labels = make_renderer().render(one).labels
    sides = [max(b.box[2] - b.box[0], b.box[3] - b.box[1]) for (b,) in labels]
    (side,) = make_lesson(codec, labels, (24, 24)).windows.values()
    assert np.quantile(sides, 0.9) < side < 1.5 * max(sides)
    # What a scene has two of is looked at through a window that holds both.
    pair = make_renderer().render([scene({"x": 5.0}, {"x": 20.0})]).labels
    (wide,) = make_lesson(codec, pair, (24, 24)).windows.values()
    assert wide > 1.3 * 15


def test_what_was_never_seen_is_looked_for_in_the_whole_image(
    make_grammar: Any, make_renderer: Any
) -> None:
    labels = make_renderer().render([scene({"x": 500.0})]).labels
    lesson = make_lesson(SceneCodec(make_grammar()), labels, (20, 30))
    assert lesson.shares.tolist() == [[1.0, 1.0]]


def test_a_glimpse_is_centred_and_repeats_the_edge_beyond_it(
    make_grammar: Any,
) -> None:
    lesson = Lesson(SceneCodec(make_grammar()), [], (48, 96), {"blob": 24.0})
    assert lesson.shares.tolist() == [[0.25, 0.5]]
    network = network_for(lesson)
    across, down = torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 48)
    images = torch.stack(
        [across.expand(48, 96), down[:, None].expand(48, 96), torch.zeros(48, 96)]
    ).expand(3, 3, 48, 96)
    centre = torch.tensor([[[0.5, -0.25]], [[1.0, 1.0]], [[-1.0, 0.0]]])
    seen = network._glimpses(images, centre)
    corners = [[one[:2, 0, 0].tolist(), one[:2, -1, -1].tolist()] for one in seen]
    wanted = [
        [[0.25, -0.75], [0.75, 0.25]],
        [[0.75, 0.5], [1.0, 1.0]],
        [[-1.0, -0.5], [-0.75, 0.5]],
    ]
    torch.testing.assert_close(torch.tensor(corners), torch.tensor(wanted), atol=1e-4, rtol=0)
    # A node at the edge is seen in the middle of its window all the same.
    torch.testing.assert_close(
        seen[1, :2, 11:13, 11:13].mean(dim=(1, 2)), torch.tensor([0.99, 0.98]), atol=0.01, rtol=0
    )


def test_a_window_as_large_as_the_image_shows_the_image(make_grammar: Any) -> None:
    network = network_for(Lesson(SceneCodec(make_grammar()), [], (24, 24), {"blob": 30.0}))
    images = torch.rand(2, 3, 24, 24, generator=generator())
    centre = torch.tensor([[[0.7, -0.9]], [[0.0, 0.2]]])
    torch.testing.assert_close(network._glimpses(images, centre), images)


@pytest.mark.parametrize("width", [1, 3])
def test_the_narrowest_networks_look_too(width: int, make_grammar: Any) -> None:
    network = network_for(Lesson(SceneCodec(make_grammar()), ["a"], (24, 24)), width=width)
    assert network.look(torch.rand(2, 3, 24, 24, generator=generator()))[0].shape == (2, 1, 16)


# --- what it learns -------------------------------------------------------------------------


@dataclass
class Learned:
    network: SimulatorNetwork
    images: Tensor
    truth: Truth
    before: Grade
    after: Grade


@pytest.fixture(scope="module")
def learned(make_grammar: Any, make_renderer: Any) -> Learned:
    """A network taught for a few seconds; "blob.unseen" shows in no image."""
    grammar = make_grammar(unseen=UNSEEN)
    codec, scenes = SceneCodec(grammar), wide(grammar, 1500)
    rendered = make_renderer().render(scenes)
    lesson = make_lesson(codec, rendered.labels, (24, 24))
    truth, images = (
        lesson.truth_of(scenes, rendered.labels, lesson.cells_of(rendered)),
        channels_first(rendered.images),
    )
    known, held_out = torch.arange(1300), torch.arange(1300, 1500)
    network = network_for(lesson).eval()
    before = grade(network, images[held_out], truth[held_out])
    teach(
        network,
        images[known],
        truth[known],
        epochs=10,
        randomise=False,
        generator=generator(),
    )
    after = grade(network, images[held_out], truth[held_out])
    return Learned(network, images[held_out], truth[held_out], before, after)


def test_it_learns_to_read_what_shows(learned: Learned) -> None:
    assert learned.before.error["blob.x"] > 0.9
    assert learned.before.error["blob.yaw"] > 0.9
    assert learned.after.error["blob.x"] < 0.25
    assert learned.after.error["blob.yaw"] < 0.4
    assert learned.after.loss < learned.before.loss


def test_what_does_not_show_is_graded_as_unknown(learned: Learned) -> None:
    assert learned.after.error["blob.unseen"] == pytest.approx(1.0, abs=0.15)
    assert learned.after.worst == learned.after.error["blob.unseen"]


def test_it_looks_where_the_node_is(learned: Learned) -> None:
    with torch.no_grad():
        _, attention = learned.network.look(to_tensor(learned.images.permute(0, 2, 3, 1).numpy()))
    on_it = (attention * learned.truth.cells).sum(dim=(1, 2, 3))
    by_chance = learned.truth.cells.float().mean(dim=(1, 2, 3))
    assert float(on_it.mean()) > 0.85 > float(by_chance.mean())


def test_it_tells_categories_apart(learned: Learned) -> None:
    with torch.no_grad():
        features = learned.network(learned.images.float() / 255)
    classes = features[:, learned.network.blocks[CLASSES]]
    torch.testing.assert_close(classes.sum(dim=1), torch.ones(len(classes)))
    right = classes.argmax(dim=1) == learned.truth.categories[:, 0].argmax(dim=1)
    assert float(right.float().mean()) > 0.9


def test_images_of_whole_numbers_are_graded_as_the_same_floats(learned: Learned) -> None:
    floats = grade(learned.network, learned.images.float() / 255, learned.truth, chunk=7)
    assert floats.error == pytest.approx(learned.after.error, abs=1e-4)
    assert floats.loss == pytest.approx(learned.after.loss, abs=1e-4)


def test_teaching_is_decided_by_its_generator(make_grammar: Any, make_renderer: Any) -> None:
    grammar = make_grammar()
    scenes = wide(grammar, 140)
    rendered = make_renderer().render(scenes)
    lesson = make_lesson(SceneCodec(grammar), rendered.labels, (24, 24))
    truth, images = (
        lesson.truth_of(scenes, rendered.labels, lesson.cells_of(rendered)),
        channels_first(rendered.images),
    )

    def taught(seed: int) -> dict[str, Tensor]:
        network, heard = network_for(lesson), []
        teach(
            network,
            images,
            truth,
            epochs=2,
            randomise=True,
            generator=generator(seed),
            progress=lambda done, total, loss: heard.append((done, total)),
        )
        assert heard == [(1, 2), (2, 2)]
        assert not network.training
        return network.state_dict()

    first, second, other = taught(0), taught(0), taught(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["attention.weight"], other["attention.weight"])


def test_nothing_seen_is_nothing_told(lesson: Lesson, make_renderer: Any) -> None:
    away = [scene({"x": 500.0, "yaw": 0.0}) for _ in range(3)]
    truth, rendered = truth_of(lesson, make_renderer(), *away)
    graded = grade(network_for(lesson).eval(), to_tensor(rendered.images), truth)
    assert graded.error == {"blob.x": 1.0, "blob.yaw": 1.0}


def test_no_name_of_a_node_is_that_of_another_block(make_grammar: Any) -> None:
    grammar = make_grammar(count=2).model_dump(mode="json")
    grammar["root"]["children"][0]["name"] = "classes"
    codec = SceneCodec(SceneGrammar.model_validate(grammar))
    network = network_for(Lesson(codec, ["left", "right"], (24, 24))).eval()
    covered = np.zeros(network(torch.zeros(1, 3, 24, 24)).shape[1], int)
    for columns in network.blocks.values():
        covered[columns] += 1
    assert covered.tolist() == [1] * len(covered)
    assert CLASSES in network.blocks
