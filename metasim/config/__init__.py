"""The experiment: its settings, and how they are read from YAML and the command line."""

from __future__ import annotations

from metasim.config.loading import (
    load_experiment,
    load_grammar,
    refine_options,
    renderer_spec,
    setting_mistake,
    workers_setting,
)
from metasim.config.schema import json_schema
from metasim.config.settings import (
    Experiment,
    GrammarFile,
    GrammarTarget,
    ImagesTarget,
    Output,
    RendererSpec,
    Target,
    differences,
)

__all__ = [
    "Experiment",
    "GrammarFile",
    "GrammarTarget",
    "ImagesTarget",
    "Output",
    "RendererSpec",
    "Target",
    "differences",
    "json_schema",
    "load_experiment",
    "load_grammar",
    "refine_options",
    "renderer_spec",
    "setting_mistake",
    "workers_setting",
]
