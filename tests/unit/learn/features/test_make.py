"""From settings to taught extractors: what is rendered, taught, graded and told."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metasim.errors import ConfigError, PluginError, RunError
from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.features import (
    Classroom,
    Combined,
    SimulatorNetwork,
    TaskNetFeatures,
    Taught,
    describe_features,
    extract,
    make_features,
    restore_features,
    teach_near,
)
from metasim.learn.features.lesson import Lesson
from metasim.learn.features.tasknet import category_targets
from metasim.learn.features.wide import draw_labelled, wide_scenes

QUICK = options.SimulatorFeatures(
    renders=300, epochs=5, width=4, size=8, max_error=1.0, randomise_appearance=False
)
TASKNET = options.TaskNetFeatures(renders=400, epochs=4, size=12)
ALL = (QUICK, TASKNET, options.PixelFeatures(size=4), options.RandomConvFeatures(size=10))
UNSEEN = {"prior": 1.0, "range": [0, 2], "mutable": True}


@pytest.fixture
def taught(classroom: Classroom) -> Taught:
    return make_features(ALL, classroom)


def test_all_features_share_the_renders_of_the_widened_prior(
    taught: Taught, classroom: Classroom
) -> None:
    assert classroom.renderer.drawn == taught.renders == 1000  # type: ignore[attr-defined]
    assert taught.images.shape == (1000, 24, 24, 3)
    assert taught.images.dtype == np.uint8
    xs = [scene.nodes[1].attributes["x"] for scene in taught.scenes]
    assert min(xs) < 4 < 20 < max(xs)
    one = classroom.renderer.render(taught.scenes[700:701])
    assert np.array_equal(one.images[0], taught.images[700])


def test_the_extractor_is_frozen_and_in_evaluation_mode(taught: Taught) -> None:
    extractor = taught.extractor
    assert isinstance(extractor, Combined)
    assert extractor.randomised
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    features = extract(extractor, taught.images[:50])
    stop = max(block.stop for block in extractor.blocks.values())
    assert features.shape == (50, stop)


def test_the_same_seed_gives_the_same_features(taught: Taught, classroom: Classroom) -> None:
    again = make_features(ALL, classroom)
    assert again.scenes == taught.scenes
    assert torch.equal(
        extract(again.extractor, taught.images[:20]), extract(taught.extractor, taught.images[:20])
    )
    other = make_features(QUICK, replace(classroom, seed=2))
    assert other.scenes[0] != taught.scenes[0]


def test_scenes_follow_from_their_number(classroom: Classroom) -> None:
    assert wide_scenes(classroom, 30)[:10] == wide_scenes(classroom, 10)


def test_what_batches_show_is_what_one_batch_shows(classroom: Classroom) -> None:
    scenes = wide_scenes(classroom, 300)  # more than one batch
    many = draw_labelled(classroom, scenes, "drawing")
    few = draw_labelled(classroom, scenes[250:], "drawing")
    assert np.array_equal(many.images[250:], few.images)
    assert torch.equal(many.cells[250:], few.cells)
    assert many.labels[250:] == few.labels
    assert len(many[:10] + few) == 60


def test_held_out_errors_are_told_and_kept(classroom: Classroom, log: Any) -> None:
    taught = make_features(QUICK.model_copy(update={"renders": 1200, "epochs": 8}), classroom)
    assert set(taught.error) == {"blob.x", "blob.yaw"}
    assert max(taught.error.values()) < 0.8
    assert log.stages == ["rendering for the features", "teaching the features"]
    assert any("blob.yaw" in message for message in log.messages)


def test_what_was_taught_is_read_back(make_grammar: Any) -> None:
    """Readings are the inverse of what the lesson asks for."""
    codec = SceneCodec(make_grammar())
    rng = np.random.default_rng(0)
    scenes = [codec.grammar.sample(rng) for _ in range(30)]
    lesson = Lesson(codec, [], (24, 24))
    truth = lesson.truth_of(scenes, [()] * 30, torch.ones(30, 1, 3, 3, dtype=torch.bool))
    values = lesson.values(truth.readings)
    for label in codec.labels:
        node, name = label.split(".")
        wanted = [n.attributes[name] for scene in scenes for n in scene.nodes if n.name == node]
        assert values[label].numpy() == pytest.approx(np.array(wanted, dtype=float), abs=1e-3)


def test_features_that_nothing_is_taught_are_standardised_by_wide_renders_too(
    classroom: Classroom,
) -> None:
    taught = make_features(options.PixelFeatures(size=4), classroom)
    assert taught.error == {}
    assert taught.renders == 1000
    centred = extract(taught.extractor, taught.images)
    assert float(centred.mean().abs()) < 1e-3
    assert 0.8 < float(centred.std(dim=0).mean()) < 1.01  # constant pixels count as a tenth


def test_renders_wanted_for_other_purposes_are_made_as_well(classroom: Classroom) -> None:
    more = make_features(options.PixelFeatures(size=4), replace(classroom, at_least=1100))
    assert more.renders == 1100


@pytest.mark.parametrize("width", [4, 6])
def test_the_settings_reach_the_network(classroom: Classroom, width: int) -> None:
    option = QUICK.model_copy(update={"width": width, "size": 10, "randomise_training": False})
    network = make_features(option, classroom).extractor
    assert isinstance(network, SimulatorNetwork)
    assert (network.width, network.size, network.randomised) == (width, 10, False)


def test_randomised_looks_change_what_is_learned(classroom: Classroom) -> None:
    plain, random = (
        make_features(QUICK.model_copy(update={"randomise_appearance": r}), classroom)
        for r in (False, True)
    )
    assert plain.error != random.error


def test_a_poor_network_is_taught_again_and_the_best_is_kept(
    classroom: Classroom, log: Any
) -> None:
    strict = QUICK.model_copy(update={"max_error": 0.01})
    taught = make_features(strict, classroom)
    tries = log.stages.count("teaching the features")
    assert tries > 1
    assert sum("from another start" in message for message in log.messages) == tries - 1
    once = make_features(QUICK, classroom)
    assert taught.grade is not None
    assert once.grade is not None
    assert taught.grade.loss <= once.grade.loss


def test_what_no_start_can_read_is_not_tried_for_ever(
    make_grammar: Any, make_renderer: Any, log: Any
) -> None:
    codec = SceneCodec(make_grammar(unseen=UNSEEN))
    option = QUICK.model_copy(update={"renders": 1200, "epochs": 8, "max_error": 0.6})
    taught = make_features(option, Classroom(codec, make_renderer(), seed=1, progress=log))
    assert taught.error["blob.unseen"] > 0.9
    assert log.stages.count("teaching the features") == 2


def test_a_few_renders_are_enough_to_run(classroom: Classroom) -> None:
    option = QUICK.model_copy(update={"renders": 5})
    assert make_features(option, classroom).renders == 5


# --- the task network -----------------------------------------------------------------------


def test_the_task_network_learns_its_categories(classroom: Classroom) -> None:
    taught = make_features(TASKNET, classroom)
    network = taught.extractor
    assert isinstance(network, TaskNetFeatures)
    assert network.categories == ("left", "right")
    assert network.exclusive
    fresh = wide_scenes(replace(classroom, seed=77), 100)
    shown = draw_labelled(classroom, fresh, "drawing")
    with torch.no_grad():
        answers = network.logits(shown.tensor.float() / 255).argmax(dim=1)
    _, target = category_targets(shown.labels)
    assert float((answers == target.argmax(dim=1)).float().mean()) > 0.85


def test_several_instances_make_several_categories(make_grammar: Any, make_renderer: Any) -> None:
    codec = SceneCodec(make_grammar(count={"choice": {"values": [0, 2]}}))
    classroom = Classroom(codec, make_renderer(), seed=1)
    network = make_features(TASKNET, classroom).extractor
    assert isinstance(network, TaskNetFeatures)
    assert not network.exclusive
    shown = draw_labelled(classroom, wide_scenes(replace(classroom, seed=7), 100), "drawing")
    _, target = category_targets(shown.labels)
    with torch.no_grad():
        likely = network.logits(shown.tensor.float() / 255) > 0
    assert float((likely == (target > 0)).float().mean()) > 0.8


def test_categories_that_never_vary_are_refused(classroom: Classroom) -> None:
    shown = draw_labelled(classroom, wide_scenes(classroom, 40), "drawing")
    right = [mine for mine in shown.labels if mine[0].category == "right"]
    with pytest.raises(PluginError, match="but all show right; choose"):
        category_targets(right)


# --- teaching near an estimate --------------------------------------------------------------


def near(classroom: Classroom, count: int) -> list[Any]:
    """Scenes close to x = 8, yaw = 90."""
    scenes = wide_scenes(replace(classroom, seed=5), count)
    rng = np.random.default_rng(0)
    return [
        scene.with_attributes([None, {"x": 8 + rng.normal(), "yaw": 90 + 10 * rng.normal()}])
        for scene in scenes
    ]


def test_teaching_near_an_estimate_adds_renders_and_lowers_the_loss_there(
    classroom: Classroom,
) -> None:
    option = QUICK.model_copy(update={"renders": 600, "epochs": 12})
    taught = make_features((option, options.PixelFeatures(size=4)), classroom)
    scenes = near(classroom, 400)
    network = next(iter(taught.extractor.parts))  # type: ignore[arg-type]
    assert isinstance(network, SimulatorNetwork)

    def loss() -> float:
        fresh = draw_labelled(classroom, near(replace(classroom, seed=9), 100), "drawing")
        truth = network.lesson.truth_of(fresh.scenes, fresh.labels, fresh.cells)
        with torch.no_grad():
            return float(network.loss(fresh.tensor.float() / 255, truth))

    before = loss()
    pixels = extract(taught.extractor, taught.images[:9])[:, -16:]
    again = teach_near(taught, scenes, (option, options.PixelFeatures(size=4)), classroom, 0)
    assert again.renders == taught.renders + 400
    assert again.wide == taught.renders
    assert list(again.scenes[-400:]) == scenes
    assert loss() < before
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(extract(again.extractor, taught.images[:9])[:, -16:], pixels)
    # Standardised by the widened prior still, not by what lies near the estimate.
    own = extract(network, again.images[: again.wide])[:, network.blocks["blob"]]
    assert float(own.mean(dim=0).abs().max()) < 1e-3
    wider = teach_near(again, scenes[:10], (option, options.PixelFeatures(size=4)), classroom, 0)
    assert (wider.wide, wider.renders) == (again.wide, again.renders + 10)


# --- checkpoints ----------------------------------------------------------------------------


def through_a_file(description: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(description, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_restored_features_are_identical_and_render_nothing(
    taught: Taught, classroom: Classroom
) -> None:
    wanted = extract(taught.extractor, taught.images[:50])
    drawn = classroom.renderer.drawn  # type: ignore[attr-defined]
    described = through_a_file(describe_features(taught.extractor))
    restored = restore_features(described, SceneCodec(classroom.codec.grammar), ALL)
    assert torch.equal(extract(restored, taught.images[:50]), wanted)
    assert restored.blocks == taught.extractor.blocks
    assert restored.randomised == taught.extractor.randomised
    assert classroom.renderer.drawn == drawn  # type: ignore[attr-defined]
    assert not any(module.training for module in restored.modules())


def test_restored_features_can_be_taught_again(classroom: Classroom) -> None:
    taught = make_features(QUICK, classroom)
    described = through_a_file(describe_features(taught.extractor))
    restored = restore_features(described, classroom.codec, QUICK)
    scenes = near(classroom, 60)
    first = teach_near(replace(taught, extractor=restored), scenes, QUICK, classroom, 0)
    second = teach_near(taught, scenes, QUICK, classroom, 0)
    assert torch.equal(
        extract(first.extractor, taught.images[:9]), extract(second.extractor, taught.images[:9])
    )


def test_a_description_keeps_what_it_described(classroom: Classroom) -> None:
    taught = make_features(QUICK, classroom)
    described = describe_features(taught.extractor)
    before = {name: value.clone() for name, value in described["parts"][0]["state"].items()}
    teach_near(taught, near(classroom, 30), QUICK, classroom, 0)
    assert all(torch.equal(before[n], v) for n, v in described["parts"][0]["state"].items())


def test_other_features_or_a_damaged_file_are_refused(taught: Taught, classroom: Classroom) -> None:
    described = describe_features(taught.extractor)
    with pytest.raises(RunError, match=r"must hold features \['pixels'\], got \['simulator'"):
        restore_features(described, classroom.codec, options.PixelFeatures())
    with pytest.raises(RunError, match="must fit this experiment"):
        restore_features({}, classroom.codec, ALL)
    del described["parts"][0]["state"]["centre"]
    with pytest.raises(RunError, match="must fit this experiment"):
        restore_features(described, classroom.codec, ALL)


def test_another_grammar_s_features_are_refused(classroom: Classroom, make_grammar: Any) -> None:
    described = describe_features(make_features(QUICK, classroom).extractor)
    other = SceneCodec(make_grammar(unseen=UNSEEN))
    with pytest.raises(RunError, match="must fit this experiment"):
        restore_features(described, other, QUICK)


def test_no_more_pixels_are_taken_than_the_images_have(classroom: Classroom) -> None:
    told = "features.size of pixels must be at most 24, .* are 24 x 24 pixels .* got 25"
    with pytest.raises(ConfigError, match=told):
        make_features(options.PixelFeatures(size=25), classroom)
    assert classroom.renderer.drawn == 0  # type: ignore[attr-defined]


def test_of_several_features_each_is_taught_again_as_often_as_it_asks(
    classroom: Classroom,
) -> None:
    once, never = (QUICK.model_copy(update={"refine": refine}) for refine in (1, 0))
    taught = make_features((never, once), classroom)
    parts: Any = taught.extractor.parts
    before = [{k: v.clone() for k, v in part.state_dict().items()} for part in parts]
    teach_near(taught, near(classroom, 60), (never, once), classroom, 0)
    same = [
        all(torch.equal(old[k], v) for k, v in part.state_dict().items())
        for old, part in zip(before, parts, strict=True)
    ]
    assert same == [True, False]
