"""Cameras and poses, by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from metasim_blender.view import camera_of, facing, placement, pose_in, rotation
from metasim_blender.vocabulary import Placed, View

AROUND = {"distance": 1.5, "azimuth": 0.0, "elevation": 40.0, "fov": 50.0, "x": 0, "y": 0, "z": 0}


def view(**said):
    return View(**{**AROUND, **said})


def projected(camera, points):
    turn = np.array(camera.world.rotation).reshape(3, 3)
    seen = np.asarray(points) @ turn.T + camera.world.translation
    return np.stack(
        [camera.fx * seen[:, 0] / seen[:, 2] + camera.cx,
         camera.fy * seen[:, 1] / seen[:, 2] + camera.cy, seen[:, 2]], axis=1,
    )  # fmt: skip


@pytest.mark.parametrize("elevation", [-90.0, -10.0, 0.0, 35.0, 90.0])
@pytest.mark.parametrize("azimuth", [0.0, 77.0, 200.0])
def test_what_a_camera_looks_at_is_in_the_middle_at_its_distance(azimuth, elevation):
    camera = camera_of(view(azimuth=azimuth, elevation=elevation, x=0.3, y=-0.2, z=0.1), (48, 64))
    np.testing.assert_allclose(projected(camera, [[0.3, -0.2, 0.1]]), [[32, 24, 1.5]], atol=1e-12)


def test_from_the_default_side_x_is_to_the_right_y_away_and_z_up():
    middle, x, y, z = projected(camera_of(view(), (64, 64)), [[0, 0, 0], *np.eye(3) * 0.1])
    assert x[0] > middle[0]
    np.testing.assert_allclose(x[1:], middle[1:])
    assert y[2] > middle[2]
    assert y[1] < middle[1]
    assert z[1] < middle[1]
    assert z[0] == y[0] == middle[0]


def test_azimuth_is_counter_clockwise_from_above():
    """From a quarter turn on, the camera stands where x points to."""
    near, far = projected(camera_of(view(azimuth=90.0), (64, 64)), [[0.1, 0, 0], [-0.1, 0, 0]])
    assert near[2] < far[2]


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (80, 40)])
def test_fov_is_across_the_larger_side(size):
    camera = camera_of(view(fov=60.0), size)
    assert camera.fx == camera.fy
    assert 2 * np.degrees(np.arctan(max(size) / 2 / camera.fx)) == pytest.approx(60)
    assert (camera.cx, camera.cy) == (size[1] / 2, size[0] / 2)


def test_roll_comes_first_then_pitch_then_yaw():
    def about(axis, degrees):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn[i, i] = turn[j, j] = cos
        turn[i, j], turn[j, i] = -sin, sin
        return turn

    expected = about(2, 50) @ about(1, -20) @ about(0, 130)
    np.testing.assert_allclose(rotation(130, -20, 50), expected, atol=1e-15)


@pytest.mark.parametrize("said", [{}, {"roll": 90.0}, {"pitch": 33.0, "roll": 70.0, "yaw": 20.0}])
def test_the_lowest_point_touches_the_table(box, said):
    vertices, _ = box
    turned = {"yaw": 0.0, "roll": 0.0, "pitch": 0.0, **said}
    rest = {"node": 1, "model": "box", "colour": (1, 1, 1), "texture": "plain"}
    for z in (0.0, 0.07):
        placed = Placed(x=0.1, y=-0.2, z=z, scale=1.3, **turned, **rest)
        turn, place = placement(placed, vertices)
        points = vertices @ (1.3 * turn.T) + place
        assert points[:, 2].min() == pytest.approx(z)
        assert place[:2] == (0.1, -0.2)


def test_a_pose_leads_from_the_model_to_the_camera(box):
    vertices, _ = box
    camera, turn = camera_of(view(azimuth=30.0), (64, 64)), rotation(10, 20, 30)
    pose = pose_in(camera, turn, (0.1, 0.2, 0.3), 1.5)
    by_pose = vertices @ (1.5 * np.array(pose.rotation).reshape(3, 3).T) + pose.translation
    world = vertices @ (1.5 * turn.T) + (0.1, 0.2, 0.3)
    by_world = world @ np.array(camera.world.rotation).reshape(3, 3).T + camera.world.translation
    np.testing.assert_allclose(by_pose, by_world, atol=1e-14)


def test_normals_are_unit_and_never_look_away():
    camera = camera_of(view(), (3, 4))
    given = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    given[0, 0] = 0
    there = np.ones((3, 4), bool)
    there[2, 3] = False
    found = facing(given, there, camera)
    rows, columns = np.indices((3, 4)) + 0.5
    rays = np.stack([(columns - 2) / camera.fx, (rows - 1.5) / camera.fy, np.ones((3, 4))], -1)
    assert (found[2, 3] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found[there], axis=-1), 1, atol=1e-6)
    assert ((found * rays).sum(-1) <= 1e-6).all()
