"""The report of a run: one HTML file that answers "did it work?"."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from metasim.report import markup
from metasim.report.attributes import correlated
from metasim.report.figures import write_figures
from metasim.report.findings import Findings, read_findings
from metasim.report.markup import Markup
from metasim.report.refinement import refinement_section
from metasim.report.tables import (
    attribute_table,
    correlation_table,
    feature_table,
    reading_table,
)
from metasim.report.verdict import Verdict, judge
from metasim.report.wording import count, duration, p_value, plain_number, share
from metasim.runs import RunDir

__all__ = ["commands", "report_data", "write_report"]

_EPOCHS_SHOWN = 6


def write_report(run: RunDir) -> Path:
    """Write the report of a run and its figures, whether it has ended or not.

    The report needs no other file and no network, and equal runs give equal bytes.

    Args:
        run: its files are read; ``report.html`` and the figures are replaced.

    Returns:
        The report's path.

    Raises:
        RunError: when a file of the run is damaged or the report cannot be written.
    """
    found = read_findings(run)
    run.write_report(_page(found, write_figures(found)))
    return run.report_path


def report_data(run: RunDir) -> dict[str, Any]:
    """The same answer as data: the summary, or the numbers so far, and the verdict.

    Besides the summary's keys there are "run", "report", "name", "finished", "verdict"
    ("worked", "not_converged", "not_judged" or "unfinished"), "headline",
    "explanation", "caveats", "advice", "unidentifiable", "distances" (W1 to the known truth, by
    attribute: "prior", "learned") and "correlations".
    """
    found = read_findings(run)
    verdict = judge(found)
    related = correlated(found.attributes)
    return {
        **found.numbers,
        "run": str(run.path),
        "report": str(run.report_path),
        "name": found.name,
        "finished": found.summary is not None,
        "verdict": verdict.status,
        "headline": verdict.headline,
        "explanation": list(verdict.explanation),
        "caveats": list(verdict.caveats),
        "advice": list(verdict.advice),
        "unidentifiable": list(verdict.unidentifiable),
        "distances": found.distances,
        "correlations": [{"attributes": list(pair.names), **pair.correlations} for pair in related],
    }


def commands(found: Findings) -> list[tuple[str, str]]:
    """What can be done with the run next: what for, and the exact command."""
    where = shlex.quote(str(found.run.path))
    out = shlex.quote(f"{found.name}-dataset")
    told = []
    if found.run.latest_checkpoint():
        generate = f"metasim generate {where} --count 10000 --out {out}"
        told.append(("Write a tuned, labelled dataset", generate))
    if found.run.refiner_path.is_file():
        refined = f"metasim generate {where} --refined --count 10000 --out {out}"
        told.append(("Write a tuned, refined, labelled dataset", refined))
    if found.summary is None:
        told.append(("Go on with this run where it stopped", f"metasim train --resume {where}"))
    again = f"metasim train {shlex.quote(str(found.run.config_path))}"
    told.append(("Learn anew with the same settings", again))
    told.append(("Make this report again", f"metasim report {where}"))
    return told


def _page(found: Findings, figures: Mapping[str, bytes]) -> str:
    verdict = judge(found)
    sections = (
        _header(found, verdict),
        _key_numbers(found),
        markup.section("Attributes", attribute_table(found, verdict)),
        _pictures(found.run),
        refinement_section(found),
        markup.section("Learning", _curve(figures), _tracks(figures)),
        markup.section("Distributions", _distributions(figures)),
        markup.section("What the images say", reading_table(found)),
        markup.section("Correlations", correlation_table(correlated(found.attributes))),
        markup.section("How well the features read", feature_table(found)),
        _next_steps(found, verdict),
        markup.details("Settings", markup.code(found.config_text)),
        markup.details("Provenance", _provenance(found.provenance)),
    )
    here = files("metasim.report")
    return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=markup.text(f"{found.name}: {verdict.headline}"),
        style=here.joinpath("page.css").read_text(encoding="utf-8").rstrip(),
        content=markup.join(sections),
    )


def _header(found: Findings, verdict: Verdict) -> Markup:
    parts = (
        markup.paragraph(f"{found.name} \N{MIDDLE DOT} {found.run.path}", "run"),
        Markup(f"<h1>{markup.text(verdict.headline)}</h1>"),
        *(markup.paragraph(sentence) for sentence in verdict.explanation),
        markup.bullets(verdict.caveats, "caveats"),
    )
    inside = markup.join(parts)
    return Markup(f"<header class='{markup.text(verdict.status)}'>\n{inside}\n</header>")


def _key_numbers(found: Findings) -> Markup:
    n = found.numbers
    if not n:
        return markup.section("Key numbers", markup.paragraph("No epoch has ended yet."))
    attempts = n.get("attempts")
    again = attempts - 1 if attempts else 0
    restarts = f"{again} {'restart' if again == 1 else 'restarts'}" if again else ""
    tiles = [
        markup.tile(
            "p-value",
            p_value(n.get("p_value")).removeprefix("p ").removeprefix("= "),
            _before("p_value_prior", n),
            f"{found.p_threshold:g} or more counts as matching",
        ),
        markup.tile(
            "Discrepancy",
            plain_number(n.get("discrepancy")),
            _before("discrepancy_prior", n),
            "unbiased: slightly below 0 is right" if (n.get("discrepancy") or 0) < 0 else "",
        ),
        *(_score(key, n) for key in ("kid", "cmmd") if n.get(key) is not None),
        markup.tile("Renders", count(n.get("renders")), _for_features(n)),
        markup.tile("Time", duration(n.get("seconds")), _speed(n)),
        markup.tile("Steps", count(n.get("steps")), _gradient(n)),
        markup.tile("Attempts", count(attempts), restarts),
    ]
    if n.get("task_accuracy") is not None:
        tiles.append(markup.tile("Task accuracy", share(n["task_accuracy"])))
    return markup.section("Key numbers", Markup(f"<dl>{markup.join(tiles)}</dl>"))


def _before(key: str, numbers: Mapping[str, Any]) -> str:
    value = numbers.get(key)
    if value is None:
        return ""
    shown = p_value(value).removeprefix("p ").removeprefix("= ") if key[0] == "p" else ""
    return f"before learning {shown or plain_number(value)}"


def _score(key: str, numbers: Mapping[str, Any]) -> Markup:
    shown = plain_number(numbers[key])
    # Published scores are of InceptionV3 and CLIP, and not to be compared with these.
    return markup.tile(
        key.upper(), shown, _before(f"{key}_prior", numbers), "in this run's features"
    )


def _for_features(numbers: Mapping[str, Any]) -> str:
    renders = numbers.get("feature_renders")
    return f"and {count(renders)} to teach the features" if renders is not None else ""


def _speed(numbers: Mapping[str, Any]) -> str:
    speed = numbers.get("images_per_second")
    return f"{count(speed)} images/s rendered and learned from" if speed is not None else ""


def _gradient(numbers: Mapping[str, Any]) -> str:
    return f"gradient: {numbers['gradient']}" if numbers.get("gradient") else ""


def _pictures(run: RunDir) -> Markup:
    grids = run.grids()
    named = (
        ("target", "Target"),
        ("first", "Generated, before learning"),
        ("most_recent", "Generated, most recent"),
    )
    shown = [(grids[name], caption) for name, caption in named if name in grids]
    if not shown:
        return Markup("")
    epochs = sorted((name for name in grids if name.startswith("epoch-")), key=_number)
    count_shown = min(len(epochs), _EPOCHS_SHOWN)
    # Evenly spread over the run, the last one always among them.
    chosen = [epochs[-1 - i * len(epochs) // count_shown] for i in reversed(range(count_shown))]
    parts = [_side([_grid(path, caption) for path, caption in shown])]
    if chosen:
        row = [_grid(grids[name], f"epoch {_number(name)}") for name in chosen]
        parts.append(markup.details("On the way", _side(row, "side small")))
    return markup.section("Images", *parts)


def _number(epoch: str) -> int:
    """Of the folder of an epoch's images, "epoch-0005"."""
    digits = epoch.removeprefix("epoch-")
    return int(digits) if digits.isdecimal() else 0


def _grid(path: Path, caption: str) -> Markup:
    try:
        png = path.read_bytes()
    except OSError:  # a picture that went missing is no reason to have no report
        return Markup("")
    return markup.picture(png, f"a grid of images: {caption}", caption, "pixels")


def _side(figures: list[Markup], kind: str = "side") -> Markup:
    return Markup(f"<div class='{kind}'>{markup.join(figures)}</div>")


def _curve(figures: Mapping[str, bytes]) -> Markup:
    return markup.picture(
        figures.get("mmd", b""),
        "the discrepancy and the p-value against the number of renders",
        "Each point is an epoch. An unbiased estimate of the discrepancy (the MMD's, unless set "
        "otherwise) scatters around 0 and goes slightly below it when the images match.",
        "figure",
    )


def _tracks(figures: Mapping[str, bytes]) -> Markup:
    return markup.picture(
        figures.get("tracks", b""),
        "the learned mean and deviation of each attribute against the number of renders",
        "The learned mean of each attribute, with its deviation.",
        "figure",
    )


def _distributions(figures: Mapping[str, bytes]) -> Markup:
    return markup.picture(
        figures.get("attributes", b""),
        "histograms of each attribute before learning, learned, and of the target where known",
        "Shares of the scenes, on a square-root scale so that wide and narrow distributions can "
        "be seen together. W1 is the distance of the learned values to the known target; where "
        "that is not known, dashed lines show what the features read from the images.",
        "figure",
    )


def _next_steps(found: Findings, verdict: Verdict) -> Markup:
    parts = [markup.bullets(verdict.advice)]
    for purpose, command in commands(found):
        parts += [Markup(f"<h3>{markup.text(purpose)}</h3>"), markup.code(command)]
    return markup.section("What next", *parts)


def _provenance(provenance: Mapping[str, Any] | None) -> Markup:
    if provenance is None:
        return markup.paragraph("The run has no record of how it came about.")
    return markup.code(json.dumps(provenance, indent=2, ensure_ascii=False))
