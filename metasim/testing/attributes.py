"""The promise that every attribute does something to the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metasim.scene.attribute import Attribute
from metasim.scene.graph import Scene, Value
from metasim.testing.broken import require
from metasim.testing.subject import SOUGHT, Subject, example_of

__all__ = ["acts", "attributes_act", "example_covers_kinds", "swept", "values_to_try"]

_SWEEP = 5
_MOST = 16


def example_covers_kinds(subject: Subject) -> None:
    """The example shows every kind, and every attribute with values to try.

    Where the renderer has no example, or its options decide what it knows, the grammar must.
    """
    found = type(subject.renderer)
    as_shown = subject.renderer.kinds == getattr(found, "kinds", None)
    grammar = (example_of(found) if as_shown else None) or subject.grammar
    missing = []
    for kind, attributes in subject.renderer.kinds.items():
        nodes = [node for node in grammar.nodes.values() if node.kind == kind]
        if not nodes:
            missing.append(kind)
        for key in sorted(attributes):
            shown = [node.attributes[key] for node in nodes if key in node.attributes]
            if not any(len(values_to_try(attribute)) > 1 for attribute in shown):
                missing.append(f"{kind}.{key}")
    require(
        not missing,
        f"the example must show what is in kinds, or it is not checked: add {', '.join(missing)} "
        "(an attribute with a range or several values), or take it out of kinds",
    )


def attributes_act(subject: Subject) -> None:
    """Each attribute of the grammar, given other values, changes pixels in some scene."""
    for node in subject.grammar.nodes.values():
        for key, attribute in node.attributes.items():
            values = values_to_try(attribute)
            if len(values) == 1:
                continue
            scenes = subject.scenes_with(node.name)
            require(
                bool(scenes),
                f"{node.name!r} must occur to be checked, and {SOUGHT} scenes have none; "
                "raise its count",
            )
            require(
                any(acts(subject, scene, node.name, key, values) for scene in scenes),
                f"{node.name}.{key} must act on the image; given {len(values)} values from "
                f"{values[0]} to {values[-1]} in {len(scenes)} scenes it changed no pixel "
                "(draw it, or take it out of kinds)",
            )


def values_to_try(attribute: Attribute) -> Sequence[Value]:
    """Values to try, one where there is nothing to choose from."""
    if attribute.categories is not None:
        some = np.linspace(0, len(attribute.categories) - 1, _MOST).astype(int)
        return [attribute.categories[place] for place in sorted({*some.tolist()})]
    # The upper end itself is left out: on a periodic attribute it is the start again.
    shares = [step / _SWEEP for step in range(_SWEEP)]
    if attribute.range is not None:
        low, high = attribute.range
        return [low + (high - low) * share for share in shares]
    return list(dict.fromkeys(attribute.prior.quantile(s + 0.5 / _SWEEP) for s in shares))


def acts(subject: Subject, scene: Scene, name: str, key: str, values: Sequence[Value]) -> bool:
    """Whether pixels change as the nodes called ``name`` are given other values of ``key``."""
    images = subject.draw(swept(scene, name, key, values)).images
    return bool((images != images[:1]).any())


def swept(scene: Scene, name: str, key: str, values: Sequence[Value]) -> list[Scene]:
    """The scene with each of the values for ``key`` in the nodes called ``name``."""
    return [
        scene.with_attributes({key: value} if n.name == name else None for n in scene.nodes)
        for value in values
    ]
