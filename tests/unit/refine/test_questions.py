"""What the gate asks, and that it lets right labels pass and wrong ones not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from metasim.errors import DataError
from metasim.learn.codec import SceneCodec
from metasim.learn.features import Classroom, Combined, PixelFeatures, make_features
from metasim.learn.features.base import FeatureExtractor
from metasim.learn.options import SimulatorFeatures
from metasim.refine.questions import Examiner, Labelled, calibrated, simulator_network
from metasim.render.drawing import draw_all
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim_mnist import MnistRenderer

GRAMMAR = {
    "root": {
        "name": "scene",
        "kind": "scene",
        "children": [
            {
                "name": "digit",
                "kind": "digit",
                "attributes": {
                    "class": {"prior": {"choice": {"values": [1, 4, 7]}}},
                    "glyph": {"prior": {"uniform": {"low": 0, "high": 1}}},
                    "x": {
                        "prior": {"normal": {"mean": 16, "std": 1}},
                        "range": [8, 24],
                        "unit": "px",
                        "mutable": True,
                    },
                },
            }
        ],
    }
}
grammar = SceneGrammar.model_validate(GRAMMAR)


@pytest.fixture(scope="module")
def renderer() -> MnistRenderer:
    return MnistRenderer(image_size=(32, 32))


@pytest.fixture(scope="module")
def extractor(renderer: MnistRenderer) -> FeatureExtractor:
    options = SimulatorFeatures(renders=1500, epochs=6, refine=0, randomise_appearance=False)
    return make_features([options], Classroom(SceneCodec(grammar), renderer, seed=0)).extractor


def labelled(renderer: MnistRenderer, name: str, count: int, *, wide: bool = False) -> Labelled:
    source = grammar.widened() if wide else grammar
    scenes = [source.sample(stream(0, name, i)) for i in range(count)]
    return Labelled(scenes, draw_all(renderer, scenes))


@pytest.fixture(scope="module")
def examiner(renderer: MnistRenderer, extractor: FeatureExtractor) -> Examiner:
    own, others = labelled(renderer, "own", 200), labelled(renderer, "others", 200, wide=True)
    return calibrated(extractor, own, others, wrong_passes=0.05)


def test_right_labels_pass_and_those_of_other_scenes_do_not(
    renderer: MnistRenderer, examiner: Examiner
) -> None:
    assert {*examiner.gate.thresholds} >= {"outlines", "attributes"}
    fresh, others = (
        labelled(renderer, "fresh", 200),
        labelled(renderer, "elsewhere", 200, wide=True),
    )
    images = fresh.drawn.images
    assert examiner.judge(images, fresh).rate > 0.8
    assert examiner.judge(images, others).rate < 0.15


def test_an_image_that_moved_or_shows_another_class_is_rejected(
    renderer: MnistRenderer, examiner: Examiner
) -> None:
    fresh = labelled(renderer, "fresh", 100)
    moved = np.roll(fresh.drawn.images, 6, axis=2)
    assert examiner.judge(moved, fresh).rate < 0.1
    if "classes" in examiner.gate.thresholds:
        assert examiner.judge(fresh.drawn.images, _renamed(fresh)).rate < 0.2


def _renamed(known: Labelled) -> Labelled:
    """The same under the names of other classes."""
    other = {"1": "4", "4": "7", "7": "1"}
    labels = tuple(
        tuple(replace(label, category=other[label.category]) for label in mine)
        for mine in known.drawn.labels
    )
    return Labelled(known.scenes, replace(known.drawn, labels=labels))


def test_features_that_read_nothing_leave_the_outlines(renderer: MnistRenderer) -> None:
    own, others = labelled(renderer, "own", 80), labelled(renderer, "others", 80, wide=True)
    found = calibrated(PixelFeatures(), own, others, wrong_passes=0.05)
    assert {*found.gate.thresholds} == {"outlines"}
    assert found.questions.error == {}


def test_the_network_is_found_among_several_features(extractor: FeatureExtractor) -> None:
    assert simulator_network(Combined([PixelFeatures(), extractor])) is extractor
    assert simulator_network(PixelFeatures()) is None


def test_it_is_the_same_after_a_file(
    renderer: MnistRenderer, extractor: FeatureExtractor, examiner: Examiner
) -> None:
    fresh = labelled(renderer, "fresh", 60)
    told = json.loads(json.dumps(examiner.to_json()))
    again = Examiner.from_json(told, extractor)
    noise = stream(0, "noise").integers(0, 60, fresh.drawn.images.shape).astype(np.uint8)
    images = np.maximum(fresh.drawn.images, noise)
    assert np.array_equal(again.judge(images, fresh).passed, examiner.judge(images, fresh).passed)


def test_where_nothing_tells_right_from_wrong_there_is_no_gate(renderer: MnistRenderer) -> None:
    own = labelled(renderer, "own", 60)
    with pytest.raises(DataError, match="must be able to tell right labels from wrong ones"):
        calibrated(PixelFeatures(), own, own, wrong_passes=0.05)


def test_asking_leaves_the_global_generator_alone(
    renderer: MnistRenderer, examiner: Examiner
) -> None:
    before = torch.get_rng_state()
    fresh = labelled(renderer, "fresh", 8)
    examiner.judge(fresh.drawn.images, fresh)
    assert torch.equal(before, torch.get_rng_state())
