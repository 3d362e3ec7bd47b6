from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from metasim.render.base import Label
from metasim.render.geometry import Camera, Pose
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim_unity.answers import Answer, plane_bytes
from metasim_unity.canvas import Canvas
from metasim_unity.example import EXAMPLE
from metasim_unity.frames import Frame, Kind, ProtocolError, read_frame
from metasim_unity.peer.bridged import images_frame
from metasim_unity.peer.tabletop import TabletopRenderer

SIZE = (6, 8)
PLANES = ("images", "instances", "depth", "normals")


def frame_of(scenes: list[Scene], **values: Any) -> Frame:
    """A good answer about scenes, with other values where given."""
    frame = images_frame(TabletopRenderer(SIZE).render(scenes), 1, PLANES)
    return replace(frame, text=to_json({**from_json(frame.text), **values}))


def answer_to(scenes: list[Scene]) -> Answer:
    return Answer(Canvas(len(scenes), SIZE, PLANES, seen=True), scenes, flipped=True)


def test_the_bytes_of_planes_are_reckoned_as_they_are_sent(scenes: list[Scene]) -> None:
    for count in (1, 3):
        for names in (PLANES, PLANES[:2], PLANES[:3]):
            frame = images_frame(TabletopRenderer((5, 3)).render(scenes[:count]), 1, names)
            assert len(frame.planes) == plane_bytes(count, (5, 3), names)


WRONG = {
    "first": ({"first": 1}, "the first of which is number 0, got 2 from number 1 on"),
    "first-missing": ({"first": None}, "IMAGES.first: Input should be a valid integer, got None"),
    "count": ({"count": 0}, "must have from 1 to 2 scenes"),
    "count-fraction": ({"count": 1.5}, "IMAGES.count: Input should be a valid integer, .* got 1.5"),
    "count-huge": ({"count": 1e300}, "IMAGES.count: "),
    "count-negative": ({"count": -1}, "IMAGES.count: .* greater than or equal to 0, got -1"),
    "planes": ({"planes": []}, "the planes of 2 images must be"),
    "labels": ({"labels": [[]]}, "labels must be 2 lists, got 1"),
    "labels-text": ({"labels": ["a", "b"]}, "IMAGES.labels.0: Input should be a valid array"),
    "cameras": ({"cameras": []}, "cameras must be 2, one for each scene, got 0"),
    "cameras-null": ({"cameras": None}, "IMAGES.cameras: Input should be a valid array"),
    "cameras-number": ({"cameras": [1, 2]}, "IMAGES.cameras.0: "),
    "unlabelled": ({"labels": [[], []]}, "every instance in the plane must have a label"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_answers_that_are_wrong_are_refused(scenes: list[Scene], wrong: str) -> None:
    values, told = WRONG[wrong]
    with pytest.raises(ProtocolError, match=told):
        answer_to(scenes[:2]).take(frame_of(scenes[:2], **values))


LABEL = {"instance": 1, "node": 4, "category": "car", "box": [0, 0, 1, 1], "visible": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"node": -1},
        {"node": "a car"},
        {"instance": 2**40},
        {"category": 3},
        {"box": [0, 0, 1]},
        {"box": [0, 0, 1, 0.5]},
        {"box": {}},
        {"visible": None},
        {"visible": 10**400},
        {"visible": "1"},
        {"visible": float("inf")},
        {"full_box": "abcd"},
        {"pose": {}},
        {"pose": {"rotation": [1] * 8, "translation": [0, 0, 0]}},
        {"pose": {"rotation": [1] * 9, "translation": [0, 0, "0"]}},
    ],
)
def test_labels_that_are_wrong_are_refused(scenes: list[Scene], change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"IMAGES(\.labels\.0\.0|: Invalid JSON)"):
        answer_to(scenes[:1]).take(frame_of(scenes[:1], labels=[[{**LABEL, **change}]]))


def test_labels_of_nodes_that_are_not_there_are_refused(scenes: list[Scene]) -> None:
    count = len(scenes[0].nodes)
    with pytest.raises(ProtocolError, match=rf"of the {count} nodes that scene 0 has, got \[99\]"):
        answer_to(scenes[:1]).take(frame_of(scenes[:1], labels=[[{**LABEL, "node": 99}]]))


def test_a_long_list_of_mistakes_is_told_briefly(scenes: list[Scene]) -> None:
    with pytest.raises(ProtocolError) as caught:
        answer_to(scenes[:1]).take(frame_of(scenes[:1], labels=[[0] * 100_000]))
    assert "IMAGES.labels.0.0" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_cameras_that_are_alike_and_that_are_not_stay_with_their_images(
    scenes: list[Scene],
) -> None:
    cameras = [{"fx": fx, "fy": 1.0, "cx": 2, "cy": 3} for fx in (1.0, 1.0, 2.0)]
    canvas = Canvas(3, SIZE, PLANES, seen=True)
    Answer(canvas, scenes[:3], flipped=True).take(frame_of(scenes[:3], cameras=cameras))
    assert [camera.fx for camera in canvas.cameras] == [1.0, 1.0, 2.0]


def test_planes_of_another_size_are_refused(scenes: list[Scene]) -> None:
    frame = frame_of(scenes[:2])
    with pytest.raises(ProtocolError, match=r"of 6 x 8 pixels must have \d+ bytes, got"):
        answer_to(scenes[:2]).take(replace(frame, planes=bytes(frame.planes)[:-1]))


def test_frames_must_follow_each_other(scenes: list[Scene]) -> None:
    first = replace(frame_of(scenes[:1]), parts=2)
    answer = answer_to(scenes[:2])
    answer.take(first)
    assert not answer.done
    with pytest.raises(ProtocolError, match="must be 1 of 2, got 0 of 2"):
        answer.take(first)


def test_an_answer_must_be_whole(scenes: list[Scene]) -> None:
    with pytest.raises(ProtocolError, match="must have all 2 scenes, got 1"):
        answer_to(scenes[:2]).take(frame_of(scenes[:1]))
    with pytest.raises(ProtocolError, match="at most 2 frames"):
        answer_to(scenes[:2]).take(replace(frame_of(scenes[:1]), parts=3))


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from([*LABEL, "pose", "rotation", "world", "fx"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    values=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("first", "count", "planes", "labels", "cameras"), json)
    )
)
def test_whatever_an_answer_says_it_is_read_or_refused(values: dict[str, Any]) -> None:
    scene = SceneGrammar.model_validate(EXAMPLE).sample(stream(0, "scene"))
    canvas = Canvas(1, SIZE, PLANES, seen=True)
    answer = Answer(canvas, [scene], flipped=True)
    frame = frame_of([scene], **values)
    with suppress(ProtocolError):
        answer.take(frame)
        rendered = canvas.rendered()
        assert rendered.images.shape == (1, *SIZE, 3)
        assert np.isfinite(rendered.images).all()


def test_a_frame_that_was_sent_is_taken(scenes: list[Scene]) -> None:
    canvas = Canvas(3, SIZE, PLANES, seen=True)
    answer = Answer(canvas, scenes[:3], flipped=True, models=TabletopRenderer().meshes())
    answer.take(read_frame(frame_of(scenes[:3]).to_bytes(), 1 << 20))
    assert answer.done
    drawn, wanted = canvas.rendered(), TabletopRenderer(SIZE).render(scenes[:3])
    assert drawn.labels == wanted.labels
    assert np.array_equal(drawn.normals, wanted.normals)
    assert frame_of(scenes[:1]).kind == Kind.IMAGES


def test_labels_have_names_of_the_scene_and_poses_of_known_models(scenes: list[Scene]) -> None:
    models = {"car"}
    canvas = Canvas(len(scenes), SIZE, PLANES, seen=True)
    Answer(canvas, scenes, flipped=True, models=models).take(frame_of(scenes))
    wanted = [
        tuple(replace(one, pose=one.pose if one.category in models else None) for one in labels)
        for labels in TabletopRenderer(SIZE).render(scenes).labels
    ]
    assert canvas.labels == wanted
    assert {one.pose is None for labels in wanted for one in labels} == {True, False}
    assert pickle.loads(pickle.dumps(canvas.labels)) == wanted


def test_what_a_label_may_lack_is_none(scenes: list[Scene]) -> None:
    frame = frame_of(scenes[:1], labels=[[LABEL]], cameras=[{"fx": 1, "fy": 1, "cx": 2, "cy": 3}])
    planes = np.frombuffer(frame.planes, np.uint8).copy()
    planes[:] = 0
    canvas = Canvas(1, SIZE, PLANES, seen=True)
    answer = Answer(canvas, scenes[:1], flipped=True, models={"car"})
    answer.take(replace(frame, planes=planes.tobytes()))
    node = scenes[0].nodes[4]
    assert canvas.labels == [(Label(1, 4, node.name, node.kind, "car", (0, 0, 1, 1), 1.0),)]
    assert canvas.cameras == [Camera(1.0, 1.0, 2.0, 3.0)]


def test_a_pose_without_a_scale_has_that_of_the_model(scenes: list[Scene]) -> None:
    pose = {"rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "translation": [0, 0, 2]}
    told = [[{**LABEL, "instance": n, "pose": pose} for n in (1, 2)]]
    canvas = Canvas(1, SIZE, PLANES, seen=True)
    answer = Answer(canvas, scenes[:1], flipped=True, models={"car"})
    answer.take(frame_of(scenes[:1], labels=told))
    assert canvas.labels[0][1].pose == Pose((1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 2), 1.0)
