"""Polygons as triangles: the area and the outside stay, whatever the shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasim_blender.polygon import triangles

ELL = np.array([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], float)
PLANES = {  # (3, 2): two axes of each, right-handed with its normal
    "flat": [(1, 0), (0, 1), (0, 0)],
    "upright": [(0, 0), (1, 0), (0, 1)],
    "aslant": [(0.6, 0.64), (0.8, -0.48), (0, 0.6)],
}


def cut(*polygons):
    """The corners' places (F, 3) of polygons with their own vertices."""
    lengths = np.array([len(each) for each in polygons])
    return triangles(np.concatenate(polygons), np.arange(lengths.sum()), lengths)


def halves(points, found):
    """(F, 3): normals as long as the triangles' areas."""
    a, b, c = np.moveaxis(points[found], 1, 0)
    return np.cross(b - a, c - a) / 2


def fan(length, start=0):
    return [[start, start + i, start + i + 1] for i in range(1, length - 1)]


def upright(flat):
    return np.column_stack([flat, np.zeros(len(flat))])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("step", [1, -1])
def test_a_concave_polygon_keeps_its_area_and_its_outside(plane, first, step):
    axes = np.array(PLANES[plane], float)
    points = np.roll(ELL, -first, axis=0)[::step] @ axes.T + (3, -5, 700)
    normals = halves(points, cut(points))
    outside = step * np.cross(*axes.T)
    assert len(normals) == 4
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1).sum(), 3)
    assert (normals @ outside > 0.1).all()


@given(
    st.integers(4, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.floats(0.05, 1), min_size=n, max_size=n), st.floats(0, 6), st.booleans()
        )
    )
)
def test_a_star_has_the_area_of_the_shoelace(drawn):
    radii, turn, back = drawn
    angles = turn + 2 * np.pi * np.arange(len(radii)) / len(radii)
    points = upright(np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None])
    points = points[::-1] if back else points
    x, y, _ = points.T
    shoelace = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    areas = halves(points, cut(points))[:, 2]
    assert len(areas) == len(points) - 2
    np.testing.assert_allclose(areas.sum(), shoelace)
    np.testing.assert_allclose(np.abs(areas).sum(), abs(shoelace), rtol=1e-4)


def test_triangles_and_convex_polygons_are_fans():
    angles = 2 * np.pi * np.arange(11) / 11
    round_ = np.stack([np.cos(angles), np.sin(angles), 0.3 * np.cos(angles)], axis=1)
    square = upright([(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (0, 2)])  # with corners on its sides
    bent = np.array([(0, 0, 0), (1, 0, 0.3), (1, 1, 0), (0, 1, 0.3)])
    for points in (bent[1:], round_, 1e-150 * round_, square, bent, 1e5 + square):
        assert cut(points).tolist() == fan(len(points))


def test_polygons_of_several_lengths_keep_their_order():
    ell = upright(np.roll(ELL, -5, axis=0))
    found = cut(ell[:3], ell, upright([(0, 0), (1, 0), (1, 1), (0, 1)]), ell)
    assert found[:1].tolist() == fan(3)
    assert found[5:7].tolist() == fan(4, 9)
    assert (found[7:] - 13 == found[1:5] - 3).all()
    assert sorted({*found[1:5].ravel()}) == list(range(3, 9))


def test_corners_may_be_named_in_any_order_and_more_than_once():
    points = upright(ELL)
    found = triangles(points, np.array([5, 0, 1, 2, 3, 4, 1, 2, 3]), np.array([6, 3]))
    assert found[4:].tolist() == [[6, 7, 8]]
    named = np.array([5, 0, 1, 2, 3, 4])[found[:4]]
    assert (halves(points, named)[:, 2] > 0.1).all()


@pytest.mark.parametrize("first", range(10))
def test_a_slit_may_lead_to_a_hole(first):
    outer, inner = (
        [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)],
        [(1, 1), (1, 3), (3, 3), (3, 1), (1, 1)],
    )
    points = np.roll(upright(outer + inner), first, axis=0)
    areas = halves(points, cut(points))[:, 2]
    assert (areas >= 0).all()
    assert areas.sum() == 16 - 4


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 3)),  # a point
        upright([(0, 0), (1, 0), (2, 0), (1, 0), (3, 0)]),  # a line
        np.full((5, 3), np.nan),
    ],
)
def test_what_has_no_area_is_a_fan(points):
    assert cut(points).tolist() == fan(5)


def test_what_crosses_itself_becomes_as_many_triangles():
    rng = np.random.default_rng(0)
    for length in (4, 5, 30):
        points = rng.normal(size=(length, 3))
        found = cut(points)
        assert found.shape == (length - 2, 3)
        assert {*found.ravel()} == {*range(length)}
