"""The numbers of categories in the formats that number them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["category_ids"]


def category_ids(
    labels: Iterable[Mapping[str, Any]], classes: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Ids from 1 by (kind, category): those known beforehand, then others, each by alphabet.

    Args:
        labels: lines of ``labels.jsonl``.
        classes: (kind, category) pairs that there may be.
    """
    found = {(i["kind"], i["category"]) for item in labels for i in item["instances"]}
    known = sorted({(kind, name) for kind, name in classes})
    ordered = [*known, *sorted(found - set(known))]
    return {pair: number for number, pair in enumerate(ordered, start=1)}
