"""Numbers and lists as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = [
    "NOTHING",
    "count",
    "duration",
    "known",
    "listed",
    "p_value",
    "plain_number",
    "share",
    "spread",
]

NOTHING = "\N{EN DASH}"


def known(value: Any) -> bool:
    """Whether it is a finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def plain_number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits, never fewer than its whole part has."""
    if not known(value):
        return NOTHING
    if round(abs(value)) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def count(value: Any) -> str:
    """A number of things, with commas."""
    return f"{value:,.0f}" if known(value) else NOTHING


def p_value(value: Any) -> str:
    """``p = 0.31``, or ``p < 0.001``."""
    if not known(value):
        return f"p {NOTHING}"
    return f"p = {value:.3g}" if value >= 0.001 else "p < 0.001"


def share(value: Any) -> str:
    """A share of 1 in per cent."""
    return f"{100 * value:.1f} %" if known(value) else NOTHING


def spread(moments: Any) -> str:
    """A mean and its deviation."""
    if not isinstance(moments, dict) or not known(moments.get("mean")):
        return NOTHING
    deviation = moments.get("std")
    more = f" \N{PLUS-MINUS SIGN} {plain_number(deviation)}" if known(deviation) else ""
    return f"{plain_number(moments['mean'], 4)}{more}"


def duration(seconds: Any) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if not known(seconds):
        return NOTHING
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def listed(names: Sequence[str], most: int | None = None) -> str:
    """``a, b and c``; beyond ``most`` of them only how many more there are."""
    if most is not None and len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
