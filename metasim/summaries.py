"""What the commands answer, as data for programs and in words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metasim.config import Experiment

__all__ = [
    "Answer",
    "checks",
    "columns",
    "describe",
    "experiment",
    "health",
    "refinement",
    "renderers",
    "run",
]


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    Attributes:
        data: for programs.
        text: for people.
        code: the exit code.
    """

    data: dict[str, Any]
    text: str
    code: int = 0


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def run(summary: Mapping[str, Any]) -> str:
    """How a training run went; of one that has not ended, the report's headline."""
    if "converged" in summary:
        failed = "did NOT converge" if summary.get("judged", True) else "cannot be judged"
        verdict = "converged" if summary["converged"] else failed
    else:
        verdict = summary.get("headline", "ended")
    facts = [
        f"{summary['renders']} renders" if "renders" in summary else "",
        f"{summary['seconds']:.1f} s" if _number(summary.get("seconds")) else "",
        f"discrepancy {summary['discrepancy']:.4g}" if _number(summary.get("discrepancy")) else "",
        f"p = {summary['p_value']:.3g}" if _number(summary.get("p_value")) else "",
    ]
    lines = [f"{verdict}: {', '.join(fact for fact in facts if fact)}".rstrip(": ")]
    if not summary.get("converged") and summary.get("reason"):
        lines.append(str(summary["reason"]))
    attributes = summary.get("attributes") or {}
    if attributes:
        head = ("attribute", "prior", "learned", "target", "W1", "")
        rows = [head, *(_attribute_row(name, about) for name, about in attributes.items())]
        lines += ["", columns(rows), ""]
    if refined := summary.get("refine"):
        lines += [*refinement(refined), ""]
    if "run" in summary:
        lines.append(f"run: {summary['run']}")
    if "report" in summary:
        lines.append(f"report: {summary['report']}")
    return "\n".join(lines)


def refinement(about: Mapping[str, Any]) -> list[str]:
    """How a refinement went, a line for each thing that is known of it."""
    gate = about.get("gate") or {}
    lines = [f"refined by {about.get('method')}: {about.get('steps')} steps"]
    if _number(about.get("seconds")):
        lines[0] += f", {about['seconds']:.1f} s"
    if _number(gate.get("rate")):
        lines.append(
            f"labels still hold of {gate['rate']:.1%} of {about.get('judged')} refined images "
            f"({gate.get('rejected')} rejected; of renders {gate['renders']:.1%})"
        )
    elif gate.get("reason"):
        lines.append(f"labels of refined images were not judged: {gate['reason']}")
    names = ("fid", "kid", "mmd")
    known = [name for name in names if _number(about.get(name))]
    told = [f"{n.upper()} {about.get(f'{n}_unrefined', 0):.3g} -> {about[n]:.3g}" for n in known]
    if _number(about.get("ssim")):
        told.append(f"SSIM to the renders {about['ssim']:.2f}")
    if told:
        lines.append(", ".join(told))
    if accuracy := about.get("accuracy"):
        words = {
            "source_only": "renders",
            "refined": "refined renders that passed",
            "target": "target images",
            "ungated": "all refined renders",
        }
        told = [f"{words.get(k, k)} {v:.1%}" for k, v in accuracy.items() if _number(v)]
        lines.append(f"target images told rightly, taught by {', '.join(told)}")
    return [*lines, *(f"problem: {problem}" for problem in about.get("problems") or ())]


def _attribute_row(name: str, about: Mapping[str, Any]) -> tuple[str, ...]:
    moments = [_moments(about.get(which)) for which in ("prior", "learned", "target")]
    w1 = about.get("w1")
    return (name, *moments, f"{w1:.3g}" if _number(w1) else "", str(about.get("unit", "")))


def _moments(about: Any) -> str:
    if not isinstance(about, Mapping) or not _number(about.get("mean")):
        return ""
    std = about.get("std")
    return f"{about['mean']:.4g}" + (f" +- {std:.3g}" if _number(std) else "")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def describe(experiment: Experiment) -> dict[str, Any]:
    """What ``validate`` says of a valid experiment."""
    images = getattr(experiment.target, "images", None)
    return {
        "valid": True,
        "name": experiment.name,
        "renderer": experiment.renderer.use,
        "target": str(images) if images else "drawn from a grammar",
        "editor": experiment.editor.use,
        "features": " + ".join(f.use for f in experiment.features),
        "discrepancy": experiment.discrepancy.use,
        "gradient": experiment.gradient.use,
        "refine": experiment.refine.method if experiment.refine else "no",
        "learns": list(experiment.grammar.learnable),
    }


def experiment(about: Mapping[str, Any]) -> str:
    """What a valid experiment will do."""
    rows = [(key, str(value)) for key, value in about.items() if key not in ("valid", "learns")]
    learned = [("learns", ", ".join(about["learns"]))]
    return "valid\n" + columns([*rows, *learned])


def renderers(found: Sequence[Mapping[str, Any]]) -> str:
    """The installed renderers, a line each."""
    if not found:
        return "no renderer is installed; metasim doctor says why"
    rows = [("name", "class", "draws")]
    for one in found:
        drawn = [f"{kind} ({', '.join(names)})" for kind, names in one.get("kinds", {}).items()]
        rows.append((one["name"], one["class"], one.get("problem") or "; ".join(drawn)))
    return columns(rows)


def checks(results: Sequence[Mapping[str, Any]]) -> str:
    """The results of checking a renderer, a line each."""
    rows = [("ok" if r["passed"] else "FAILED", r["name"], r["message"]) for r in results]
    failed = sum(not r["passed"] for r in results)
    closing = (
        f"{failed} of {len(rows)} checks failed" if failed else f"all {len(rows)} checks passed"
    )
    return f"{columns(rows)}\n{closing}"


def health(found: Mapping[str, Any]) -> str:
    """What ``metasim doctor`` found."""
    memory = f"{found['memory'] / 2**30:.1f} GiB" if found["memory"] else "unknown"
    facts = [
        ("metasim", found["metasim"] or "not installed as a package"),
        ("python", f"{found['python']} ({found['executable']})"),
        ("platform", found["platform"]),
        ("cores", str(found["cores"])),
        ("memory", memory),
        ("devices", ", ".join(found["devices"])),
        ("renderers", ", ".join(found["renderers"]) or "none"),
    ]
    packages = [(name, version or "MISSING") for name, version in found["packages"].items()]
    lacking = [(name, told) for name, every in found["lacking"].items() for told in every]
    problems = [f"- {problem}" for problem in found["problems"]] or ["none found"]
    parts = [
        columns(facts),
        "packages\n" + columns(packages) if packages else "",
        "extras\n" + columns([_extra_row(name, e) for name, e in found["extras"].items()]),
        "renderers that cannot draw here\n" + columns(lacking) if lacking else "",
        "problems\n" + "\n".join(problems),
    ]
    return "\n\n".join(part for part in parts if part)


def _extra_row(name: str, extra: Mapping[str, Any]) -> tuple[str, str, str]:
    if extra["installed"]:
        return name, "installed", extra["adds"]
    if not extra["available"]:
        return name, "not for this Python", extra["adds"]
    return name, "not installed", f"{extra['adds']}; {extra['install']}"
