"""What a renderer returns is checked before anything is made of it."""

import dataclasses
import math

import numpy as np
import pytest

from metasim.errors import RenderError
from metasim.render import Camera, Label, Pose, Rendered, check_rendered
from metasim.scene import Attributes, Node, Scene

SCENES = [Scene((Node("scene", "scene", Attributes()),), seed) for seed in range(3)]
SIZE = (4, 5)


TURN = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
POSE = Pose(TURN, (0.0, 0.0, 2.0))
LABEL = Label(1, 0, "scene", "scene", "c", (0, 0, 1, 1), 1.0, (0, -2, 1, 1), POSE)


def labelled(**changes):
    return {"labels": ((dataclasses.replace(LABEL, **changes),), (), ())}


def posed(**changes):
    return labelled(pose=dataclasses.replace(POSE, **changes))


def seen_with(**changes):
    camera = Camera(9.0, 9.0, 2.5, 2.0, POSE)
    return {"cameras": (camera, dataclasses.replace(camera, **changes), camera)}


def normal(*direction):
    normals = np.zeros((3, *SIZE, 3), np.float32)
    normals[1, 2, 3] = direction
    return {"normals": normals}


def good(count=3):
    return Rendered(
        np.zeros((count, *SIZE, 3), np.uint8),
        np.zeros((count, *SIZE), np.int32),
        ((),) * count,
        np.zeros((count, *SIZE), np.float32),
        np.zeros((count, *SIZE, 3), np.float32),
        (Camera(9.0, 9.0, 2.5, 2.0, POSE),) * count,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"depth": None, "normals": None, "cameras": None},
        labelled(),
        labelled(full_box=None, pose=None),
        labelled(box=(0, 0, 0, 0), visible=0.0, full_box=(7, 7, 9, 9)),  # beyond the edge
        labelled(full_box=[np.int64(0), 0, 1, 1]),
        posed(rotation=tuple(np.float32(value) for value in TURN), scale=np.float32(0.5)),
        posed(rotation=(math.cos(1), -math.sin(1), 0, math.sin(1), math.cos(1), 0, 0, 0, 1)),
        seen_with(world=None),
        normal(0.6, 0.0, -0.8),
        normal(0.6004, 0.0, -0.8),
    ],
)
def test_what_fits_is_handed_through(changes):
    rendered = dataclasses.replace(good(), **changes)
    assert check_rendered(rendered, SCENES, SIZE) is rendered


def test_a_batch_of_nothing_fits():
    assert check_rendered(good(0), [], SIZE).images.shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": np.zeros((3, *SIZE, 3), np.float32)}, "images must be uint8, got float32"),
        ({"images": np.zeros((3, *SIZE), np.uint8)}, r"images must have shape \(3, 4, 5, 3\)"),
        ({"images": np.zeros((2, *SIZE, 3), np.uint8)}, "images must have shape"),
        ({"images": [[0]]}, "images must be a numpy array, got list"),
        ({"instances": np.zeros((3, *SIZE), np.int64)}, "instances must be int32"),
        ({"instances": np.zeros((3, 5, 4), np.int32)}, "instances must have shape"),
        ({"instances": np.full((3, *SIZE), -7, np.int32)}, "instances must be at least 0, got -7"),
        ({"labels": ((), ())}, "labels must hold 3 tuples"),
        ({"labels": None}, "labels must hold 3 tuples, one for each scene, got NoneType"),
        ({"labels": ((), None, ())}, "image 1 of the batch: must be a tuple of Label"),
        ({"labels": ((), (), ({"instance": 1},))}, "image 2 of the batch: .* Label, got dict"),
        (labelled(instance=0), "a whole number of at least 1, got 0"),
        (labelled(instance=None), "a whole number of at least 1, got None"),
        (labelled(node=7), "one of the scene's 1, got 7"),
        (labelled(node=0.0), "one of the scene's 1, got 0.0"),
        (labelled(box=None), r"four whole numbers \(x0, y0, x1, y1\), got None"),
        (labelled(box=(0, 0, 1)), r"four whole numbers .* got \(0, 0, 1\)"),
        (labelled(box=(0, 0, 1.5, 1)), "four whole numbers .* got"),
        (labelled(visible=None), "a share from 0 to 1, got None"),
        (labelled(name="car"), "must be those of node 0, 'scene' and 'scene', got 'car'"),
        (labelled(category=3), "a category must be text and not empty, got 3"),
        (labelled(visible=5.0), "a share from 0 to 1, got 5.0"),
        (labelled(visible=float("nan")), "a share from 0 to 1, got nan"),
        ({"labels": ((LABEL, LABEL), (), ())}, "no two may have the same instance"),
        (labelled(full_box=(0, 0, 1)), "a full_box must be four whole numbers .* or None, got"),
        (labelled(full_box=(0.0, 0, 1, 1)), "a full_box must be four whole numbers"),
        (labelled(full_box=(3, 0, 1, 1)), "a full_box must be four whole numbers"),
        (
            labelled(full_box=(0, 1, 1, 2)),
            r"must contain the box \(0, 0, 1, 1\), got \(0, 1, 1, 2\)",
        ),
        (labelled(pose=(TURN, (0, 0, 1))), "a pose must be a metasim Pose, got tuple"),
        (posed(rotation=TURN[:8]), "a rotation of 9 finite numbers in a tuple, got"),
        (posed(rotation=np.eye(3)), "a rotation of 9 finite numbers in a tuple, got"),
        (posed(rotation=("1", *TURN[1:])), "a rotation of 9 finite numbers"),
        (posed(rotation=(math.nan, *TURN[1:])), "a rotation of 9 finite numbers"),
        (posed(translation=(0.0, 0.0, math.inf)), "a translation of 3 finite numbers"),
        (posed(scale=0.0), "a pose must have a scale above 0, got 0.0"),
        (posed(scale=True), "a pose must have a scale above 0, got True"),
        (posed(rotation=(2.0, *TURN[1:])), "pose of instance 1 of image 0 .* right angles"),
        (posed(rotation=(0, 1, 0, 1, 0, 0, 0, 0, 1)), "with determinant 1; got"),  # mirrored
        (posed(rotation=(0,) * 9), "with determinant 1; got"),
        ({"cameras": (None,) * 3}, "image 0 of the batch must be a metasim Camera, got NoneType"),
        ({"cameras": ()}, "cameras must be 3, one for each image, or None; got 0"),
        ({"cameras": 7}, "one for each image, or None; got int"),
        (seen_with(fx=0.0), "camera of image 1 of the batch .* focal length fx above 0, got 0.0"),
        (seen_with(fy=math.inf), "finite focal length fy above 0, got inf"),
        (seen_with(cx=math.nan), "a finite principal point cx, got nan"),
        (seen_with(world=4), "has a world that must be a metasim Pose, got int"),
        (seen_with(world=dataclasses.replace(POSE, scale=2.0)), "must have a world of scale 1"),
        (
            seen_with(world=dataclasses.replace(POSE, rotation=(0.5, *TURN[1:]))),
            "the world of the camera of image 1 of the batch must have a rotation",
        ),
        ({"depth": np.full((3, *SIZE), -1, np.float32)}, "depth must be at least 0, got -1"),
        (normal(0.0, 0.0, 0.5), "length 1, or 0 .* got 0.5 in 1 of 60 pixels"),
        (normal(0.0, 0.0, 0.01), "length 1, or 0 .* got 0.01 in 1 of 60 pixels"),
        (normal(0.0, 0.0, 1e30), "length 1, or 0"),
        (normal(0.0, math.nan, 0.0), "normals must be finite"),
        ({"depth": np.full((3, *SIZE), np.inf, np.float32)}, "depth must be finite"),
        ({"depth": np.zeros((3, *SIZE))}, "depth must be float32"),
        ({"normals": np.full((3, *SIZE, 3), np.nan, np.float32)}, "normals must be finite"),
        ({"normals": np.zeros((3, *SIZE), np.float32)}, "normals must have shape"),
    ],
)
def test_what_does_not_fit_is_named(changes, said):
    with pytest.raises(RenderError, match=said):
        check_rendered(dataclasses.replace(good(), **changes), SCENES, SIZE)


def test_what_is_no_rendered_is_named():
    with pytest.raises(RenderError, match="got ndarray"):
        check_rendered(np.zeros((3, 4, 5, 3), np.uint8), SCENES, SIZE)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (seen_with(fx=0.0), "the camera of image 41 of the batch"),
        (labelled(visible=2.0), "labels of image 40 of the batch"),
        (posed(rotation=(1.0,) * 9), "instance 1 of image 40 of the batch"),
    ],
)
def test_places_are_those_of_the_whole_batch(wrong, told):
    with pytest.raises(RenderError, match=told):
        check_rendered(dataclasses.replace(good(), **wrong), SCENES, SIZE, first=40)
