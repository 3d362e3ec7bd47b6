"""The pixels of meshes, against rays."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from metasim.render.geometry import Camera
from metasim_blender.labels import see
from metasim_blender.silhouette import NEAR, Silhouette, draw_silhouette
from metasim_blender.view import rotation

CAMERA = Camera(60.0, 60.0, 16.0, 12.0)
SIZE = (24, 32)


def cast(points, faces, camera=CAMERA, size=SIZE, beyond=0):
    """Depth by intersecting each pixel's ray with each triangle; infinity where there is none."""
    height, width = size
    rows, columns = np.mgrid[-beyond : height + beyond, -beyond : width + beyond] + 0.5
    rays = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones_like(rows)], -1
    )
    depth = np.full(rows.shape, np.inf)
    for a, b, c in points[faces]:
        # ray t = a + u (b - a) + v (c - a)
        normal = np.cross(b - a, c - a)
        slope = rays @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (a @ normal) / slope
            hit = t[..., None] * rays - a
            uv = hit @ np.linalg.pinv(np.stack([b - a, c - a])) if np.linalg.norm(normal) else None
        if uv is not None:
            inside = (uv >= -1e-9).all(-1) & (uv.sum(-1) <= 1 + 1e-9) & (t > NEAR)
            depth = np.where(inside, np.minimum(depth, t), depth)
    return depth


@pytest.mark.parametrize("seed", range(12))
def test_pixels_and_depths_are_those_of_rays(box, seed):
    vertices, faces = box
    rng = np.random.default_rng(seed)
    points = vertices @ rotation(*rng.uniform(0, 360, 3)).T + [*rng.uniform(-0.1, 0.1, 2), 0.7]
    found, expected = draw_silhouette(points, faces.T, CAMERA, SIZE), cast(points, faces)
    assert (np.isfinite(found.depth) == np.isfinite(expected)).all()
    seen = np.isfinite(expected)
    np.testing.assert_allclose(found.depth[seen], expected[seen], rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_pixels_beyond_the_image_count_too(box, seed):
    vertices, faces = box
    rng = np.random.default_rng(seed)
    points = vertices @ rotation(*rng.uniform(0, 360, 3)).T + [*rng.uniform(-0.4, 0.4, 2), 0.8]
    found = draw_silhouette(points, faces.T, CAMERA, SIZE)
    whole = np.isfinite(cast(points, faces, beyond=40))
    rows, columns = np.nonzero(whole)
    assert found.area == whole.sum()
    assert found.box == (
        columns.min() - 40,
        rows.min() - 40,
        columns.max() - 39,
        rows.max() - 39,
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_reaches_behind_the_camera_is_cut(box, seed):
    vertices, faces = box
    rng = np.random.default_rng(seed)
    turn = rotation(*rng.uniform(0, 360, 3))
    points = vertices @ turn.T + [*rng.uniform(-0.05, 0.05, 2), rng.uniform(-0.05, 0.1)]
    assert points[:, 2].min() < NEAR
    found, expected = draw_silhouette(points, faces.T, CAMERA, SIZE), cast(points, faces)
    assert (np.isfinite(found.depth) == np.isfinite(expected)).all()
    most = 9 * SIZE[0] * 9 * SIZE[1]
    assert np.isfinite(found.depth).sum() <= found.area <= most


def test_behind_the_camera_there_is_nothing(box):
    vertices, faces = box
    found = draw_silhouette(vertices - [0, 0, 2], faces.T, CAMERA, SIZE)
    assert (found.area, found.box) == (0, (0, 0, 0, 0))
    assert np.isinf(found.depth).all()


def test_what_it_takes_to_count_pixels_follows_from_the_spans_alone():
    """A large triangle around the camera, whose pixels are counted far beyond a large image."""
    points = np.array([[-9.0, -9.0, 1.0], [9.0, -9.0, 1.0], [0.0, 9.0, 1.0]])
    side = 1024
    camera = Camera(side, side, side / 2, side / 2)
    tracemalloc.start()
    found = draw_silhouette(points, np.array([[0], [1], [2]], np.int32), camera, (side, side))
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.box == (-4 * side, -4 * side, 5 * side, 5 * side)
    assert found.area > 60 * side**2
    assert taken < 250 * side**2, "bytes: some numbers for each pixel of the image"


def test_neighbouring_triangles_leave_no_gap_and_count_once():
    """A square of many triangles, with edges right through pixels' centres."""
    grid = np.linspace(-0.1, 0.1, 9)
    points = np.array([(x, y, 0.6) for y in grid for x in grid])
    quads = [(i * 9 + j, i * 9 + j + 1, i * 9 + j + 10, i * 9 + j + 9)
             for i in range(8) for j in range(8)]  # fmt: skip
    faces = np.array([h for a, b, c, d in quads for h in ((a, b, c), (a, c, d))], np.int32)
    found = draw_silhouette(points, faces.T, Camera(60.0, 60.0, 16.5, 12.5), SIZE)
    assert found.area == 21 * 21
    assert found.box == (6, 2, 27, 23)
    np.testing.assert_allclose(found.depth[2:23, 6:27], 0.6)


def test_triangles_without_area_do_no_harm():
    points = np.array([[0, 0, 1.0], [0.1, 0.1, 1.0], [0.05, 0.05, 1.0], [0, 0, 1.0]])
    faces = np.array([[0, 1, 2], [0, 3, 0]], np.int32)
    found = draw_silhouette(points, faces.T, CAMERA, SIZE)
    assert not np.isnan(found.depth).any()
    assert found.area <= 8


# --- what labels make of it ---------------------------------------------------------------


FOCAL = 60.0


def square(x0, y0, x1, y1, depth=1.0):
    """A silhouette of a rectangle, of which part may lie beyond an image of 8 x 8."""
    plane = np.full((8, 8), np.inf)
    plane[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = depth
    return Silhouette((x1 - x0) * (y1 - y0), (x0, y0, x1, y1), plane)


def planes(*drawn):
    """Ids and depths of (id, x0, y0, x1, y1, depth), the later ones before the earlier."""
    ids, depth = np.zeros((8, 8), np.int32), np.zeros((8, 8), np.float32)
    for number, x0, y0, x1, y1, metres in drawn:
        ids[y0:y1, x0:x1], depth[y0:y1, x0:x1] = number, metres
    return ids, depth


def test_alone_and_whole_all_is_visible():
    seen = see(1, square(2, 1, 6, 5), *planes((1, 2, 1, 6, 5, 1.0)), FOCAL)
    assert (seen.box, seen.full_box, seen.visible) == ((2, 1, 6, 5), (2, 1, 6, 5), 1.0)


def test_what_is_behind_another_is_not_visible():
    ids, depth = planes((1, 2, 1, 6, 5, 1.0), (2, 4, 0, 8, 8, 0.5))
    seen = see(1, square(2, 1, 6, 5), ids, depth, FOCAL)
    assert (seen.box, seen.full_box, seen.visible) == ((2, 1, 4, 5), (2, 1, 6, 5), 0.5)


def test_what_is_beyond_the_edge_is_not_visible():
    seen = see(1, square(-4, 0, 4, 8), *planes((1, 0, 0, 4, 8, 1.0)), FOCAL)
    assert (seen.box, seen.full_box, seen.visible) == ((0, 0, 4, 8), (-4, 0, 4, 8), 0.5)


@pytest.mark.parametrize("gap", [1e-3, 2e-4])
def test_what_lies_close_upon_it_hides_it(gap):
    """Something thin that touches it is hardly nearer than it is."""
    ids, depth = planes((1, 1, 1, 7, 5, 1.0), (2, 4, 0, 8, 8, 1.0 - gap))
    seen = see(1, square(1, 1, 7, 5), ids, depth, 600.0)
    assert (seen.box, seen.full_box, seen.visible) == ((1, 1, 4, 5), (1, 1, 7, 5), 0.5)
    ids, depth = planes((1, 1, 1, 7, 7, 1.0), (2, 3, 3, 5, 5, 1.0 - 1e-7))
    seen = see(1, square(1, 1, 7, 7), ids, depth, FOCAL)
    assert seen.visible == 32 / 36, "within it there is no edge that it could end at"


@pytest.mark.parametrize("behind", [0.0, 2.0])
def test_where_nothing_is_before_it_the_rendered_pixels_count(behind):
    """At a pixel that an edge all but touches either of the two may be right."""
    ids, depth = planes((2, 0, 0, 8, 8, behind), (1, 2, 1, 6, 5, 1.0))
    ids[1, 2], depth[1, 2] = 2 if behind else 0, behind
    seen = see(1, square(2, 1, 6, 5), ids, depth, FOCAL)
    assert (seen.full_box, seen.visible) == ((2, 1, 6, 5), 1.0)
    ids[1:5, 2], depth[1:5, 2] = 2 if behind else 0, behind
    ids[1:5, 6], depth[1:5, 6] = 1, 1.0
    seen = see(1, square(2, 1, 6, 5), ids, depth, FOCAL)
    assert (seen.box, seen.full_box, seen.visible) == ((3, 1, 7, 5), (3, 1, 7, 5), 1.0)


def test_nothing_seen_is_an_empty_box():
    seen = see(1, square(10, 1, 14, 5), *planes(), FOCAL)
    assert (seen.box, seen.full_box, seen.visible) == ((0, 0, 0, 0), (10, 1, 14, 5), 0.0)
