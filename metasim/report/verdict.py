"""Did it work? The answer in plain words, with what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metasim.report.attributes import Attribute, Related, apart
from metasim.report.findings import Findings
from metasim.report.wording import listed, p_value, plain_number

__all__ = ["Status", "Verdict", "judge"]

Status = Literal["worked", "not_converged", "not_judged", "unfinished"]

_HEADLINES: dict[Status, str] = {
    "worked": "It worked",
    "not_converged": "It did not converge",
    "not_judged": "It cannot be judged",
    "unfinished": "Not finished yet",
}
_POORLY_READ = 0.9
_SHOWN = 8
_FEW = 25  # held-out images: below, the test notices gross differences alone


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run.

    Attributes:
        status: for programs.
        headline: a few words.
        explanation: sentences, the run's own reason first.
        caveats: sentences on what must not be believed.
        advice: what to try, where it did not work.
        unidentifiable: attributes that these images say nothing about.
    """

    status: Status
    headline: str
    explanation: tuple[str, ...]
    caveats: tuple[str, ...]
    advice: tuple[str, ...]
    unidentifiable: tuple[str, ...]


def judge(found: Findings) -> Verdict:
    """Whether the run worked, why, and what speaks against it."""
    status = _status(found)
    lost = tuple(str(name) for name in found.numbers.get("unidentifiable") or ())
    reason = str((found.summary or {}).get("reason") or "").strip()
    explanation = [_sentence(reason)]
    if status == "unfinished":
        explanation.append(_unfinished(found))
    explanation += ["" if status == "not_judged" else _test(found), _distances(found)]
    return Verdict(
        status=status,
        headline=_headline(found, status, lost),
        explanation=tuple(sentence for sentence in explanation if sentence),
        caveats=tuple(_caveats(found, status, lost)),
        advice=tuple(_ADVICE) if status == "not_converged" else (),
        unidentifiable=lost,
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words[-1:] in '.!?' else '.'}"


def _status(found: Findings) -> Status:
    summary = found.summary
    if summary is None:
        return "unfinished"
    if summary.get("converged"):
        return "worked"
    # The test was passed and yet tells nothing: it could not have been failed.
    passed = (summary.get("p_value") or 0.0) >= found.p_threshold
    return "not_judged" if passed or _learned_nothing(found) else "not_converged"


def _learned_nothing(found: Findings) -> bool:
    """Whether the experiment leaves its scenes as the grammar samples them."""
    editor = found.config.get("editor")
    return isinstance(editor, Mapping) and editor.get("use") == "prior"


def _headline(found: Findings, status: Status, lost: Sequence[str]) -> str:
    if status == "not_judged" and _learned_nothing(found):
        return "No scene parameter was to be learned"
    if status != "worked" or not lost:
        return _HEADLINES[status]
    attributes = found.numbers.get("attributes") or {}
    if set(lost) >= set(attributes):
        return "The images match, but tell nothing of the attributes"
    few = listed(lost) if len(lost) <= 3 else f"{len(lost)} of {len(attributes)} attributes"
    return f"{_HEADLINES[status]}, except for {few}"


def _unfinished(found: Findings) -> str:
    epochs = len(found.metrics)
    so_far = f"{epochs} {'epoch' if epochs == 1 else 'epochs'} so far" if epochs else "no epoch yet"
    return (
        f"The run has no summary: it still goes on, or it was stopped ({so_far}). "
        "What follows is its state up to now."
    )


def _test(found: Findings) -> str:
    """What the permutation test says of the images."""
    now, before = (found.numbers.get(key) for key in ("p_value", "p_value_prior"))
    if now is None:
        return "" if found.summary is None else "No test compared the images with the target."
    ability = "cannot tell" if now >= found.p_threshold else "can still tell"
    history = "" if before is None else f"; before learning {p_value(before)}"
    return (
        f"A permutation test {ability} the generated images from target images that were held "
        f"out ({p_value(now)}{history}; {found.p_threshold:g} or more counts as matching)."
    )


def _distances(found: Findings) -> str:
    """How much nearer the known truth came."""
    units = {one.name: one.unit for one in found.attributes}
    told = [
        f"{name} {plain_number(w1['prior'])} \N{RIGHTWARDS ARROW} {plain_number(w1['learned'])} "
        f"{units.get(name, '')}".rstrip()
        for name, w1 in found.distances.items()
        if len(w1) == 2
    ]
    if not told:
        return ""
    return f"The truth is known here. Distance to it (W1), before and now: {listed(told, _SHOWN)}."


def _caveats(found: Findings, status: Status, lost: Sequence[str]) -> list[str]:
    told = []
    numbers = found.numbers
    if lost:
        it, its, shows = (
            ("it", "its", "it shows") if len(lost) == 1 else ("them", "their", "they show")
        )
        told.append(
            f"{listed(lost)} cannot be learned from these images: changing {it} hardly changes "
            f"the discrepancy, so {its} learned values mean nothing. Hold {it} fixed in the "
            f"grammar (mutable: false), or use images or features in which {shows}."
        )
    poor = [name for name in _poorly_read(numbers) if name not in lost]
    if poor:
        told.append(
            f"The features read {listed(poor, _SHOWN)} poorly, hardly better than guessing the "
            "mean; more renders to teach them with (features.renders) may help."
        )
    distances = found.distances
    far = [
        one.name
        for one in found.attributes
        if one.name not in lost and _far(one, distances.get(one.name, {}))
    ]
    if far and status == "worked":
        told.append(
            f"The images match, and yet {listed(far, _SHOWN)} stayed far from the known truth: "
            "other values give images that the features cannot tell apart."
        )
    told += [_apart(pair) for pair in apart(found.attributes)[:_SHOWN]]
    held_out = numbers.get("held_out")
    if held_out is not None and held_out < _FEW and status != "not_judged":
        told.append(
            f"Only {held_out} target images were held out for the test, so it notices gross "
            f"differences alone; give {4 * _FEW} target images or more."
        )
    before = numbers.get("p_value_prior")
    if before is not None and before >= found.p_threshold and status != "not_judged":
        told.append(
            f"Already before learning the test could not tell the images apart "
            f"({p_value(before)}): there was nothing to learn, or the features do not see it."
        )
    return told


def _apart(pair: Related) -> str:
    now, wanted = (pair.correlations[which] for which in ("learned_read", "target_read"))
    return (
        f"{listed(pair.names)} go together otherwise than in the target's images: their "
        f"correlation, as the features read them, is {now:.2f}, and {wanted:.2f} in the target."
    )


def _poorly_read(numbers: Mapping[str, Any]) -> list[str]:
    errors = (numbers.get("features") or {}).get("error") or {}
    return [name for name, error in errors.items() if error is None or error > _POORLY_READ]


def _far(one: Attribute, w1: Mapping[str, float]) -> bool:
    """Whether learning brought an attribute hardly nearer to the known truth."""
    before, now = w1.get("prior"), w1.get("learned")
    if before is None or now is None:
        return False
    return now > 0.02 * (one.high - one.low) and now > 0.5 * before


_ADVICE = (
    "If the discrepancy was still falling, allow more renders (training.max_renders).",
    "If an attribute is read poorly by the features, teach them with more renders "
    "(features.renders).",
    "If the pictures differ in looks (colours, texture, blur) rather than in layout, keep "
    "features.randomise_appearance on, and judge by the pictures: the test sees the looks too.",
    "If the target shows what the grammar cannot make, widen its ranges or add what is missing.",
)
