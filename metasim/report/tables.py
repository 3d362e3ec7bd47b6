"""The tables of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metasim.report import markup
from metasim.report.attributes import RELATED, SAMPLES, Attribute, Related
from metasim.report.findings import Findings
from metasim.report.markup import Markup
from metasim.report.verdict import Verdict
from metasim.report.wording import NOTHING, plain_number, spread

__all__ = ["attribute_table", "correlation_table", "feature_table", "reading_table"]


def attribute_table(found: Findings, verdict: Verdict) -> Markup:
    """What each attribute was, became and should be; nothing where there are none."""
    about: Mapping[str, Any] = found.numbers.get("attributes") or {}
    if not about:
        return Markup("")
    known = {one.name: one for one in found.attributes}
    head = (
        "Attribute",
        "Before",
        "Learned",
        "Target",
        "Error of the mean",
        "W1 before",
        "W1 now",
        "Sensitivity",
        "Identifiable",
    )
    lost = set(verdict.unidentifiable)
    distances = found.distances
    rows = [
        [
            *_moments(name, one),
            markup.text(plain_number(_mean_error(one, known.get(name)))),
            *(
                markup.text(plain_number(distances.get(name, {}).get(which)))
                for which in ("prior", "learned")
            ),
            markup.text(plain_number(one.get("sensitivity"))),
            _identifiable(name in lost, found.summary is not None),
        ]
        for name, one in about.items()
    ]
    return markup.join(
        [
            markup.table(head, rows),
            markup.paragraph(
                "Mean \N{PLUS-MINUS SIGN} standard deviation (circular for angles). W1 is the "
                "1-Wasserstein distance to the target's true values, in the attribute's unit. "
                "Sensitivity is how much the discrepancy answers to the attribute; one that it "
                "does not answer to cannot be identified from these images.",
                "soft",
            ),
        ]
    )


def _moments(name: str, about: Mapping[str, Any]) -> list[Markup]:
    samples = ("prior", "learned", "target")
    return [_named(name, about.get("unit")), *(markup.text(spread(about.get(w))) for w in samples)]


def _named(name: str, unit: Any) -> Markup:
    named = markup.text(name)
    return Markup(f"{named} <span class='unit'>{markup.text(unit)}</span>") if unit else named


def _identifiable(lost: bool, judged: bool) -> Markup:
    return (
        Markup("<span class='no'>no</span>") if lost else markup.text("yes" if judged else NOTHING)
    )


def _mean_error(about: Mapping[str, Any], one: Attribute | None) -> Any:
    """How far the learned mean is from the true one, the short way round."""
    if about.get("mean_error") is not None:
        return about["mean_error"]
    learned, target = ((about.get(which) or {}).get("mean") for which in ("learned", "target"))
    if learned is None or target is None:
        return None
    if one is not None:
        return one.apart(learned, target)
    return None if about.get("periodic") else abs(learned - target)


def correlation_table(related: Sequence[Related]) -> Markup:
    """The pairs of attributes that go together; nothing where none do."""
    if not related:
        return Markup("")
    rows = [
        [
            markup.text(" and ".join(pair.names)),
            *(markup.text(_correlation(pair.correlations.get(which))) for which in SAMPLES),
        ]
        for pair in related
    ]
    head = ("Attributes", "Before", "Learned", "Target", "Read: generated", "Read: target")
    return markup.join(
        [
            markup.table(head, rows),
            markup.paragraph(
                f"Pairs correlated by {RELATED} or more anywhere; angles are unrolled around their "
                "mean first. Read: of the ranks, as the features read them from generated "
                "images and from target images.",
                "soft",
            ),
        ]
    )


def _correlation(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def reading_table(found: Findings) -> Markup:
    """What was read from generated and from target images; nothing where nothing was."""
    read = [one for one in found.attributes if one.distance("learned_read") is not None]
    if not read:
        return Markup("")
    head = ("Attribute", "Generated images", "Target images", "W1 between them")
    rows = [
        [
            _named(one.name, one.unit),
            *(markup.text(_middle(one, w)) for w in ("learned_read", "target_read")),
            markup.text(plain_number(one.distance("learned_read"))),
        ]
        for one in read
    ]
    return markup.join(
        [
            markup.table(head, rows),
            markup.paragraph(
                "What the features read from fresh generated images and from held-out target "
                "images, without any label of these: mean \N{PLUS-MINUS SIGN} half the width of "
                "the middle 68 %, which a few images that are read all wrong do not widen. They "
                "make the same mistakes in both, so these columns are to be compared with each "
                "other, not with true values.",
                "soft",
            ),
        ]
    )


def _middle(one: Attribute, which: str) -> str:
    read = one.moments(which)
    return spread(read and {"mean": read["mean"], "std": read["middle"]})


def feature_table(found: Findings) -> Markup:
    """How well the features read each attribute; nothing where that was not measured."""
    features: Mapping[str, Any] = found.numbers.get("features") or {}
    used = " + ".join(str(name) for name in features.get("use") or ())
    errors: Mapping[str, Any] = features.get("error") or {}
    parts = [markup.paragraph(f"Images were compared by: {used}.")] if used else []
    if errors:
        rows = [[markup.text(name), _read(error)] for name, error in errors.items()]
        parts += [
            markup.table(("Attribute", "How well it is read"), rows, numeric=2),
            markup.paragraph(
                "The longer the bar, the better. The error is measured on images that the "
                "features were not taught with, relative to always guessing the mean: 0 is "
                "perfect, 1 tells nothing.",
                "soft",
            ),
        ]
    return markup.join(parts)


def _read(error: Any) -> Markup:
    if error is None:
        return markup.text("not measured")
    return markup.bar(1 - error, f"error {plain_number(error)}")
