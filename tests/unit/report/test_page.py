"""The report: whole, self-contained, escaped, honest, for every state of a run."""

from __future__ import annotations

import base64
import copy
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim import summaries
from metasim.errors import RunError
from metasim.report.figures import write_figures
from metasim.report.findings import read_findings
from metasim.report.grids import save_grid
from metasim.report.page import report_data, write_report
from metasim.report.verdict import Verdict, judge
from metasim.report.wording import plain_number
from metasim.rng import stream
from metasim.runs import RunDir

VOID = {"meta", "img", "br", "hr", "input", "link"}

SUMMARY: dict[str, Any] = {
    "converged": True,
    "renders": 12811,
    "feature_renders": 8022,
    "seconds": 9.13,
    "steps": 433,
    "attempts": 3,
    "reason": "The estimate has settled and the test finds no difference",
    "gradient": "finite_difference",
    "discrepancy": -0.00043,
    "discrepancy_prior": 0.617,
    "p_value": 0.31,
    "p_value_prior": 0.0022,
    "images_per_second": 5219.4,
    "features": {"use": ["simulator", "pixels"], "error": {"digit.yaw": 0.36, "digit.x": 0.07}},
    "unidentifiable": [],
    "attributes": {
        "digit.yaw": {
            "unit": "deg",
            "periodic": True,
            "prior": {"mean": 1.5, "std": 10.2},
            "learned": {"mean": 90.4, "std": 3.14},
            "target": {"mean": 90.0, "std": 0.0},
            "w1": 2.21,
            "sensitivity": 0.83,
            "mean_error": 0.4,
        },
        "digit.x": {
            "unit": "px",
            "periodic": False,
            "prior": {"mean": 32.0, "std": 5.0},
            "learned": {"mean": 16.25, "std": 0.5},
            "target": {"mean": 16.0, "std": 0.1},
            "w1": 0.31,
            "sensitivity": 0.55,
        },
    },
}


def evaluation() -> dict[str, Any]:
    rng = stream(0, "evaluation")
    yaw = {"unit": "deg", "periodic": True, "low": 0.0, "high": 360.0}
    x = {"unit": "px", "periodic": False, "low": 0.0, "high": 64.0}
    return {
        "attributes": {
            "digit.yaw": {
                **yaw,
                "prior": (rng.normal(0, 10, 100) % 360).tolist(),
                "learned": rng.normal(90, 3, 100).tolist(),
                "target": [90.0] * 100,
            },
            "digit.x": {
                **x,
                "prior": rng.normal(32, 5, 100).tolist(),
                "learned": rng.normal(16, 0.5, 100).tolist(),
                "target": [16.0] * 100,
            },
        }
    }


def metrics(epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "step": 10 * i,
            "epoch": i,
            "attempt": 0,
            "renders": 1013 * (i + 1),
            "seconds": 0.7 * (i + 1),
            "discrepancy": 0.5 * 0.6**i,
            "p_value": 0.0033 if i % 2 == 0 else None,
            "attributes": {"digit.yaw": {"mean": 77.7, "std": 4.4}},
        }
        for i in range(epochs)
    ]


def made(
    tmp_path: Path,
    summary: dict[str, Any] | None = None,
    *,
    epochs: int = 4,
    evaluated: dict[str, Any] | None = None,
    config: str = "name: toy\nseed: 3\n",
    folder: str = "results",
) -> RunDir:
    run = RunDir.create(tmp_path / folder, "toy", 3, datetime(2024, 5, 1))
    run.write_config(config)
    run.write_provenance({"command": ["metasim", "train"], "git": {"commit": "abc123"}})
    for line in metrics(epochs):
        run.append_metrics(line)
    if evaluated is not None:
        run.write_evaluation(evaluated)
    if summary is not None:
        run.write_summary(summary)
    return run


def changed(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SUMMARY), **more}


class Page(HTMLParser):
    """Checks that tags are balanced; gathers text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("\n".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(run: RunDir) -> Page:
    path = write_report(run)
    assert path == run.report_path
    return Page(path.read_text(encoding="utf-8"))


def verdict(tmp_path: Path, summary: dict[str, Any] | None, **more: Any) -> Verdict:
    return judge(read_findings(made(tmp_path, summary, **more)))


# --- the page -----------------------------------------------------------------------------


def test_every_number_is_there(tmp_path: Path) -> None:
    text = page(made(tmp_path, SUMMARY, evaluated=evaluation())).text
    for number in (
        *("0.31", "0.0022", "-0.00043", "0.617", "12,811", "8,022", "9.1 s", "5,219", "433"),
        *("2 restarts", "finite_difference", "simulator + pixels", "error 0.36", "error 0.07"),
        *("1.5 \N{PLUS-MINUS SIGN} 10.2", "90.4 \N{PLUS-MINUS SIGN} 3.14", "2.21", "0.83", "0.4"),
        *("16.25 \N{PLUS-MINUS SIGN} 0.5", "0.25", "0.55", "deg", "px", "abc123", "name: toy"),
    ):
        assert number in text, number


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY, evaluated=evaluation())
    for name in ("target", "first", "most_recent", "epoch-0005"):
        save_grid(run, name, np.full((4, 8, 8, 3), 7, np.uint8))
    found = page(run)
    html = run.report_path.read_text()
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"url\(|@import", html)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "object", "a"})
    sources = [attributes["src"] or "" for attributes in found.all("img")]
    assert len(sources) == 3 + 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    assert all(attributes["alt"] for attributes in found.all("img"))
    policy = found.all("meta")[2]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert (policy["content"] or "").startswith("default-src 'none'; img-src data:;")
    assert all("src" not in attributes for tag, attributes in found.tags if tag != "img")


def test_pictures_are_named(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY)
    for name in ("target", "first", "most_recent", *(run.epoch_name(5 * i) for i in range(1, 30))):
        save_grid(run, name, np.full((4, 8, 8, 3), 7, np.uint8))
    text = page(run).text
    assert "Target Generated, before learning Generated, most recent" in text
    shown = re.findall(r"epoch (\d+)", text)
    assert len(shown) == 6
    assert shown[-1] == "145"


def test_user_text_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    summary = changed(reason=evil, gradient=evil, unidentifiable=[evil])
    summary["attributes"] = {evil: {**SUMMARY["attributes"]["digit.yaw"], "unit": evil}}
    summary["features"] = {"use": [evil], "error": {evil: 0.9}}
    samples = {"attributes": {evil: evaluation()["attributes"]["digit.yaw"]}}
    config = "name: \"<script>alert('x')</script>\"\n# </pre></style><img src=x onerror=y>\n"
    run = made(
        tmp_path, summary, evaluated=samples, config=config, folder="<img src=x onerror=alert(1)>"
    )
    run.write_provenance({"command": [evil]})
    found = page(run)
    names = {tag for tag, _ in found.tags}
    assert "script" not in names
    assert all((i["src"] or "").startswith("data:") for i in found.all("img"))
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert found.text.count(evil) >= 6


@pytest.mark.parametrize("count", [0, 1, 50])
def test_any_number_of_attributes(tmp_path: Path, count: int) -> None:
    names = [f"node{i}.yaw" for i in range(count)]
    summary = changed(attributes={n: SUMMARY["attributes"]["digit.yaw"] for n in names})
    summary["features"]["error"] = dict.fromkeys(names, 0.2)
    samples = {"attributes": {n: evaluation()["attributes"]["digit.yaw"] for n in names}}
    text = page(made(tmp_path, summary, epochs=1, evaluated=samples)).text
    assert all(name in text for name in names)
    assert ("Identifiable" in text) == (count > 0)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY, evaluated=evaluation())
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    data = report_data(run)
    assert report_data(run) == data


def test_commands_are_exact(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY, folder="my results")
    assert "metasim generate" not in page(run).text  # nothing to generate from yet
    run.write_checkpoint(1, b"weights")
    text = page(run).text
    assert f"metasim generate '{run.path}' --count 10000 --out toy-dataset" in text
    assert f"metasim train '{run.config_path}'" in text
    assert f"metasim report '{run.path}'" in text
    assert "--resume" not in text
    stopped = made(tmp_path, folder="b")
    assert f"metasim train --resume {stopped.path}" in page(stopped).text


# --- runs that are not whole --------------------------------------------------------------


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    run = made(tmp_path, epochs=4, evaluated=evaluation())
    text = page(run).text
    assert "Not finished yet" in text
    assert "4 epochs so far" in text
    assert "4,052" in text
    assert "77.7 \N{PLUS-MINUS SIGN} 4.4" in text
    assert "0.0033" in text
    assert f"metasim train --resume {run.path}" in text
    data = report_data(run)
    assert data["finished"] is False
    assert data["verdict"] == "unfinished"
    assert data["renders"] == 4052
    assert data["attributes"]["digit.yaw"]["learned"] == {"mean": 77.7, "std": 4.4}
    assert data["attributes"]["digit.yaw"]["target"]["mean"] == pytest.approx(90)


def test_a_run_that_just_began(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "toy", 3, datetime(2024, 5, 1))
    run.write_config("name: toy\n")
    text = page(run).text
    assert "No epoch has ended yet." in text
    assert "no record of how it came about" in text
    assert "No test" not in text


@pytest.mark.parametrize("key", list(SUMMARY))
def test_any_part_of_the_summary_may_be_missing(tmp_path: Path, key: str) -> None:
    summary = changed()
    del summary[key]
    page(made(tmp_path, summary, epochs=0))
    summary[key] = None
    page(made(tmp_path, summary, epochs=0, folder="null"))


def test_a_damaged_summary_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY)
    (run.path / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary\.json cannot be read"):
        write_report(run)
    assert not run.report_path.exists()


def test_a_damaged_grid_is_left_out(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY)
    save_grid(run, "target", np.full((4, 8, 8, 3), 7, np.uint8)).write_bytes(b"<svg onload=x>")
    assert len(page(run).all("img")) == 2  # the curve and the tracks


def test_figures_are_written_where_runs_keep_them(tmp_path: Path) -> None:
    run = made(tmp_path, evaluated=evaluation())
    figures = write_figures(read_findings(run))
    assert sorted(figures) == ["attributes", "mmd", "tracks"]
    assert {path.stem: path.read_bytes() for path in run.figures()} == figures
    assert write_figures(read_findings(made(tmp_path, epochs=0, folder="empty"))) == {}


def test_the_report_brings_the_figures_up_to_date(tmp_path: Path) -> None:
    """What was drawn before the summary has no level of the prior yet."""
    run = made(tmp_path, evaluated=evaluation())
    before = write_figures(read_findings(run))
    run.write_summary(SUMMARY)
    found = page(run)
    after = {path.stem: path.read_bytes() for path in run.figures()}
    assert after.keys() == before.keys()
    assert after["mmd"] != before["mmd"]
    assert after["attributes"] == before["attributes"]
    embedded = {str(image.get("src")) for image in found.all("img")}
    for png in after.values():
        assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in embedded


def test_the_scores_are_shown_with_the_prior_s_and_the_features_they_are_of(tmp_path: Path) -> None:
    summary = changed(kid=0.0123, kid_prior=1.5, cmmd=-0.02, cmmd_prior=77.0)
    found = page(made(tmp_path, summary)).text
    for told in ("KID", "0.0123", "before learning 1.5", "CMMD", "before learning 77"):
        assert told in found
    assert found.count("in this run's features") == 2
    assert "KID" not in page(made(tmp_path / "without", SUMMARY)).text


# --- the verdict --------------------------------------------------------------------------


def test_it_worked(tmp_path: Path) -> None:
    told = verdict(tmp_path, SUMMARY, evaluated=evaluation())
    assert (told.status, told.headline) == ("worked", "It worked")
    assert told.explanation[0] == "The estimate has settled and the test finds no difference."
    assert "cannot tell" in told.explanation[1]
    assert "p = 0.31; before learning p = 0.0022" in told.explanation[1]
    assert "2.21 deg" in told.explanation[2]
    assert told.caveats == told.advice == ()


def test_it_did_not(tmp_path: Path) -> None:
    told = verdict(tmp_path, changed(converged=False, p_value=0.0004))
    assert (told.status, told.headline) == ("not_converged", "It did not converge")
    assert "can still tell" in told.explanation[1]
    assert "p < 0.001" in told.explanation[1]
    assert told.advice


def test_the_threshold_is_the_experiments(tmp_path: Path) -> None:
    config = "name: toy\ntraining: {p_value: 0.4}\n"
    told = verdict(tmp_path, changed(converged=False), config=config)
    assert "can still tell" in told.explanation[1]
    assert "0.4 or more" in told.explanation[1]


def test_a_test_that_could_not_be_failed_is_no_verdict(tmp_path: Path) -> None:
    summary = changed(converged=False, p_value=0.4, p_value_prior=0.4, reason="it cannot be judged")
    told = verdict(tmp_path, summary)
    assert (told.status, told.headline) == ("not_judged", "It cannot be judged")
    assert told.explanation[0] == "It cannot be judged."
    assert not any("tell" in sentence for sentence in (*told.explanation, *told.caveats))


def test_a_test_with_few_images_says_little(tmp_path: Path) -> None:
    (caveat,) = verdict(tmp_path, changed(held_out=3)).caveats
    assert caveat.startswith("Only 3 target images were held out")
    assert "100 target images" in caveat
    assert verdict(tmp_path, changed(held_out=25)).caveats == ()


def test_what_cannot_be_identified_is_named_in_the_headline(tmp_path: Path) -> None:
    run = made(tmp_path, changed(unidentifiable=["digit.x"]), evaluated=evaluation())
    told = judge(read_findings(run))
    assert told.headline == "It worked, except for digit.x"
    assert "digit.x cannot be learned from these images" in told.caveats[0]
    found = page(run)
    assert told.headline in found.text
    assert sum(attributes.get("class") == "no" for attributes in found.all("span")) == 1
    assert report_data(run)["unidentifiable"] == ["digit.x"]


def test_matching_images_that_tell_nothing_are_no_success(tmp_path: Path) -> None:
    told = verdict(tmp_path, changed(unidentifiable=["digit.x", "digit.yaw"]))
    assert told.headline == "The images match, but tell nothing of the attributes"


def test_all_that_cannot_be_identified_are_named_however_many(tmp_path: Path) -> None:
    names = [f"n{i}.x" for i in range(12)]
    told = verdict(
        tmp_path, changed(unidentifiable=names, attributes={n: {} for n in [*names, "a"]})
    )
    assert told.headline == "It worked, except for 12 of 13 attributes"
    assert all(name in told.caveats[0] for name in names)


def test_matching_images_with_wrong_attributes_are_told(tmp_path: Path) -> None:
    summary = changed()
    summary["attributes"]["digit.yaw"]["w1"] = 80.0
    told = verdict(tmp_path, summary, evaluated=evaluation())
    assert len(told.caveats) == 1
    assert "digit.yaw stayed far from the known truth" in told.caveats[0]


def test_a_test_that_the_prior_passes_says_little(tmp_path: Path) -> None:
    told = verdict(tmp_path, changed(p_value_prior=0.4))
    assert "Already before learning" in told.caveats[0]


def test_weak_features_are_told(tmp_path: Path) -> None:
    summary = changed()
    summary["features"]["error"]["digit.yaw"] = 0.93
    (caveat,) = verdict(tmp_path, summary).caveats
    assert "digit.yaw poorly" in caveat
    assert "digit.x" not in caveat


def test_correlations_are_reported(tmp_path: Path) -> None:
    samples = evaluation()
    yaw, x = samples["attributes"]["digit.yaw"], samples["attributes"]["digit.x"]
    x["learned"] = [16 + (value - 90) / 10 for value in yaw["learned"]]
    run = made(tmp_path, SUMMARY, evaluated=samples)
    (pair,) = report_data(run)["correlations"]
    assert pair["attributes"] == ["digit.yaw", "digit.x"]
    assert pair["learned"] == pytest.approx(1)
    assert "digit.yaw and digit.x" in page(run).text


def test_what_the_images_say_is_told(tmp_path: Path) -> None:
    samples = evaluation()
    rng = stream(1, "read")
    yaw, x = samples["attributes"]["digit.yaw"], samples["attributes"]["digit.x"]
    turns = rng.normal(0, 20, 300)
    yaw["learned_read"] = yaw["target_read"] = (90 + turns).tolist()
    x["learned_read"] = (20 + rng.normal(0, 4, 300)).tolist()
    x["target_read"] = (16 + turns / 5).tolist()
    run = made(tmp_path, SUMMARY, evaluated=samples)
    text = page(run).text
    table = text.partition("What the images say")[2]
    row = re.search(r"digit\.x px (\S+) ± \S+ (\S+) ± \S+ (\S+) ", table)
    assert row
    assert [float(cell) for cell in row.groups()] == pytest.approx([20, 16, 4], abs=0.5)
    (caveat,) = report_data(run)["caveats"]
    assert caveat.startswith("digit.yaw and digit.x go together otherwise than in the target's")
    assert caveat.endswith("and 1.00 in the target.")


def test_a_p_value_just_below_the_threshold_does_not_read_as_the_threshold(tmp_path: Path) -> None:
    text = page(made(tmp_path, changed(converged=False, p_value=25 / 501))).text
    assert "0.0499" in text
    assert "p = 0.05;" not in text


@pytest.mark.parametrize(
    ("value", "told"),
    [(999.6, "1,000"), (99.96, "100"), (123.4, "123"), (0.12345, "0.123"), (-999.6, "-1,000")],
)
def test_numbers_keep_their_whole_part(value: float, told: str) -> None:
    assert plain_number(value) == told


def test_epochs_are_told_by_their_number_and_in_its_order(tmp_path: Path) -> None:
    run = made(tmp_path, SUMMARY)
    image = np.zeros((1, 4, 4, 3), np.uint8)
    save_grid(run, "target", image)
    for epoch in (5, 9995, 10000):
        save_grid(run, run.epoch_name(epoch), image)
    told = [str(picture["alt"]) for picture in page(run).all("img")]
    epochs = [name.partition("epoch ")[2] for name in told if "epoch " in name]
    assert epochs == ["5", "9995", "10000"]


def test_a_run_that_cannot_be_judged_is_not_said_to_have_failed() -> None:
    summary = {"converged": False, "judged": False, "reason": "it cannot be judged: few images"}
    assert "cannot be judged" in summaries.run(summary)
    assert "NOT" not in summaries.run(summary)
    assert "did NOT converge" in summaries.run({**summary, "judged": True})
