"""Event files say what the metrics say, once, also after a resumption."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metasim.errors import MissingExtraError
from metasim.report.events import EventLog
from metasim.report.grids import image_grid


def line(step: int, value: float, **more: Any) -> dict[str, Any]:
    about = {"digit.yaw": {"mean": value + 1, "std": value + 2}}
    curves = {"discrepancy": value, "p_value": 0.5, "lr": 0.1, "min_scale": 0.2, "grad_norm": 3.0}
    return {"step": step, "epoch": step, "renders": 8, "attributes": about, **curves, **more}


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return found.Reload()


def curve(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_metrics_become_curves(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    log.begin(0)
    for step in (10, 20):
        log.add_metrics(line(step, step / 4, task_accuracy=0.75))
    log.close()
    found = read(tmp_path / "events")
    assert set(found.Tags()["scalars"]) == {
        *("discrepancy", "p_value", "lr", "min_scale", "grad_norm", "task_accuracy"),
        *("attributes/digit.yaw/mean", "attributes/digit.yaw/std"),
    }
    assert curve(found, "discrepancy") == [(10, 2.5), (20, 5.0)]
    assert curve(found, "attributes/digit.yaw/mean") == [(10, 3.5), (20, 6.0)]
    assert curve(found, "attributes/digit.yaw/std") == [(10, 4.5), (20, 7.0)]
    assert curve(found, "task_accuracy") == [(10, 0.75), (20, 0.75)]


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.begin(0)
    log.add_metrics(line(1, 1.0, p_value=None))
    log.close()
    tags = read(tmp_path).Tags()["scalars"]
    assert "discrepancy" in tags
    assert not {"p_value", "task_accuracy"} & set(tags)


def test_images_become_a_grid(tmp_path: Path) -> None:
    images = np.arange(70 * 8 * 8 * 3, dtype=np.uint64).astype(np.uint8).reshape(70, 8, 8, 3)
    log = EventLog(tmp_path)
    log.begin(0)
    log.add_images(images, 3)
    log.close()
    (event,) = read(tmp_path).Images("most_recent")
    assert event.step == 3
    with (
        Image.open(io.BytesIO(event.encoded_image_string)) as shown,
        Image.open(io.BytesIO(image_grid(images[:64]))) as wanted,
    ):
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(wanted.convert("RGB")))


def test_what_is_written_again_after_a_resumption_is_there_once(tmp_path: Path) -> None:
    for begun, value in ((0, 1.0), (2, 2.0)):
        log = EventLog(tmp_path)
        log.begin(begun)
        for step in range(begun + 1, 5):
            log.add_metrics(line(step, value))
            log.add_images(np.zeros((1, 8, 8, 3), np.uint8), step)
        log.close()
    found = read(tmp_path)
    assert curve(found, "discrepancy") == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
    assert [event.step for event in found.Images("most_recent")] == [1, 2, 3, 4]


def test_nothing_is_written_before_it_begins(tmp_path: Path) -> None:
    EventLog(tmp_path / "events").close()
    assert not (tmp_path / "events").exists()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"tensorboard.*pip install 'metasim\[tensorboard"):
        EventLog(tmp_path)
