"""Run directories: nothing overwritten, nothing lost, only our own checkpoints removed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.errors import RunError
from metasim.report.page import write_report
from metasim.runs import RunDir

NOW = datetime(2024, 5, 1, 12, 30, 7)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run with a configuration."""
    made = RunDir.create(tmp_path / "results", "toy", 3, NOW)
    made.write_config("name: toy\n")
    return made


def test_a_run_has_its_own_new_directory(tmp_path: Path) -> None:
    paths = [RunDir.create(tmp_path / "a" / "b", "toy", 3, NOW).path for _ in range(3)]
    stem = tmp_path / "a" / "b" / "toy" / "20240501-123007-s3"
    assert paths == [stem, Path(f"{stem}-2"), Path(f"{stem}-3")]
    assert all(path.is_dir() for path in paths)


def test_runs_begun_at_once_do_not_share(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDir.create(tmp_path, "toy", 0, NOW).path, range(40)))
    assert len(set(runs)) == 40


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "-rf", "a b", "a\n"])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, run: RunDir, name: str) -> None:
    with pytest.raises(RunError, match="must be of letters"):
        RunDir.create(tmp_path, name, 0)
    with pytest.raises(RunError, match="must be of letters"):
        run.image_dir(name)
    with pytest.raises(RunError, match="must be of letters"):
        run.figure_path(name)


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(RunError, match=r"set output\.dir"):
        RunDir.create(tmp_path / "results", "toy", 0)


def test_opening(tmp_path: Path, run: RunDir) -> None:
    assert RunDir.open(run.path) == run
    assert RunDir.open(run.path).read_config() == "name: toy\n"
    with pytest.raises(RunError, match="it does not exist"):
        RunDir.open(tmp_path / "missing")
    with pytest.raises(RunError, match="it is a file"):
        RunDir.open(run.config_path)
    with pytest.raises(RunError, match=rf"no config.yaml; did you mean {run.path}\?"):
        RunDir.open(run.path.parent)


def test_the_layout_is_the_public_one(run: RunDir) -> None:
    run.write_provenance({"python": "3.11"})
    run.append_metrics({"step": 1})
    run.write_checkpoint(120, b"weights")
    run.write_figure("mmd", b"png")
    run.write_summary({"converged": True})
    run.write_report("<html>")
    for name in ("target", "most_recent", run.epoch_name(5)):
        (run.image_dir(name) / "0.png").touch()
    files = sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file())
    assert files == [
        "checkpoints/step-00000120.pt",
        "config.yaml",
        "images/epoch-0005/0.png",
        "images/most_recent/0.png",
        "images/target/0.png",
        "metrics.jsonl",
        "progress/mmd.png",
        "provenance.json",
        "report.html",
        "summary.json",
    ]
    assert [path.name for path in run.figures()] == ["mmd.png"]
    assert run.report_path.read_text() == "<html>"
    assert run.read_provenance() == {"python": "3.11"}


def test_a_missing_provenance_is_told(run: RunDir) -> None:
    told = rf"has no provenance\.json; .* bring it back, or .* metasim train {run.config_path}"
    with pytest.raises(RunError, match=told):
        run.read_provenance()


def test_a_summary_is_strict_json(run: RunDir) -> None:
    with pytest.raises(RunError, match=r"has no summary\.json; has its run ended\?"):
        run.read_summary()
    run.write_summary(
        {"p": np.float32(0.25), "n": np.int64(3), "w1": float("nan"), "std": [np.inf, 1.0]}
    )
    text = (run.path / "summary.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert run.read_summary() == {"p": 0.25, "n": 3, "w1": None, "std": [None, 1.0]}
    (run.path / "summary.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        run.read_summary()


def test_an_evaluation_comes_back(run: RunDir) -> None:
    assert run.read_evaluation() is None
    values = {"attributes": {"digit.yaw": {"learned": np.array([1.5, np.nan])}}}
    run.write_evaluation(values)
    assert run.read_evaluation() == {"attributes": {"digit.yaw": {"learned": [1.5, None]}}}
    (run.path / "evaluation.json").write_text("[]")
    with pytest.raises(RunError, match=r"evaluation\.json must hold a JSON object"):
        run.read_evaluation()


@pytest.mark.parametrize(
    ("file", "damaged", "told"),
    [
        ("summary.json", {"converged": "maybe", "p_value": 0.1}, "converged: must be a valid bool"),
        ("summary.json", {"p_value": "x"}, "p_value: must be a valid number"),
        ("summary.json", {"attributes": {"a.x": {"w1": []}}}, "attributes.a.x.w1: must be a valid"),
        ("summary.json", {"unidentifiable": 3}, "unidentifiable: must be a valid list"),
        (
            "evaluation.json",
            {"attributes": {"a.x": {"prior": "x", "low": None}}},
            "attributes.a.x.prior: must be a valid list",
        ),
        ("evaluation.json", {"attributes": {"a.x": {"low": "0"}}}, "attributes.a.x.low: must be"),
        ("evaluation.json", {"attributes": [1]}, "attributes: must be a valid dict"),
        ("metrics.jsonl:2", {"step": 2, "discrepancy": {}}, "discrepancy: must be a valid number"),
    ],
)
def test_what_is_json_still_and_yet_damaged_is_told(
    run: RunDir, file: str, damaged: dict[str, Any], told: str
) -> None:
    """Else the report stumbles over it somewhere."""
    run.append_metrics({"step": 1})
    name, _, line = file.partition(":")
    with (run.path / name).open("a") as opened:
        opened.write(json.dumps(damaged) + "\n")
    read = {"s": run.read_summary, "e": run.read_evaluation, "m": run.read_metrics}[file[0]]
    place = re.escape(f"{run.path / file} must hold what the run wrote, and is damaged ({told}")
    with pytest.raises(RunError, match=place):
        read()
    if not line:
        with pytest.raises(RunError, match=place):
            write_report(run)


def test_a_run_has_ended_once_it_has_a_summary(run: RunDir) -> None:
    assert not run.ended
    run.write_summary({})
    assert run.ended


def test_grids_of_images(run: RunDir) -> None:
    assert run.grids() == {}
    paths = [run.write_grid(name, b"png") for name in ("target", "epoch-0005")]
    (run.image_dir("target") / "mine.png").touch()
    assert run.grids() == {"epoch-0005": paths[1], "target": paths[0]}
    assert paths[0].read_bytes() == b"png"
    with pytest.raises(RunError, match="must be of letters"):
        run.write_grid("../target", b"png")


# --- metrics ------------------------------------------------------------------------------


def test_metrics_come_back_in_order(run: RunDir) -> None:
    assert run.read_metrics() == []
    lines = [{"step": step, "loss": step / 3} for step in range(4)]
    for line in lines:
        run.append_metrics(line)
    run.append_metrics({"step": np.int64(4), "loss": np.float64("nan"), "path": Path("x")})
    assert run.read_metrics() == [*lines, {"step": 4, "loss": None, "path": "x"}]


@pytest.mark.parametrize("metrics", [{"loss": 1.0}, {"step": 1.5}, {"step": None}])
def test_metrics_need_a_step(run: RunDir, metrics: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="integer 'step'"):
        run.append_metrics(metrics)
    assert run.read_metrics() == []


def test_resuming_cuts_metrics_back(run: RunDir) -> None:
    for step in range(6):
        run.append_metrics({"step": step, "loss": 0.1 * step})
    whole = run.metrics_path.read_bytes()
    with run.metrics_path.open("ab") as file:
        file.write(b'{"step": 6, "lo')  # a kill in the middle of a line
    assert [line["step"] for line in run.read_metrics()] == [0, 1, 2, 3, 4, 5]
    assert run.truncate_metrics(3) == 4
    for step in (4, 5):
        run.append_metrics({"step": step, "loss": 0.1 * step})
    assert run.metrics_path.read_bytes() == whole


def test_truncating_nothing(run: RunDir) -> None:
    assert run.truncate_metrics(3) == 0
    assert not run.metrics_path.exists()


@pytest.mark.parametrize("damage", ["{oops", "[]", "7"])
def test_a_damaged_line_is_named(run: RunDir, damage: str) -> None:
    run.metrics_path.write_text(f'{{"step": 0}}\n{damage}\n{{"step": 2}}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl:2 must be a JSON object"):
        run.read_metrics()
    with pytest.raises(RunError, match=r"metrics\.jsonl:2"):
        run.truncate_metrics(9)


# --- checkpoints --------------------------------------------------------------------------


def test_all_checkpoints_are_kept_and_so_are_the_users(run: RunDir) -> None:
    assert run.latest_checkpoint() is None
    run.write_checkpoint(1, b"1")
    mine = [
        "best.pt",
        "step-00000001.pt.bak",
        "step-1.pt",
        "step-00000002.txt",
        "my-step-00000003.pt",
    ]
    for name in mine:
        (run.checkpoint_dir / name).write_text("mine")
    (run.checkpoint_dir / "step-00000000.pt").mkdir()
    for step in (2, 9, 10, 100_000_001):
        run.write_checkpoint(step, str(step).encode())
    expected = [100_000_001, 10, 9, 2, 1]
    assert run.checkpoints() == [run.checkpoint_path(step) for step in expected]
    assert run.latest_checkpoint() == run.checkpoint_path(100_000_001)
    assert [path.read_bytes() for path in run.checkpoints()] == [
        b"100000001",
        b"10",
        b"9",
        b"2",
        b"1",
    ]
    assert all((run.checkpoint_dir / name).read_text() == "mine" for name in mine)


# --- one process, and trouble -------------------------------------------------------------

_TRAIN = """
import sys, time
from pathlib import Path
from typing import Any
from metasim.report.page import write_report
from metasim.runs import RunDir
with RunDir.open(Path(sys.argv[1])).lock():
    print("training", flush=True)
    time.sleep(60)
"""


def test_one_process_trains_at_a_time(run: RunDir) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(run.path)], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            told = rf"one process at a time; process {process.pid} on .* trains in it"
            with pytest.raises(RunError, match=told), run.lock():
                pass
        finally:
            process.kill()
    with run.lock():  # the killed process left its lock, which counts for nothing
        pass


_FULL_DISK = """
import json, resource, sys
from pathlib import Path
from typing import Any
from metasim.errors import RunError
from metasim.report.page import write_report
from metasim.runs import RunDir
run = RunDir.open(Path(sys.argv[1]))
run.write_checkpoint(1, b"x" * 500)
run.append_metrics({"step": 1, "text": "x" * 300})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
told = []
for write in (
    lambda: run.write_checkpoint(2, b"x" * 5000),
    lambda: run.append_metrics({"step": 2, "text": "x" * 5000}),
    lambda: run.write_summary({"text": "x" * 5000}),
):
    try:
        write()
    except RunError as error:
        told.append(str(error))
print(json.dumps(told))
"""


def test_a_refusing_disk_loses_nothing(run: RunDir) -> None:
    """A real limit on the size of files stands for a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(run.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert len(told) == 3
    for message in told:
        assert "cannot be written" in message
        assert "step-00000001.pt and all before it are kept" in message
        assert f"--resume {run.path}" in message
    assert run.checkpoints() == [run.checkpoint_path(1)]
    assert run.checkpoint_path(1).read_bytes() == b"x" * 500
    assert run.read_metrics() == [{"step": 1, "text": "x" * 300}]
    assert run.metrics_path.read_bytes().endswith(b"}\n")
    assert not list(run.path.rglob("*.metasim-tmp"))


def test_knowing_runs_needs_no_heavy_import() -> None:
    code = (
        "import sys, metasim.runs, metasim.provenance; print({'torch', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_find_takes_the_newest_run_of_a_folder_and_a_run_as_it_is(tmp_path):
    runs = []
    for age in (30, 10, 20):
        run = RunDir.create(tmp_path, "x", 0)
        run.write_config("a: 1\n")
        when = 1_700_000_000 - age
        os.utime(run.config_path, (when, when))
        runs.append(run)
    assert RunDir.find(tmp_path / "x") == runs[1]
    assert RunDir.find(runs[0].path) == runs[0]
    with pytest.raises(RunError):
        RunDir.find(tmp_path / "nothing")


def test_a_round_knows_the_run_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(tmp_path, "demo", seed=0)
    one = run.earlier(1)
    one.path.mkdir()
    assert one.whole is None, "of nothing that counts as a run yet"
    run.write_config("name: demo\n")
    assert one.whole == run
    assert run.whole is None
    monkeypatch.chdir(one.path)
    assert RunDir(Path()).whole == run
