"""Everything a run left behind, read once, as far as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metasim import yamlfile
from metasim.errors import ConfigError, RunError
from metasim.report.attributes import Attribute, read_attributes
from metasim.runs import RunDir

__all__ = ["Findings", "read_findings"]

_P_THRESHOLD = 0.05
_SO_FAR = ("renders", "seconds", "discrepancy", "task_accuracy")


@dataclass(frozen=True)
class Findings:
    """What is known of a run.

    Attributes:
        run: where it is.
        config_text: its resolved configuration as written.
        config: the same as data; empty where it cannot be parsed.
        summary: None while the run has not ended.
        metrics: one line for each epoch so far.
        evaluation: samples of the attributes; None before the first evaluation.
        attributes: the evaluation's.
        provenance: None where the run has none.
    """

    run: RunDir
    config_text: str
    config: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    metrics: list[dict[str, Any]]
    evaluation: Mapping[str, Any] | None
    attributes: list[Attribute]
    provenance: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The experiment's."""
        return str(self.config.get("name") or self.run.path.parent.name)

    @property
    def p_threshold(self) -> float:
        """The p-value from which on images count as matching."""
        training = self.config.get("training")
        told = training.get("p_value") if isinstance(training, Mapping) else None
        try:
            return float(told) if told is not None else _P_THRESHOLD
        except (TypeError, ValueError):
            return _P_THRESHOLD

    @property
    def numbers(self) -> dict[str, Any]:
        """The summary, or what the metrics so far say instead of it."""
        return dict(self.summary) if self.summary is not None else self._so_far()

    @property
    def distances(self) -> dict[str, dict[str, float]]:
        """W1 to the known truth by attribute, "prior" and "learned"; what is known of it.

        The summary's own numbers come before what the samples say.
        """
        samples = {
            one.name: {which: one.distance(which) for which in ("prior", "learned")}
            for one in self.attributes
        }
        told: dict[str, dict[str, float]] = {}
        summarised = (self.summary or {}).get("attributes") or {}
        for name in dict.fromkeys([*samples, *summarised]):
            now = (summarised.get(name) or {}).get("w1")
            both = {**samples.get(name, {}), **({} if now is None else {"learned": now})}
            known = {which: w1 for which, w1 in both.items() if w1 is not None}
            if known:
                told[name] = known
        return told

    def _so_far(self) -> dict[str, Any]:
        if not self.metrics:
            return {}
        last = self.metrics[-1]
        told: dict[str, Any] = {key: last[key] for key in _SO_FAR if key in last}
        tested = [line["p_value"] for line in self.metrics if line.get("p_value") is not None]
        return {
            **told,
            "steps": last.get("step"),
            "attempts": int(last.get("attempt") or 0) + 1,
            "p_value": tested[-1] if tested else None,
            "attributes": self._attributes_so_far(last.get("attributes") or {}),
        }

    def _attributes_so_far(self, learned: Mapping[str, Any]) -> dict[str, Any]:
        known = {one.name: one for one in self.attributes}
        return {name: _so_far(known.get(name), moments) for name, moments in learned.items()}


def _so_far(one: Attribute | None, learned: Any) -> dict[str, Any]:
    if one is None:
        return {"learned": learned}
    told: dict[str, Any] = {"unit": one.unit, "periodic": one.periodic, "learned": learned}
    for which in ("prior", "target"):
        moments = one.moments(which)
        if moments:
            told[which] = moments
    return told


def read_findings(run: RunDir) -> Findings:
    """Read a run that has ended, was stopped, or still goes on.

    Raises:
        RunError: when one of its files is damaged.
    """
    text = run.read_config()
    evaluation = run.read_evaluation()
    return Findings(
        run=run,
        config_text=text,
        config=_parsed(text),
        summary=run.read_summary() if run.ended else None,
        metrics=run.read_metrics(),
        evaluation=evaluation,
        attributes=read_attributes(evaluation),
        provenance=_provenance(run),
    )


def _parsed(text: str) -> Mapping[str, Any]:
    """The configuration as data, as far as that goes: the report shows its text anyway."""
    try:
        data = yamlfile.parse(text, "config.yaml").data
    except ConfigError:
        return {}
    return data if isinstance(data, Mapping) else {}


def _provenance(run: RunDir) -> Mapping[str, Any] | None:
    try:
        return run.read_provenance()
    except RunError:  # the report can do without
        return None
