"""What the report shows of a refinement: its numbers, its images, and those that were rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasim.report import markup
from metasim.report.findings import Findings
from metasim.report.markup import Markup
from metasim.report.wording import count, duration, plain_number, share

__all__ = ["refinement_section"]

_TAUGHT = {
    "source_only": "renders as they are",
    "refined": "refined renders that passed the gate",
    "target": "target images with labels",
    "ungated": "all refined renders, rejected ones too",
}
_ASKED = {
    "outlines": "edges lie where the instances' outlines are",
    "attributes": "attributes are read as the labels tell them",
    "classes": "classes are read as the labels tell them",
}


def refinement_section(found: Findings) -> Markup:
    """The section of a run's refinement; nothing where there was none."""
    about: Mapping[str, Any] = (found.summary or {}).get("refine") or {}
    if not about:
        return Markup("")
    return markup.section(
        "Refinement",
        Markup(f"<dl>{markup.join(_tiles(about))}</dl>"),
        markup.bullets([str(problem) for problem in about.get("problems") or ()], "caveats"),
        _picture(found, "refinement", "renders, the same refined, and target images"),
        _accuracies(about.get("accuracy") or {}),
        _gate(found, about.get("gate") or {}),
    )


def _tiles(about: Mapping[str, Any]) -> list[Markup]:
    gate = about.get("gate") or {}
    rate = gate.get("rate")
    tiles = [
        markup.tile("Method", str(about.get("method"))),
        markup.tile(
            "Labels still hold",
            "not judged" if rate is None else share(rate),
            "" if rate is None else f"of {count(about.get('judged'))} refined images",
            "" if rate is None else f"of renders {share(gate.get('renders') or 0.0)}",
        ),
    ]
    for key in ("fid", "kid", "mmd"):
        if about.get(key) is not None:
            before = f"before refining {plain_number(about.get(f'{key}_unrefined'))}"
            tiles.append(markup.tile(key.upper(), plain_number(about[key]), before))
    if about.get("ssim") is not None:
        tiles.append(markup.tile("SSIM", plain_number(about["ssim"]), "to the renders"))
    tiles.append(markup.tile("Steps", count(about.get("steps"))))
    tiles.append(markup.tile("Time", duration(about.get("seconds"))))
    return tiles


def _accuracies(accuracy: Mapping[str, Any]) -> Markup:
    rows = [
        [markup.text(_TAUGHT.get(name, name)), markup.bar(value, share(value))]
        for name, value in accuracy.items()
        if value is not None
    ]
    if not rows:
        return Markup("")
    return markup.join(
        [
            markup.table(("A classifier taught by", "tells target images rightly"), rows),
            markup.paragraph(
                "The same small classifier each time, tested on target images that nothing was "
                "learned from. The last row is what images of the target with labels would give.",
                "soft",
            ),
        ]
    )


def _gate(found: Findings, gate: Mapping[str, Any]) -> Markup:
    if gate.get("rate") is None:
        reason = gate.get("reason")
        return markup.paragraph(f"Labels were not judged: {reason}") if reason else Markup("")
    rows = [
        [
            markup.text(_ASKED.get(name, name)),
            markup.text(share(one.get("rate") or 0.0)),
            markup.text(share(one.get("refused") or 0.0)),
        ]
        for name, one in (gate.get("questions") or {}).items()
    ]
    head = ("The gate asks whether", "yes of refined images", "no of wrong labels")
    rejected = f"{count(gate.get('rejected'))} images were rejected."
    return markup.join(
        [
            markup.table(head, rows),
            markup.paragraph(
                f"{rejected} Thresholds are set on renders that were not refined: an image passes "
                "where it answers better than nearly all do whose labels are another scene's.",
                "soft",
            ),
            _picture(found, "rejected", "rejected images, as rendered and as refined"),
        ]
    )


def _picture(found: Findings, name: str, alt: str) -> Markup:
    path = found.run.figure_path(name)
    if not path.is_file():
        return Markup("")
    return markup.picture(path.read_bytes(), alt, "", "pixels")
