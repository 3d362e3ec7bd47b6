"""The digit renderer: conventions, labels, determinism and refusals."""

from types import MappingProxyType

import numpy as np
import pytest

from metasim.config import renderer_spec
from metasim.errors import ConfigError, DataError, PluginError
from metasim.scene import Attributes, Node, Scene, SceneGrammar
from metasim.testing import RendererContract
from metasim_mnist import MnistRenderer
from metasim_mnist.noise import normals, uniforms

MIDDLE = {"class": 2, "glyph": 0.3}


class TestContract(RendererContract):
    renderer = MnistRenderer


class TestContractOnAnOddImage(RendererContract):
    renderer = MnistRenderer
    options = MappingProxyType({"image_size": [24, 37], "split": "target"})
    seed = 1


@pytest.fixture(scope="module")
def renderer():
    return MnistRenderer()


@pytest.fixture(scope="module")
def wide():
    return MnistRenderer(image_size=(64, 80))


def scene(*digits, seed=0, **ground):
    nodes = [Node("digit", "digit", Attributes(d), 0) for d in digits]
    return Scene((Node("scene", "scene", Attributes(ground)), *nodes), seed)


def grey(renderer, *scenes):
    return renderer.render(scenes).images[..., 0].astype(float)


def centroid(image):
    weight = image / image.sum()
    rows, columns = np.indices(image.shape) + 0.5
    return (weight * columns).sum(), (weight * rows).sum()


# --- conventions --------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_yaw_is_counter_clockwise_as_seen(renderer, turns):
    upright, turned = grey(renderer, scene(MIDDLE), scene({**MIDDLE, "yaw": 90.0 * turns}))
    np.testing.assert_allclose(turned, np.rot90(upright, turns), atol=1)
    assert np.abs(turned - np.rot90(upright, turns + 1)).max() > 100


def test_yaw_wraps(renderer):
    a, b, c = grey(renderer, *(scene({**MIDDLE, "yaw": v}) for v in (30.0, 390.0, -330.0)))
    np.testing.assert_allclose(a, b, atol=1)
    np.testing.assert_allclose(a, c, atol=1)


def test_the_centre_is_in_pixels_with_y_down(wide):
    at_default, placed = grey(wide, scene(MIDDLE), scene({**MIDDLE, "x": 20.0, "y": 45.0}))
    assert centroid(at_default) == pytest.approx((40, 32), abs=0.2)
    assert centroid(placed) == pytest.approx((20, 45), abs=0.2)


def test_a_fraction_of_a_pixel_moves_the_digit_by_that_much(wide):
    images = grey(wide, *(scene({**MIDDLE, "x": 30 + s, "y": 30 - s}) for s in (0.0, 0.25, 0.5)))
    where = np.array([centroid(image) for image in images])
    np.testing.assert_allclose(where - where[0], [[0, 0], [0.25, -0.25], [0.5, -0.5]], atol=0.02)


def test_pixel_centres_lie_at_halves(renderer):
    # A glyph in the middle of an even image is symmetric about the boundary at 16: moved to
    # a pixel's centre it keeps its pixels' relations to their neighbours.
    a, b = grey(renderer, scene({**MIDDLE, "x": 16.0}), scene({**MIDDLE, "x": 17.0}))
    np.testing.assert_array_equal(a[:, :-1], b[:, 1:])


def test_a_glyph_at_scale_one_is_drawn_pixel_for_pixel(renderer):
    glyphs = renderer.glyphs
    row = glyphs.exemplar(np.array([2]), np.array([0.3]))[0]
    (image,) = grey(renderer, scene(MIDDLE))
    np.testing.assert_array_equal(image[2:30, 2:30], glyphs.images[row])
    assert image.sum() == glyphs.images[row].sum()


def test_scale_grows_area_by_its_square(wide):
    one, double = grey(wide, scene(MIDDLE), scene({**MIDDLE, "scale": 2.0}))
    assert double.sum() / one.sum() == pytest.approx(4, rel=0.02)
    assert centroid(double) == pytest.approx(centroid(one), abs=0.6)


def test_positive_shear_leans_the_top_to_the_right(renderer):
    upright, leaning = grey(renderer, scene(MIDDLE), scene({**MIDDLE, "shear": 0.4}))
    for rows, sign in ((slice(0, 13), 1), (slice(19, 32), -1)):
        moved = centroid(leaning[rows])[0] - centroid(upright[rows])[0]
        assert moved * sign > 1


def test_level_intensity_and_blending(renderer):
    drawn = grey(renderer, scene({**MIDDLE, "intensity": 0.2}, level=0.8))[0]
    plain = grey(renderer, scene(MIDDLE))[0]
    np.testing.assert_allclose(drawn, 204 + plain / 255 * (51 - 204), atol=1)


def test_values_beyond_white_and_black_are_clipped_not_wrapped(renderer):
    drawn = grey(renderer, scene({**MIDDLE, "intensity": 1.5}, level=-0.5))[0]
    assert drawn[0, 0] == 0
    assert drawn.max() == 255


def test_noise_has_the_deviation_asked_for_and_follows_the_seed(wide):
    a, b, c = grey(wide, *(scene(seed=s, level=0.5, noise=0.1) for s in (1, 2, 1)))
    assert a.std() / 255 == pytest.approx(0.1, rel=0.03)
    assert a.mean() / 255 == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(a, c)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(a[:, 1:].ravel(), a[:, :-1].ravel())[0, 1]) < 0.06


def test_noise_numbers_are_nearly_normal_and_seeds_near_each_other_independent():
    drawn = normals(np.arange(64, dtype=np.uint64), 2000)
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(1, abs=0.01)
    assert np.abs(np.corrcoef(drawn) - np.eye(64)).max() < 0.12
    shares = uniforms(np.zeros(4000, np.uint64), np.arange(4000, dtype=np.uint64))
    np.testing.assert_allclose(np.histogram(shares, 10, (0, 1))[0], 400, atol=80)


# --- what follows from the seed -----------------------------------------------------------


def test_class_and_glyph_follow_from_seed_and_node_where_absent(renderer):
    done = renderer.render([scene({}, {}, seed=s) for s in range(300)])
    first = [labels[0].category for labels in done.labels]
    assert set(first) == set("0123456789")
    assert [labels[1].category for labels in done.labels] != first
    again = renderer.render([scene({}, {}, seed=s) for s in range(300)])
    assert again.labels == done.labels
    same_class = grey(renderer, *(scene({"class": 3}, seed=s) for s in range(20)))
    assert len({image.tobytes() for image in same_class}) > 10


def test_glyph_walks_through_the_exemplars_of_the_class(renderer):
    count = renderer.glyphs.counts[4]
    images = grey(
        renderer, *(scene({"class": 4, "glyph": (i + 0.5) / count}) for i in range(count))
    )
    start = renderer.glyphs.starts[4]
    np.testing.assert_array_equal(
        images[:, 2:30, 2:30], renderer.glyphs.images[start : start + count]
    )
    last, beyond = grey(
        renderer, scene({"class": 4, "glyph": 0.9999}), scene({"class": 4, "glyph": 1.0})
    )
    np.testing.assert_array_equal(last, beyond)


def test_class_may_be_written_as_number_or_name(renderer):
    images = grey(renderer, *(scene({**MIDDLE, "class": c}) for c in (7, "7", 7.0)))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


# --- labels -------------------------------------------------------------------------------


def test_one_digit_in_the_middle(renderer):
    done = renderer.render([scene(MIDDLE)])
    (label,) = done.labels[0]
    assert (label.instance, label.node, label.name, label.kind, label.category) == (
        1, 1, "digit", "digit", "2",
    )  # fmt: skip
    assert label.visible == 1.0
    np.testing.assert_array_equal(done.instances[0] == 1, done.images[0, ..., 0] > 0.25 * 255)


@pytest.mark.parametrize("x", [0.0, -5.3, 2.5, 63.0, 80.0, 81.7, 85.0, 40.0])
@pytest.mark.parametrize("y", [0.0, 30.0, 66.2])
def test_labels_of_digits_partly_outside_match_a_larger_image(wide, x, y):
    digit = {**MIDDLE, "yaw": 33.0, "scale": 1.3, "x": x, "y": y}
    done = wide.render([scene(digit)])
    (label,) = done.labels[0]
    whole = MnistRenderer(image_size=(164, 180)).render(
        [scene({**digit, "x": x + 50, "y": y + 50})]
    )
    inside = whole.instances[0, 50:114, 50:130]
    np.testing.assert_array_equal(done.instances[0], inside)
    assert label.visible == pytest.approx(inside.sum() / whole.instances.sum())
    rows, columns = np.nonzero(inside)
    expected = (
        (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else (0,) * 4
    )
    assert label.box == expected


@pytest.mark.parametrize("place", [{"x": -40.0}, {"y": 1e6}, {"x": 1e30, "y": -1e30}, {"x": 97.0}])
def test_a_digit_wholly_outside_is_labelled_unseen(wide, place):
    done = wide.render([scene({**MIDDLE, **place}), scene(MIDDLE)])
    (label,) = done.labels[0]
    assert (label.box, label.visible) == ((0, 0, 0, 0), 0.0)
    assert not done.images[0].any()
    assert done.labels[1][0].visible == 1.0


def test_later_digits_lie_in_front_and_hide_pixels(renderer):
    behind, front = {**MIDDLE, "class": 0, "intensity": 0.5}, {**MIDDLE, "class": 8}
    alone = renderer.render([scene(behind), scene(front)])
    both = renderer.render([scene(behind, front)])
    own, hiding = alone.instances[0] == 1, alone.instances[1] == 1
    np.testing.assert_array_equal(both.instances[0], np.where(hiding, 2, own.astype(int)))
    first, second = both.labels[0]
    assert first.visible == pytest.approx((own & ~hiding).sum() / own.sum())
    assert 0 < first.visible < 1
    assert second.visible == 1.0
    cover = alone.images[1, ..., 0] / 255
    expected = alone.images[0, ..., 0] * (1 - cover) + 255 * cover
    np.testing.assert_allclose(both.images[0, ..., 0], expected, atol=1.5)


def test_scenes_with_no_one_and_many_digits_in_one_batch(renderer):
    many = [{"x": 4.0 * i, "y": 16.0, "scale": 0.3} for i in range(9)]
    scenes = [scene(), scene(MIDDLE), scene(*many), scene(level=1.0)]
    done = renderer.render(scenes)
    assert [len(labels) for labels in done.labels] == [0, 1, 9, 0]
    assert [label.node for label in done.labels[2]] == list(range(1, 10))
    for row, one in enumerate(scenes):
        np.testing.assert_array_equal(renderer.render([one]).images[0], done.images[row])
    assert (done.images[3] == 255).all()


def test_big_batches_are_drawn_in_parts_without_a_seam(renderer):
    grammar = SceneGrammar.model_validate(MnistRenderer.example)
    rng = np.random.default_rng(5)
    scenes = [grammar.sample(rng) for _ in range(300)]
    whole = renderer.render(scenes)
    for start in range(0, 300, 75):
        part = renderer.render(scenes[start : start + 75])
        np.testing.assert_array_equal(part.images, whole.images[start : start + 75])
        np.testing.assert_array_equal(part.instances, whole.instances[start : start + 75])
        assert part.labels == whole.labels[start : start + 75]


def test_one_huge_digit_does_not_change_its_neighbours(renderer):
    small = [scene({**MIDDLE, "yaw": 20.0 * i}) for i in range(4)]
    alone = renderer.render(small)
    beside = renderer.render([*small, scene({**MIDDLE, "scale": 9.0})])
    np.testing.assert_array_equal(beside.images[:4], alone.images)
    assert beside.labels[:4] == alone.labels


def test_a_scale_of_zero_draws_nothing_to_speak_of(renderer):
    done = renderer.render([scene({**MIDDLE, "scale": 0.0})])
    assert np.count_nonzero(done.images[..., 0]) <= 1


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digit", "said"),
    [
        ({"class": 11}, "one of 0, 1, 2"),
        ({"class": "seven"}, "'seven'"),
        ({"x": float("nan")}, "'x' must be a finite number"),
        ({"yaw": float("inf")}, "'yaw' must be a finite number"),
        ({"scale": -1.0}, "'scale' must lie between 0 and 64"),
        ({"scale": 1000.0}, "'scale' must lie"),
        ({"y": "top"}, "'y' must be a number, got 'top'"),
    ],
)
def test_what_cannot_be_drawn_is_named(renderer, digit, said):
    with pytest.raises(DataError, match=said):
        renderer.render([scene(MIDDLE), scene(digit)])


def test_an_unknown_kind_is_named(renderer):
    with pytest.raises(DataError, match="'cube'"):
        renderer.render(
            [Scene((Node("scene", "scene", Attributes()), Node("c", "cube", Attributes(), 0)))]
        )


@pytest.mark.parametrize("size", [[32], [0, 32], [32.5, 32], [32, 32, 3], [10000, 32], ["a", 3]])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(PluginError, match="image_size must be"):
        MnistRenderer(image_size=size)
    with pytest.raises(ConfigError, match="image_size"):  # before anything is built
        renderer_spec("mnist", [f"image_size={size}"])
