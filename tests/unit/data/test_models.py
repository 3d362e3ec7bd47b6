"""Models as files, and what is measured on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import cdist

from metasim.data.diameter import diameter
from metasim.data.ply import to_ply, vertex_normals


def longest(points: np.ndarray) -> float:
    return float(cdist(points, points).max())


@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.just(3)),
        elements=st.floats(-100, 100, width=32),
    )
)
def test_the_diameter_is_the_largest_of_all_distances(points: np.ndarray) -> None:
    points = points.astype(np.float64)
    assert diameter(points) == pytest.approx(longest(points), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("flat", [0, 1, 2])
@pytest.mark.parametrize("round_", [False, True])
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_the_diameter_of_clouds_balls_discs_and_lines(
    monkeypatch: pytest.MonkeyPatch, flat: int, round_: bool, block: int
) -> None:
    monkeypatch.setattr("metasim.data.diameter._BLOCK", block)
    rng = np.random.default_rng(flat)
    for count in (2, 30, 300):
        points = rng.standard_normal((count, 3))
        points[:, 3 - flat :] = 0
        if round_:
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        turned, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        points = points @ turned + 5
        assert diameter(points) == pytest.approx(longest(points), rel=1e-12)


def test_normals_of_a_fine_ball_point_outwards_whatever_its_faces() -> None:
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 60), np.linspace(0, np.pi, 40))
    ball = np.stack(
        [np.cos(turn) * np.sin(rise), np.sin(turn) * np.sin(rise), np.cos(rise)], axis=-1
    )
    a = np.arange(39)[:, None] * 60 + np.arange(59)
    faces = np.concatenate(
        [np.stack([a, a + 60, a + 61], -1), np.stack([a, a + 61, a + 1], -1)]
    ).reshape(-1, 3)
    normals = vertex_normals(ball.reshape(-1, 3), faces.astype(np.int32))
    inner = (np.arange(2400) // 60 > 0) & (np.arange(2400) // 60 < 39)
    assert ((normals * ball.reshape(-1, 3)).sum(1)[inner] > 0.99).all()


def test_normals_of_a_cube_do_not_depend_on_how_its_sides_are_cut() -> None:
    corners = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))]
    normals = vertex_normals(corners, np.array(faces, np.int32))
    np.testing.assert_allclose(normals, corners / np.sqrt(3), atol=1e-12)


def test_what_has_no_area_has_no_normal() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], float)
    assert not vertex_normals(vertices, np.array([[0, 1, 2]], np.int32)).any()


def test_a_model_as_text() -> None:
    vertices = np.array([[0, 0, 0], [0.1, 0, 0], [0, -2.5, 0]], np.float32)
    assert to_ply(vertices, np.array([[0, 2, 1]], np.int32)).decode().splitlines() == [
        *("ply", "format ascii 1.0", "element vertex 3"),
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *("element face 1", "property list uchar int vertex_indices", "end_header"),
        "0.0 0.0 0.0 0.0 0.0 1.0",
        "0.10000000149011612 0.0 0.0 0.0 0.0 1.0",
        "0.0 -2.5 0.0 0.0 0.0 1.0",
        "3 0 2 1",
    ]
