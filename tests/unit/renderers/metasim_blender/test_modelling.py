"""The models that ship: made again byte for byte, closed, standing, and alike from no two sides."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metasim_blender
from metasim_blender.modelling.assembly import assemble
from metasim_blender.modelling.catalogue import MODELS
from metasim_blender.modelling.curves import circle, rounded_rectangle
from metasim_blender.modelling.primitives import (
    badge,
    box,
    capsule,
    cylinder,
    extrude,
    lathe,
    revolve,
    sphere,
    sweep,
)
from metasim_blender.modelling.views import asymmetry, differences, views
from metasim_blender.ply import read_ply

FOLDER = Path(metasim_blender.__file__).parent / "models"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ply"))
TUBE = circle(10, 48) + np.array([60, 0])


def parts_of(mesh):
    """Which part each vertex is of: those that faces join."""
    part = np.arange(len(mesh.vertices))
    while True:
        least = part.copy()
        for corner in mesh.faces.T:
            np.minimum.at(least, corner, part[mesh.faces].min(1))
        if (least == part).all():
            return part
        part = least


def volume(vertices, faces):
    a, b, c = (vertices[corners].astype(float) for corners in faces.T)
    return (a * np.cross(b, c)).sum() / 6


# --- the files ----------------------------------------------------------------------------


def test_the_files_are_what_the_script_writes(tmp_path):
    command = [sys.executable, "-m", "metasim_blender.modelling", str(tmp_path / "made")]
    subprocess.run(command, check=True, cwd=FOLDER.parents[1])
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert made == {path.name: path.read_bytes() for path in FOLDER.glob("*.ply")}


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "metasim_blender.modelling", str(tmp_path / "file")]
    done = subprocess.run(command, cwd=FOLDER.parents[1], capture_output=True, text=True)
    assert done.returncode == 2
    assert "must be one that can be written to" in done.stderr
    assert "Traceback" not in done.stderr


def test_at_least_eight_models_are_there_and_told_of():
    assert sorted(MODELS) == NAMES
    assert len(NAMES) >= 8
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in told] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_small_stands_on_the_ground_and_is_as_large_as_a_toy(name):
    assert (FOLDER / f"{name}.ply").stat().st_size <= 60_000
    mesh = read_ply(FOLDER / f"{name}.ply")
    assert 1000 <= len(mesh.faces) <= 3000
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert low[2] == 0
    assert 250 <= (high - low)[:2].max() <= 320
    assert np.abs([low[:2], high[:2]]).max() < 200, "the origin is below it"
    assert len(np.unique(mesh.colours, axis=0)) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_each_part_of_a_model_is_closed_and_its_faces_look_outward(name):
    mesh = read_ply(FOLDER / f"{name}.ply")
    sides = np.concatenate([mesh.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    once, counts = np.unique(sides, axis=0, return_counts=True)
    assert (counts == 1).all()
    back = np.unique(sides[:, ::-1], axis=0)
    np.testing.assert_array_equal(once, back)
    a, b, c = (mesh.vertices[corners] for corners in mesh.faces.T)
    assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0.01).all(), "every face has an area"
    parts = parts_of(mesh)
    for part in np.unique(parts):
        faces = mesh.faces[parts[mesh.faces[:, 0]] == part]
        assert volume(mesh.vertices, faces) > 0


# --- yaw ----------------------------------------------------------------------------------


def vase():
    profile = [(0, 0), (60, 0), (100, 80), (50, 150), (70, 200), (0, 190)]
    return assemble([(lathe(profile, 48), "#2244aa")])


def brick():
    """Alike after half a turn."""
    return assemble([(box(300, 120, 80, 5), "#b04030")])


def cross():
    """Alike after a quarter of a turn."""
    bars = [box(300, 60, 60, 5), box(60, 300, 62, 5)]
    return assemble([(bar, "#30a050") for bar in bars])


@pytest.mark.parametrize("name", NAMES)
def test_no_model_looks_alike_after_any_turn(name):
    found = asymmetry(read_ply(FOLDER / f"{name}.ply"), step=15.0)
    assert found.apart > 0.12
    assert found.false_basin > 0.15


@pytest.mark.parametrize("make", [vase, brick, cross])
def test_what_is_symmetric_looks_alike_after_a_turn(make):
    found = asymmetry(make(), step=15.0)
    assert found.apart < 0.02
    assert found.false_basin < 0.02


def test_views_show_the_model_where_and_as_large_as_it_is():
    yaws = np.array([0.0, 90.0])
    side, ahead = views(assemble([(box(250, 62.5, 2, 0.5), "#ff0000")]), yaws)
    cover = side[..., 3]
    # Pixels are 15.625 mm; from 45 degrees above the depth shrinks by the square root of 2.
    assert cover.max() == 1
    assert cover.sum(1).max() == pytest.approx(16, abs=0.6)
    assert cover.sum(0).max() == pytest.approx(4 / np.sqrt(2), abs=0.6)
    assert ahead[..., 3].sum(1).max() == pytest.approx(4, abs=0.6)
    assert ahead[..., 3].sum(0).max() == pytest.approx(16 / np.sqrt(2), abs=0.6)
    rows, columns = (cover.sum(axis) @ (np.arange(64) + 0.5) / cover.sum() for axis in (1, 0))
    assert (rows, columns) == pytest.approx((32, 32), abs=0.3)
    np.testing.assert_allclose(side[..., 0], cover, atol=1e-5)
    assert side[..., 1:3].max() == 0


def test_what_lies_beyond_the_image_is_not_shown():
    mesh = assemble([(box(3000, 30, 20, 2), "#ff0000")])
    (along,) = views(replace(mesh, colours=None), np.array([0.0]))
    assert along[..., 3].sum(1).max() == pytest.approx(64, abs=0.1)
    np.testing.assert_allclose(along[..., 1], along[..., 3], atol=1e-5)


def test_views_hide_what_is_behind():
    wall = box(10, 200, 200, 2).moved(-60, 0, 100)
    block = box(60, 100, 60, 2).moved(40, 0, 30)
    hidden, seen = views(assemble([(wall, "#0000ff"), (block, "#ff0000")]), np.array([90.0, -90.0]))
    assert hidden[..., 0].sum() < 0.6 * seen[..., 0].sum()


def test_a_model_turned_is_seen_as_from_another_yaw():
    mesh = MODELS["car"]()
    once = views(mesh, np.array([0.0, 90.0, 360.0]))
    apart = differences(once)
    assert apart[0, 2] < 0.01 < 0.2 < apart[0, 1] < 1
    np.testing.assert_allclose(apart, apart.T, atol=1e-6)


# --- what they are made of ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (sphere(50, 48, 48), 4 / 3 * np.pi * 50**3),
        (cylinder(40, 100, 64), np.pi * 40**2 * 100),
        (lathe([(0, 0), (30, 0), (0, 90)], 64), np.pi * 30**2 * 30),
        (capsule(20, 120, 64), np.pi * 20**2 * 80 + 4 / 3 * np.pi * 20**3),
        (box(30, 40, 50, 1), 30 * 40 * 50),
        (extrude(rounded_rectangle(60, 40, 5, 6), 20, 0.5), (60 * 40 - (4 - np.pi) * 25) * 20),
        (revolve(TUBE, 0, 360, 48), 2 * np.pi**2 * 60 * 10**2),
        (revolve(TUBE, 0, 90, 24), 2 * np.pi**2 * 60 * 10**2 / 4),
        (badge(circle(30, 64), 4), np.pi * 30**2 * 8),
        (sweep([(0, 0, 0), (0, 50, 50), (0, 100, 100)], circle(10, 64), up=(1, 0, 0)), 44429),
    ],
)
def test_solids_have_the_volume_of_what_they_are(solid, expected):
    assert solid.volume == pytest.approx(expected, rel=0.02)


def test_moving_turning_and_mirroring_keep_volume_and_outside():
    solid = box(30, 20, 10, 2).moved(5, 6, 7)
    moved = solid.turned("x", 30).turned("y", 40).turned("z", 50).moved(1, 2, 3)
    assert moved.volume == pytest.approx(solid.volume)
    assert solid.stretched(x=-1).volume == pytest.approx(solid.volume)
    assert solid.stretched(x=2).volume == pytest.approx(2 * solid.volume)
    np.testing.assert_allclose(
        box(30, 20, 10, 2).moved(x=100).turned("z", 90).vertices.mean(0), (0, 100, 0), atol=1e-9
    )


def test_a_model_stands_in_the_middle_of_what_touches_the_ground():
    leg = box(10, 10, 50, 1)
    top = box(200, 20, 10, 1).moved(70, 0, 30)
    mesh = assemble([(leg.moved(-20), "#000000"), (leg.moved(40, 10), "#ff0000"), (top, "#00ff7f")])
    assert mesh.vertices[:, 2].min() == 0
    feet = mesh.vertices[mesh.vertices[:, 2] < 0.5, :2]
    np.testing.assert_allclose(feet.min(0) + feet.max(0), 0, atol=0.02)
    assert mesh.vertices[:, 0].max() > 150
    np.testing.assert_array_equal(
        np.unique(mesh.colours, axis=0), [[0, 0, 0], [0, 255, 127], [255, 0, 0]]
    )
