"""The JSON schema of an experiment's YAML, for editors that check while one types."""

from __future__ import annotations

from typing import Any

from metasim.config.settings import Experiment

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """The schema of the file as written, which says less than a loaded experiment holds."""
    schema = Experiment.model_json_schema()
    definitions = schema["$defs"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "metasim experiment"
    schema["required"] = [name for name in schema["required"] if name != "name"]
    features = schema["properties"]["features"]
    schema["properties"]["features"] = {"anyOf": [features["items"], features]}
    target = definitions["GrammarTarget"]
    target["required"] = ["grammar"]
    for holder in (schema, target):
        inline = holder["properties"]["grammar"]
        file = {"type": "string", "description": "path of a grammar's YAML file"}
        holder["properties"]["grammar"] = {"anyOf": [file, inline]}
    partial = {**definitions["RendererSpec"], "required": []}
    definitions["PartialRendererSpec"] = partial
    _allow_no_use(schema)
    target["properties"]["renderer"] = {"$ref": "#/$defs/PartialRendererSpec"}
    return schema


def _allow_no_use(part: Any) -> None:
    """Where ``use`` may be left out, several of a union fit, of which pydantic wants just one."""
    if isinstance(part, dict):
        if "oneOf" in part and "discriminator" in part:
            part["anyOf"] = part.pop("oneOf")
        for below in part.values():
            _allow_no_use(below)
    elif isinstance(part, list):
        for below in part:
            _allow_no_use(below)
