"""What a run leaves: the public contract of summary and directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from metasim.report.figures import draw_figures
from metasim.report.findings import read_findings
from metasim.runs import RunDir

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def test_the_summary_keeps_its_contract(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    types = {
        "converged": bool,
        "renders": int,
        "feature_renders": int,
        "seconds": float,
        "discrepancy": float,
        "p_value": float,
        **dict.fromkeys(("kid", "kid_prior", "cmmd", "cmmd_prior"), float),
        "held_out": int,
        "attributes": dict,
        "unidentifiable": list,
        "reason": str,
    }
    assert {key: type(summary[key]) for key in types} == types
    assert summary["converged"] == (summary["p_value"] >= 0.05)
    yaw = summary["attributes"]["digit.yaw"]
    assert (yaw["unit"], yaw["periodic"]) == ("deg", True)
    for which in ("prior", "learned", "target"):
        assert isinstance(yaw[which]["mean"], float)
        assert yaw[which]["std"] >= 0
    assert yaw["target"] == {"mean": pytest.approx(90), "std": pytest.approx(0)}
    assert 0 <= yaw["w1"] <= 180
    assert 0 <= yaw["sensitivity"] <= 1
    assert set(yaw["read"]) == {"learned", "target", "w1"}
    assert 0 <= yaw["read"]["target"]["mean"] < 360
    assert 0 < yaw["read"]["target"]["middle"] < 180
    assert 0 <= yaw["read"]["w1"] <= 180


def test_every_key_of_the_summary_is_explained(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    told = (ROOT / "results" / "README.md").read_text()
    keys = [*summary, *summary["attributes"]["digit.yaw"], *summary["features"], "task_accuracy"]
    assert [key for key in keys if f"`{key}`" not in told] == []


def test_the_renders_are_all_counted(whole: Path) -> None:
    """600 in two attempts, and those the p-values are from; the features' beside them."""
    summary = RunDir.open(whole).read_summary()
    held_out = 30
    training = summary["renders"] - held_out * (1 + summary["attempts"])
    assert training == summary["steps"] * 32
    assert summary["feature_renders"] >= 400
    assert summary["evaluation_renders"] > 0


def test_the_directory_holds_what_it_should(whole: Path) -> None:
    assert whole.parent.name == "smoke"
    assert whole.name.endswith("-s0")
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        "config.yaml",
        "provenance.json",
        "metrics.jsonl",
        "checkpoints",
        "progress",
        "images",
        "report.html",
        "summary.json",
    }
    assert not names & {"drawn", "tensorboard"}  # kept no longer; not asked for
    assert not [name for name in names if name.startswith(".")]  # no lock, nothing half-written
    for folder in ("target", "first", "most_recent", "epoch-0002"):
        with Image.open(whole / "images" / folder / "grid.png") as grid:
            assert len(grid.convert("L").getcolors() or ()) > 2
    assert (whole / "progress" / "mmd.png").is_file()
    page = (whole / "report.html").read_text()
    assert "digit.yaw" in page
    assert 'src="http' not in page


def test_the_metrics_are_contiguous(whole: Path) -> None:
    lines = RunDir.open(whole).read_metrics()
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert lines[-1]["step"] == RunDir.open(whole).read_summary()["steps"]
    assert all(line["attributes"]["digit.yaw"]["std"] >= 0 for line in lines)


def test_latest_images_are_not_those_of_the_prior(whole: Path) -> None:
    """The pathwise gradient renders tensors; what it drew is what is shown."""
    grids = {name: path.read_bytes() for name, path in RunDir.open(whole).grids().items()}
    assert len(set(grids.values())) == len(grids)


def test_a_run_is_never_overwritten_and_the_same_seed_gives_the_same(
    metasim: Command, smoke: tuple[str, ...], whole: Path, assert_same_runs: Callable[..., None]
) -> None:
    words = [word for word in smoke if not word.startswith("training.images")]
    one = metasim(*words, "training.images_every=3")
    assert one.code == 0
    assert one.run != whole
    assert one.data.items() >= RunDir.open(one.run).read_summary().items()
    assert_same_runs(one.run, whole)


def test_the_figures_are_those_of_the_ended_run(whole: Path) -> None:
    """The level before learning is known at the end only."""
    found = read_findings(RunDir.open(whole))
    kept = {path.stem: path.read_bytes() for path in RunDir.open(whole).figures()}
    assert kept.pop("comparison")
    assert kept == draw_figures(found)
    assert kept["mmd"] != draw_figures(replace(found, summary=None))["mmd"]


def test_report_says_the_same_again(metasim: Command, whole: Path) -> None:
    answer = metasim("report", whole)
    assert answer.code == 0
    assert answer.data["p_value"] == RunDir.open(whole).read_summary()["p_value"]
