"""Figures: right pixels in the right place, any number of attributes, equal bytes."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from metasim.report import canvas
from metasim.report.attributes import Attribute, apart, correlated, read_attributes
from metasim.report.curve import mmd_curve
from metasim.report.grids import comparison, image_grid, save_grid
from metasim.report.shares import attribute_distributions
from metasim.report.tracks import attribute_tracks
from metasim.rng import stream
from metasim.runs import RunDir


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def of_colour(png: bytes, colour: str, tolerance: int = 30) -> np.ndarray:
    """Where a figure has a colour, as a boolean image."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels(png) - rgb).max(axis=2) <= tolerance


def line(epoch: int, **more: Any) -> dict[str, Any]:
    return {
        "step": 10 * epoch,
        "epoch": epoch,
        "attempt": 0,
        "renders": 1000 * (epoch + 1),
        "discrepancy": 0.5 * 0.7**epoch - 0.001,
        "p_value": None if epoch % 2 else min(1.0, 0.002 * 2**epoch),
        "attributes": {"digit.yaw": {"mean": 90.0, "std": 3.0}},
        **more,
    }


def attribute(**more: Any) -> dict[str, Any]:
    rng = stream(0, "test")
    return {
        "unit": "px",
        "periodic": False,
        "low": 0.0,
        "high": 64.0,
        "prior": rng.normal(32, 5, 200).tolist(),
        "learned": rng.normal(16, 1, 200).tolist(),
        "target": [16.0] * 200,
        **more,
    }


# --- the curve ----------------------------------------------------------------------------


def test_the_curve_falls() -> None:
    blue = of_colour(mmd_curve([line(i, p_value=None) for i in range(12)]), canvas.LEARNED)
    columns = np.flatnonzero(blue.any(axis=0))
    heights = [np.flatnonzero(blue[:, c]).mean() for c in columns]
    assert heights[-1] - heights[0] > 100  # downwards in pixels
    assert np.all(np.diff(heights) > -3)


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.2, 0.01, -0.002],
        [0.5, 0.4, 0.39],
        [-0.001, -0.002],
        [0.0, 0.0],
        [1e-9, 1.0],
        [None, 0.3],
        [None],
        [5e4, 1e-3, -1e-3],
    ],
)
def test_any_discrepancies_are_drawn(values: list[float | None]) -> None:
    metrics = [line(i, discrepancy=v, p_value=None) for i, v in enumerate(values)]
    drawn = of_colour(mmd_curve(metrics), canvas.LEARNED).any()
    assert drawn == any(v is not None for v in values)


def test_the_p_value_has_a_panel_where_there_is_one() -> None:
    without = [line(i, p_value=None) for i in range(4)]
    with_p = [line(i) for i in range(4)]
    assert len(pixels(mmd_curve(with_p))) > len(pixels(mmd_curve(without)))
    accurate = [line(i, task_accuracy=0.9) for i in range(4)]
    assert len(pixels(mmd_curve(accurate))) > len(pixels(mmd_curve(with_p)))


def test_the_threshold_moves_its_line() -> None:
    def height(threshold: float) -> float:
        png = mmd_curve([line(i) for i in range(4)], p_threshold=threshold)
        return float(np.median(np.nonzero(of_colour(png, canvas.TARGET))[0]))

    assert height(0.2) < height(0.05)


def test_the_level_before_learning_is_marked() -> None:
    metrics = [line(i, p_value=None) for i in range(4)]
    before = of_colour(mmd_curve(metrics, {"discrepancy_prior": 0.6}), canvas.BEFORE, 10)
    assert before.sum() > 100 + of_colour(mmd_curve(metrics), canvas.BEFORE, 10).sum()


def test_restarts_are_marked_and_break_the_line() -> None:
    metrics = [line(i, p_value=None, attempt=int(i >= 3), discrepancy=0.3) for i in range(6)]
    blue = of_colour(mmd_curve(metrics), canvas.LEARNED)
    whole = of_colour(mmd_curve([{**m, "attempt": 0} for m in metrics]), canvas.LEARNED)
    assert np.count_nonzero(~blue.any(axis=0) & whole.any(axis=0)) > 50


# --- distributions ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_distributions_have_a_panel_for_each_attribute(count: int) -> None:
    evaluation = {"attributes": {f"node{i}.x": attribute() for i in range(count)}}
    png = attribute_distributions(evaluation)
    # Every panel has one target spike: as many orange runs as panels, all pages together.
    orange = of_colour(png, canvas.TARGET)
    rows = -(-count // (count if count <= 2 else 3 if count <= 9 else 4))
    tops = np.flatnonzero(np.diff(orange.any(axis=1).astype(int)) == 1)
    assert len(tops) == rows + 1  # and the legend


def test_an_angle_is_shown_once_around() -> None:
    """Values on both sides of 0 appear at both ends; the target at a quarter is there."""
    yaw = attribute(
        unit="deg",
        periodic=True,
        high=360.0,
        prior=[-1.0, 1.0, 359.0, 2.0],
        learned=[90.0] * 4,
        target=[90.0] * 4,
    )
    png = attribute_distributions({"attributes": {"digit.yaw": yaw}})
    below_legend = slice(80, None)
    fill = "#d2d5db"  # what the prior's colour looks like, translucent on white
    prior = np.flatnonzero(of_colour(png, fill, 3)[below_legend].sum(axis=0) > 10)
    target = np.flatnonzero(of_colour(png, canvas.TARGET)[below_legend].any(axis=0))
    left, right = prior.min(), prior.max()
    assert right - left > 300
    assert (target.mean() - left) / (right - left) == pytest.approx(95 / 360, abs=0.02)


def test_a_point_far_from_a_wide_prior_is_within_the_figure() -> None:
    one = attribute(prior=[1.0, 2.0, 3.0], learned=[60.0] * 3, target=[62.0])
    png = attribute_distributions({"attributes": {"a.x": one}})
    for colour in (canvas.TARGET, canvas.BEFORE, canvas.LEARNED):
        assert of_colour(png, colour)[80:].sum() > 50


@pytest.mark.parametrize(
    "about",
    [
        {"target": None},
        {"learned": [], "target": []},
        {"learned": [None, float("nan"), 3.0]},
        {"low": None, "high": None},
        {"prior": [5.0] * 9, "learned": [5.0] * 9, "target": [5.0] * 9},
        {"prior": [-1e9, 1e9]},
        {"unit": ""},
    ],
)
def test_incomplete_evaluations_are_drawn(about: dict[str, Any]) -> None:
    drawn = pixels(attribute_distributions({"attributes": {"a.x": attribute(**about)}}))
    assert (drawn != drawn[0, 0]).any()  # no blank page


@pytest.mark.parametrize("name", ["$x_{1}$", "<b>", "a." + "long_name" * 30, "Köln.größe", "a$b"])
def test_names_are_only_text(name: str) -> None:
    png = attribute_distributions({"attributes": {name: attribute(unit="$m$")}})
    assert (
        pixels(png).shape
        == pixels(attribute_distributions({"attributes": {"x": attribute()}})).shape
    )


# --- tracks -------------------------------------------------------------------------------


def test_an_angle_that_passes_zero_does_not_jump() -> None:
    """No part of the track crosses the middle of the circle, where it never was."""
    means = [(350 + 4 * i) % 360 for i in range(10)]
    metrics = [
        line(i, attributes={"digit.yaw": {"mean": m, "std": 2.0}}) for i, m in enumerate(means)
    ]
    yaw = attribute(unit="deg", periodic=True, high=360.0, target=[])
    png = attribute_tracks(metrics, {"attributes": {"digit.yaw": yaw}})
    blue = of_colour(png, canvas.LEARNED)[80:]
    rows = np.flatnonzero(blue.any(axis=1))
    assert np.diff(rows).max() > 0.7 * (rows[-1] - rows[0])  # only near both ends
    # On the line the same numbers do jump, so the test can fail.
    jumping = attribute_tracks(metrics, {"attributes": {"digit.yaw": {**yaw, "periodic": False}}})
    rows = np.flatnonzero(of_colour(jumping, canvas.LEARNED)[80:].any(axis=1))
    assert np.diff(rows).max() < 5


def test_the_target_is_a_line_where_it_is_known() -> None:
    metrics = [line(i) for i in range(5)]
    evaluation = {"attributes": {"digit.yaw": attribute(target=[80.0], high=360.0)}}
    assert of_colour(attribute_tracks(metrics, evaluation), canvas.TARGET)[80:].any()
    assert not of_colour(attribute_tracks(metrics), canvas.TARGET).any()


@pytest.mark.parametrize("count", [1, 4, 50])
def test_tracks_of_many_attributes_in_one_epoch(count: int) -> None:
    moments = {f"n{i}.x": {"mean": 1.0 + i, "std": None} for i in range(count)}
    assert of_colour(attribute_tracks([line(0, attributes=moments)]), canvas.LEARNED).any()


def test_tracks_without_numbers() -> None:
    metrics = [line(0, attributes={"a.x": {"mean": None, "std": None}}), line(1, attributes={})]
    assert not of_colour(attribute_tracks(metrics)[:], canvas.LEARNED)[80:].any()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: mmd_curve([]),
        lambda: attribute_tracks([]),
        lambda: attribute_distributions(None),
    ],
)
def test_nothing_yet_is_said(draw: Callable[[], bytes]) -> None:
    assert (pixels(draw()) < 200).any()


# --- what all figures keep to -------------------------------------------------------------


def _all_figures() -> list[bytes]:
    metrics = [line(i) for i in range(6)]
    evaluation = {"attributes": {"digit.yaw": attribute(), "digit.x": attribute()}}
    return [
        mmd_curve(metrics, {"discrepancy_prior": 0.5}),
        attribute_distributions(evaluation),
        attribute_tracks(metrics, evaluation),
    ]


def test_equal_data_give_equal_bytes_whatever_the_users_settings() -> None:
    first = _all_figures()
    theirs = {
        "font.size": 30,
        "font.family": "serif",
        "lines.linewidth": 9,
        "axes.grid": True,
        "figure.dpi": 50,
        "figure.facecolor": "red",
        "figure.constrained_layout.use": True,
        "savefig.bbox": "tight",
        "savefig.dpi": 30,
        "legend.fontsize": 30,
        "xtick.direction": "in",
        "ytick.labelsize": 30,
        "ytick.right": True,
        "xtick.minor.visible": True,
        "lines.linestyle": ":",
    }
    with mpl.rc_context(theirs):
        assert _all_figures() == first


def test_no_global_state_is_touched() -> None:
    before = dict(mpl.rcParams)
    _all_figures()
    assert dict(mpl.rcParams) == before
    code = (
        "import sys, metasim.report.page; "
        "print({'torch', 'matplotlib.pyplot', 'jinja2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- grids of images ----------------------------------------------------------------------


def checks(count: int, size: tuple[int, int]) -> np.ndarray:
    rng = stream(1, "images")
    return rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("side", "shown"), [(8, 48), (32, 64), (50, 50), (96, 96), (256, 96)])
def test_images_are_brought_to_a_readable_size(side: int, shown: int) -> None:
    assert pixels(image_grid(checks(5, (side, side)), columns=3)).shape == (
        2 * (shown + 2) + 2,
        3 * (shown + 2) + 2,
        3,
    )


def test_small_images_stay_sharp_and_in_order() -> None:
    images = checks(5, (24, 32))
    sheet = pixels(image_grid(images, columns=3))
    for i, image in enumerate(images):
        row, column = divmod(i, 3)
        y, x = 2 + row * (48 + 2), 2 + column * (64 + 2)
        assert np.array_equal(sheet[y : y + 48 : 2, x : x + 64 : 2], image)
        assert np.array_equal(sheet[y + 1 : y + 48 : 2, x + 1 : x + 64 : 2], image)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 1), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(N, H, W, 3\)"):
        image_grid(images)


def test_columns_must_be_positive() -> None:
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        image_grid(checks(1, (8, 8)), columns=0)


def test_three_grids_stand_side_by_side() -> None:
    red, green, blue = (np.zeros((n, 16, 16, 3), np.uint8) for n in (9, 4, 1))
    for channel, images in enumerate((red, green, blue)):
        images[..., channel] = 255
    grids = [("Target", "", red), ("Generated", "before", green), ("Generated", "now", blue)]
    sheet = pixels(comparison(grids, columns=2))
    places = [
        np.flatnonzero((sheet == colour).all(axis=2).any(axis=0)).mean()
        for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255])
    ]
    assert places == sorted(places)
    assert (sheet == [255, 0, 0]).all(axis=2).sum() == 4 * 48 * 48  # two rows of two


def test_a_grid_is_saved_where_the_report_finds_it(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "toy", 0, datetime(2024, 5, 1))
    path = save_grid(run, "target", checks(100, (8, 8)))
    assert run.grids() == {"target": path}
    assert path.parent == run.image_dir("target")
    assert pixels(path.read_bytes()).shape == (8 * 50 + 2, 8 * 50 + 2, 3)  # the first 64


# --- pairs that go together ---------------------------------------------------------------


def test_correlated_attributes_are_found() -> None:
    rng = stream(2, "pairs")
    a, noise, other = rng.normal(size=(3, 500))
    yaw = (350 + 10 * (0.8 * a + 0.6 * noise)) % 360
    evaluation = {
        "attributes": {
            "d.x": attribute(prior=other.tolist(), learned=a.tolist(), target=[1.0, 2.0]),
            "d.yaw": attribute(
                periodic=True, high=360.0, prior=a.tolist(), learned=yaw.tolist(), target=[]
            ),
            "d.y": attribute(prior=noise.tolist(), learned=other.tolist(), target=[]),
        }
    }
    (pair,) = correlated(read_attributes(evaluation))
    assert pair.names == ("d.x", "d.yaw")
    assert pair.correlations["learned"] == pytest.approx(0.8, abs=0.06)
    assert abs(pair.correlations["prior"]) < 0.2
    assert "target" not in pair.correlations


def read(a: Any, b: Any, c: Any, d: Any) -> list[Attribute]:
    """Two attributes: as read from generated images (a, b), and from the target's (c, d)."""
    x = attribute(high=64.0, learned_read=list(a), target_read=list(c))
    yaw = attribute(periodic=True, high=360.0, learned_read=list(b), target_read=list(d))
    return read_attributes({"attributes": {"d.x": x, "d.yaw": yaw}})


def test_what_goes_together_in_the_target_alone_is_found() -> None:
    rng = stream(3, "apart")
    one, two, three = rng.normal(size=(3, 250))
    x, free, tied = 32 + 5 * one, (90 + 20 * two) % 360, (350 + 20 * (0.8 * one + 0.6 * two)) % 360
    (pair,) = apart(read(x, free, x, tied))
    assert pair.names == ("d.x", "d.yaw")
    assert pair.correlations["target_read"] == pytest.approx(0.8, abs=0.06)
    assert len(apart(read(x, tied, x, free))) == 1  # in the generated images alone
    assert apart(read(x, tied, x, tied)) == []
    assert apart(read(x, free, 32 + 5 * three, free)) == []
    # Of what does not vary only the mistakes of the reading go together.
    assert apart(read(32 + one, free, 32 + one, tied)) == []
    # Few images say little.
    assert apart(read(x[:6], free[:6], x[:6], tied[:6])) == []
    assert apart(read(x, free, [], [])) == []


def test_what_was_read_is_drawn_where_the_truth_is_not_known() -> None:
    samples = {"learned_read": [20.0, 21.0, 22.0], "target_read": [70.0, 71.0, 72.0]}
    one = attribute(prior=[1.0, 2.0, 3.0], learned=[20.0] * 3, target=[], **samples)
    png = attribute_distributions({"attributes": {"a.x": one}})
    assert of_colour(png, canvas.TARGET)[80:].any()
    known = attribute(prior=[1.0, 2.0, 3.0], learned=[20.0] * 3, target=[20.0], **samples)
    without = {key: value for key, value in known.items() if not key.endswith("_read")}
    assert attribute_distributions({"attributes": {"a.x": known}}) == attribute_distributions(
        {"attributes": {"a.x": without}}
    )
