from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metasim.errors import DataError
from metasim.refine.fidelity import agreement, borders, outlines
from metasim.refine.gate import Gate, calibrate
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim_mnist import MnistRenderer

planes = hnp.arrays(np.int32, (2, 5, 4), elements=st.integers(0, 2))


@given(planes)
def test_borders_are_on_both_sides_and_do_not_depend_on_what_instances_are_called(
    instances: npt.NDArray[np.int32],
) -> None:
    found = borders(instances)
    names = np.array([7, 0, 3], np.int32)
    assert np.array_equal(found, borders(names[instances]))
    for image, border in zip(instances, found, strict=True):
        for y, x in np.ndindex(image.shape):
            beside = [
                image[v, u]
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                if 0 <= v < 5 and 0 <= u < 4
            ]
            assert border[y, x] == any(other != image[y, x] for other in beside)


def square(size: int = 16) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """A bright square, and one elsewhere."""
    instances = np.zeros((2, size, size), np.int32)
    instances[0, 2:8, 2:8] = 1
    instances[1, 8:14, 8:14] = 1
    images = np.repeat((40 + 150 * instances).astype(np.uint8)[..., None], 3, -1)
    return images, instances


def test_edges_lie_on_the_borders_of_what_is_drawn_whatever_its_colours() -> None:
    images, instances = square()
    own = outlines(images, instances)
    assert (own > 0.95).all()
    assert outlines(255 - images, instances) == pytest.approx(own)
    assert (outlines(images, instances[::-1]) < 0.8).all()  # the rest of the image is even


def test_noise_lowers_it_and_nothing_to_look_at_passes() -> None:
    images, instances = square()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, images.shape).astype(np.uint8)
    assert (np.abs(outlines(noise, instances) - 0.5) < 0.2).all()
    assert outlines(images, np.zeros_like(instances)).tolist() == [1, 1]


def test_readings_that_went_away_count_by_the_reader_s_error() -> None:
    read = {"x": np.array([1.0, 2.0, 1.0]), "yaw": np.array([359.0, 10.0, 180.0])}
    known = {"x": np.array([1.0, 1.0, 1.0]), "yaw": np.array([1.0, 10.0, 0.0])}
    found = agreement(read, known, {"x": 0.5, "yaw": 4.0}, {"yaw": 360.0})
    assert found.tolist() == [-0.5, -2.0, -45.0]


# --- calibration ---------------------------------------------------------------------------


def test_a_gate_lets_few_wrong_labels_pass_and_nearly_all_right_ones() -> None:
    rng = np.random.default_rng(0)
    right = {"a": rng.normal(3, 1, 2000), "b": rng.normal(9, 1, 2000)}
    wrong = {"a": rng.normal(0, 1, 2000), "b": rng.normal(0, 1, 2000)}
    gate = calibrate(right, wrong)
    assert 0.88 < gate.kept < 0.96
    assert gate.refused["a"] == pytest.approx(0.91, abs=0.05)
    assert gate.refused["b"] >= 0.95
    assert gate.judge(right).rate == gate.kept
    assert gate.judge(wrong).rate < 0.02


def test_a_question_that_tells_nothing_is_left_out() -> None:
    rng = np.random.default_rng(0)
    right = {"good": rng.normal(9, 1, 500), "blind": rng.normal(0, 1, 500)}
    wrong = {"good": rng.normal(0, 1, 500), "blind": rng.normal(0, 1, 500)}
    assert {*calibrate(right, wrong).thresholds} == {"good"}
    with pytest.raises(DataError, match="none of blind can"):
        calibrate({"blind": right["blind"]}, {"blind": wrong["blind"]})


def test_other_questions_are_refused() -> None:
    gate = Gate({"a": 1.0}, 1.0, {"a": 1.0})
    with pytest.raises(DataError, match="its own questions, a, got b"):
        gate.judge({"b": np.zeros(2)})


def test_every_question_must_be_answered_and_a_gate_is_kept_as_json() -> None:
    gate = Gate({"a": 1.0, "b": 0.0}, 0.9, {"a": 0.95, "b": 1.0})
    again = Gate.from_json(json.loads(json.dumps(gate.to_json())))
    assert again == gate
    judged = again.judge({"a": np.array([1.0, 2.0, 0.5]), "b": np.array([0.0, -1.0, 1.0])})
    assert judged.passed.tolist() == [True, False, False]
    assert judged.rate == pytest.approx(1 / 3)
    assert gate.judge({"a": np.zeros(0), "b": np.zeros(0)}).rate == 1


def test_real_digits_are_told_from_other_digits() -> None:
    """Inverted, blurred ones, too: what refined ones may look like."""
    renderer = MnistRenderer(image_size=(32, 32))
    grammar = SceneGrammar.model_validate(MnistRenderer.example)
    drawn = renderer.render([grammar.sample(stream(0, "scene", n)) for n in range(60)])
    others = np.roll(drawn.instances, 1, axis=0)
    right, wrong = (outlines(drawn.images, planes) for planes in (drawn.instances, others))
    gate = calibrate({"outlines": right}, {"outlines": wrong})
    assert gate.kept >= 0.9
    assert gate.refused["outlines"] >= 0.9
    inverted = 255 - drawn.images
    assert gate.judge({"outlines": outlines(inverted, drawn.instances)}).rate >= 0.9
    assert gate.judge({"outlines": outlines(inverted, others)}).rate <= 0.1
