from __future__ import annotations

import json
from typing import Any

import pytest

from metasim.config import json_schema


def refs(node: Any) -> set[str]:
    """Every definition a schema refers to."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(refs(value) for value in node.values()))
    return set().union(*map(refs, node)) if isinstance(node, list) else set()


def test_the_schema_is_whole_and_says_what_may_be_written() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert refs(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}
    assert schema["required"] == ["grammar", "renderer", "target"]
    assert "string" in [option.get("type") for option in schema["properties"]["grammar"]["anyOf"]]
    assert [option.get("type") for option in schema["properties"]["features"]["anyOf"]] == [
        None,
        "array",
    ]
    assert schema["$defs"]["GrammarTarget"]["required"] == ["grammar"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["editor", "features", "gradient", "discrepancy"])
def test_a_union_whose_use_is_left_out_is_not_asked_to_fit_one_alone(name: str) -> None:
    """Several fit then, and ``oneOf`` would refuse what the loader takes."""
    schema = json.dumps(json_schema()["properties"][name])
    assert '"discriminator"' in schema
    assert '"oneOf"' not in schema
