"""Attributes in the generator configuration format that :mod:`metasim.scene.importer` reads."""

from __future__ import annotations

import json
import re
from typing import Any

from metasim.errors import Mistake, did_you_mean
from metasim.scene.distributions import LARGEST

__all__ = ["FRAMES", "NAME", "SPECIAL", "Findings", "read_attributes", "show"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_DISTRIBUTIONS = ("Deterministic", "Gaussian", "Uniform")
_RENAMED = {"loc_x": "x", "loc_y": "y"}
_MOST = LARGEST / 10
_GLYPH_PIXELS = 28  # a digit of this size has our scale 1
_IN_FRAME = frozenset({"loc_x", "loc_y", "yaw", "size_x", "size_y"})
_NOT_NEGATIVE = frozenset({"size_x", "size_y", "scale", "noise"})
_DROPPED = {
    "features": "every numeric attribute is encoded here",
    "dataset": "the renderer decides what is drawn",
    "directed": "a scene is a tree here, read in both directions",
    "num_samples": "give it as metasim generate --count",
    "asset_dir": "give the glyphs' folder as renderer.options.glyphs",
    "output_dir": "give it as metasim generate --out",
}
SPECIAL = frozenset({"mutable", "immutable", "size", *_DROPPED})
"""Keys among the attributes that are none."""

FRAMES = frozenset({"scene", "background"})
"""Kinds of nodes that stand for the picture as a whole, or for its ground."""


class Findings:
    """The mistakes in a file, and what was read in a special way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self._notes: dict[str, list[str]] = {}

    def lines(self) -> tuple[str, ...]:
        """The notes, each with the places it is about."""
        return tuple(f"{note} ({', '.join(places)})" for note, places in self._notes.items())

    def wrong(self, path: str, message: str) -> None:
        """Note a mistake at a JSON path."""
        self.mistakes.append(Mistake(message, self.file, key=path))

    def note(self, text: str, path: str) -> None:
        """Note that ``text`` holds for the node at ``path``."""
        self._notes.setdefault(text, []).append(path)

    def dropped(self, name: str, path: str, why: str) -> None:
        """Note that the attribute ``name`` of the node at ``path`` has no counterpart."""
        self.note(f"dropped {name}: {why}", path)


def read_attributes(
    findings: Findings, written: dict[str, Any], path: str, mutable: tuple[str, ...], kind: str
) -> dict[str, Any]:
    """Our attributes for those of one node.

    Args:
        findings: takes mistakes and notes.
        written: the node's ``attributes``.
        path: their JSON path.
        mutable: names of the attributes that are learned, unless the node is immutable.
        kind: the node's kind; one of ``FRAMES`` has no place, size or angle.
    """
    immutable = written.get("immutable", False)
    if not isinstance(immutable, bool):
        findings.wrong(f"{path}.immutable", f"must be true or false, got {show(immutable)}")
    found: dict[str, Any] = {}
    for name, spec in written.items():
        if name in _DROPPED:
            findings.dropped(name, path, _DROPPED[name])
        elif name not in SPECIAL:
            learned = name in mutable and not immutable
            for ours, attribute in _ours(findings, name, spec, path, kind, learned=learned).items():
                if ours in found:
                    findings.wrong(f"{path}.{name}", f"another attribute here is {ours} as well")
                found[ours] = attribute
    return _scaled(findings, found, path) if kind == "digit" else found


def _ours(
    findings: Findings, name: str, spec: Any, path: str, kind: str, *, learned: bool
) -> dict[str, Any]:
    """Our attribute for one of theirs, by its name; empty where it has no counterpart."""
    if name == "texture":
        return _texture(findings, spec, path, kind, learned=learned)
    attribute = _attribute(findings, name, spec, f"{path}.{name}", learned=learned)
    if kind in FRAMES and name in _IN_FRAME:
        findings.dropped(name, path, "the picture as a whole has no place of its own")
        return {}
    return {_RENAMED.get(name, name): attribute} if attribute else {}


def _texture(
    findings: Findings, spec: Any, path: str, kind: str, *, learned: bool
) -> dict[str, Any]:
    """A digit's texture is which exemplar it is, a background's its grey level."""
    here = f"{path}.texture"
    if kind == "digit":
        if learned:
            findings.note("a digit's texture is not learned: it is one exemplar or another", here)
        if spec not in ("Random", "Deterministic"):
            findings.wrong(here, f'must be "Random" or "Deterministic", got {show(spec)}')
        return {"glyph": {"prior": 0}} if spec == "Deterministic" else {}
    if kind == "scene" or isinstance(spec, str):
        why = "only a digit's texture and a background's grey level are drawn"
        findings.dropped("texture", path, why)
        return {}
    found = _attribute(findings, "texture", spec, here, learned=learned)
    if kind != "background" or not found:
        return {"texture": found} if found else {}
    return {"level": found | {"prior": _share(found["prior"], spec[3]), "range": [0, 1]}}


def _share(prior: Any, top: float) -> Any:
    """A prior with all its numbers divided by ``top``."""
    if isinstance(prior, dict):
        return {key: _share(value, top) for key, value in prior.items()}
    return prior / top


def _attribute(
    findings: Findings, name: str, spec: Any, path: str, *, learned: bool
) -> dict[str, Any]:
    if not NAME.fullmatch(name):
        findings.wrong(path, "the name of an attribute must be of letters, digits, '_' and '-'")
        return {}
    if not (isinstance(spec, list) and len(spec) == 4):
        listed = " or ".join(_DISTRIBUTIONS)
        findings.wrong(path, f"must be [{listed}, a, b, max], got {show(spec)}")
        return {}
    if spec[0] not in _DISTRIBUTIONS:
        near = did_you_mean(str(spec[0]), _DISTRIBUTIONS)
        findings.wrong(f"{path}[0]", f"no distribution is called {show(spec[0])}; {near}")
    for index in (1, 2, 3):
        if not _is_number(spec[index]):
            message = f"must be a number of less than {_MOST:g} in size, got {show(spec[index])}"
            findings.wrong(f"{path}[{index}]", message)
            return {}
    how, a, b, top = spec
    if top <= 0:
        findings.wrong(f"{path}[3]", f"max must be above 0, got {top:g}")
        return {}
    if name in _NOT_NEGATIVE and a < 0:
        findings.wrong(f"{path}[1]", f"must not be negative, got {a:g}")
    found: dict[str, Any] = {"prior": _prior(findings, how, a, b, path)}
    if name == "yaw":
        found |= {"range": [0, top], "unit": "deg", "periodic": True}
    else:
        found["range"] = _range(name, how, a, b, top)
    if name in _RENAMED:
        found["unit"] = "px"
    return found | {"mutable": True} if learned else found


def _range(name: str, how: Any, a: float, b: float, top: float) -> list[float]:
    """From 0 to max, and on to wherever samples lie: in that format, max only normalises."""
    low, high = _reach(how, a, b)
    if name in _NOT_NEGATIVE:
        low = 0
    elif low < 0 and name not in _RENAMED:
        low = min(low, -top)
    return [min(low, 0), max(high, top)]


def _prior(findings: Findings, how: Any, a: float, b: float, path: str) -> Any:
    if how == "Gaussian" and b < 0:
        findings.wrong(f"{path}[2]", f"the deviation must not be negative, got {b:g}")
    elif how == "Uniform" and b < a:
        findings.wrong(f"{path}[2]", f"must be at least {a:g}, the lower end, got {b:g}")
    elif how == "Gaussian" and b > 0:
        return {"normal": {"mean": a, "std": b}}
    elif how == "Uniform" and b > a:
        return {"uniform": {"low": a, "high": b}}
    return a


def _scaled(findings: Findings, found: dict[str, Any], path: str) -> dict[str, Any]:
    """A digit's size in pixels as our ``scale``, where it is one number."""
    sizes = [found.pop(name) for name in ("size_x", "size_y") if name in found]
    if not sizes:
        return found
    if "scale" in found:
        findings.wrong(
            f"{path}.scale", "must not stand beside size_x and size_y, which mean the same"
        )
        return found
    priors = [size["prior"] for size in sizes]
    if len(sizes) == 2 and _is_number(priors[0]) and priors[0] == priors[1] > 0:
        learned = any(size.get("mutable") for size in sizes)
        if learned:
            top = max(size["range"][1] for size in sizes) / _GLYPH_PIXELS
            found["scale"] = {"range": [0, top], "mutable": True}
        if learned or priors[0] != _GLYPH_PIXELS:
            found["scale"] = {"prior": priors[0] / _GLYPH_PIXELS} | found.get("scale", {})
        note = f"size_x and size_y are read as scale, {_GLYPH_PIXELS} pixels being 1"
        findings.note(note, path)
    else:
        findings.dropped("size_x, size_y", path, "only one fixed size for both is kept, as scale")
    return found


def _is_number(value: Any) -> bool:
    # The bound excludes infinity and NaN, and leaves room to compute with what is within.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MOST


def _reach(how: Any, a: float, b: float) -> tuple[float, float]:
    """Both ends of a distribution, but for a thousandth of a normal one's mass on each side."""
    if how == "Gaussian":
        return a - 3 * b, a + 3 * b
    return a, b if how == "Uniform" else a


def show(value: Any) -> str:
    """``value`` as JSON, shortened."""
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
