"""How experiments and grammars are read from YAML and the command line.

A file's mistakes are reported all at once, each with its line and column; see
:class:`metasim.errors.ConfigError`. Relative paths are relative to the file that names
them, those of the command line to the working directory. An option of a renderer is a path
where it begins with ``./`` or ``../``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metasim.config import overrides as command_line
from metasim.config.checks import experiment_mistakes, renderer_mistakes, weights_mistakes
from metasim.config.draft import (
    complete_experiment,
    complete_grammar,
    complete_renderer,
    renderer_options,
    resolve_paths,
)
from metasim.config.grammars import crossing_mistakes
from metasim.config.settings import (
    Experiment,
    GrammarDocument,
    GrammarFile,
    RendererSpec,
)
from metasim.config.validation import check
from metasim.errors import ConfigError, Mistake
from metasim.options import Options
from metasim.refine.options import Refine, RefineOptions
from metasim.render.options import Workers
from metasim.scene.grammar import SceneGrammar
from metasim.yamlfile import COMMAND_LINE, Document, Mark, Place, read

__all__ = [
    "load_experiment",
    "load_grammar",
    "refine_options",
    "renderer_spec",
    "setting_mistake",
    "workers_setting",
]


def load_experiment(path: Path, overrides: Sequence[str] = (), *, files: bool = True) -> Experiment:
    """The experiment that a YAML file describes.

    Args:
        path: of the file.
        overrides: settings from the command line, each ``dotted.key=YAML``.
        files: whether the images, weights and glyphs it names must be there; a run that is over
            can be used without them.

    Raises:
        ConfigError: with every mistake found.
    """
    document = _read_settings(path, overrides)
    complete_experiment(document, path.stem)
    crossing = {
        **crossing_mistakes(document, ("grammar",)),
        **crossing_mistakes(document, ("target", "grammar")),
    }
    experiment, mistakes = check(Experiment, document, document.broken, crossing)
    mistakes += crossing.values()
    mistakes += experiment_mistakes(document, files=files)
    if experiment is None or mistakes or document.mistakes:
        raise _all(document, mistakes)
    return experiment


def setting_mistake(path: Path, overrides: Sequence[str], place: Place, message: str) -> Mistake:
    """A mistake that showed only when a setting was used, with where that was written.

    Args:
        path: of an experiment that is valid.
        overrides: settings from the command line.
        place: of the setting.
        message: what must hold, what was got, what to do.
    """
    return _read_settings(path, overrides).mistake(place, message)


def load_grammar(path: Path) -> GrammarFile:
    """The grammar in a YAML file of its own, with the renderer that the file names.

    Raises:
        ConfigError: with every mistake found.
    """
    document = _read_mapping(path)
    complete_grammar(document)
    crossing = crossing_mistakes(document, ())
    found, mistakes = check(GrammarDocument, document, document.broken, crossing)
    mistakes += crossing.values()
    if document.data.get("renderer") is not None:
        mistakes += renderer_mistakes(document, ("renderer",), ())
    if found is None or mistakes or document.mistakes:
        raise _all(document, mistakes)
    return GrammarFile(SceneGrammar(root=found.root, max_nodes=found.max_nodes), found.renderer)


def renderer_spec(use: str, options: Sequence[str] = ()) -> RendererSpec:
    """A renderer as named on the command line.

    Args:
        use: an installed plugin's name, or ``package.module:Class``, which is looked for in
            the working directory too.
        options: each ``key=YAML``, for the renderer's constructor.

    Raises:
        ConfigError: when there is no such renderer, or it does not take these options.
    """
    document = Document({"renderer": {"use": use, "options": {}}}, {}, {(): Mark(COMMAND_LINE)})
    command_line.put_options(document, ("renderer", "options"), options)
    complete_renderer(document, ("renderer",))
    mistakes = renderer_mistakes(document, ("renderer",))
    if mistakes or document.mistakes:
        raise _all(document, mistakes)
    return RendererSpec.model_validate(document.data["renderer"])


class _Hired(Options):
    """What the command line says of worker processes, by the key that messages name."""

    workers: Workers


def workers_setting(written: str) -> Workers:
    """The worker processes that the command line asks for.

    Args:
        written: YAML, as ``renderer.workers`` has it.

    Raises:
        ConfigError: with every mistake found.
    """
    document = Document({}, {}, {(): Mark(COMMAND_LINE)})
    command_line.put_options(document, (), [f"workers={written}"])
    found, mistakes = check(_Hired, document)
    if found is None or mistakes or document.mistakes:
        raise _all(document, mistakes)
    return found.workers


class _Refined(Options):
    """What the command line says of a method of refinement, by the key that messages name."""

    refine: Refine


def refine_options(method: str, settings: Sequence[str]) -> Refine:
    """A method of refinement and its settings as given on the command line, for folders of images.

    Args:
        method: its name.
        settings: each ``key=YAML``; paths are relative to the working directory.

    Raises:
        ConfigError: with every mistake found.
    """
    document = Document({"refine": {"method": method}}, {}, {(): Mark(COMMAND_LINE)})
    command_line.put_options(document, ("refine",), settings)
    written = document.data["refine"]
    mistakes = [
        document.mistake(("refine", key), "is of an experiment's scenes, and there are folders")
        for key in sorted(RefineOptions.of_experiments & written.keys())
    ]
    if written.get("condition"):
        message = "is what a simulator knows of its images, and of a folder's nothing is known"
        mistakes.append(document.mistake(("refine", "condition"), f"{message}; leave it out"))
    if method in ("pix2pix", "spade"):  # of which one is not shown the renders by itself
        written.setdefault("condition", [])
        written.setdefault("render", True)
    resolve_paths(document, _Refined)
    found, wrong = check(_Refined, document)
    mistakes += [*wrong, *weights_mistakes(document)]
    if found is None or mistakes or document.mistakes:
        raise _all(document, mistakes)
    return found.refine


def _read_settings(path: Path, overrides: Sequence[str]) -> Document:
    """An experiment's document with the command line's settings put over it."""
    document = _read_mapping(path)
    command_line.apply(
        document,
        overrides,
        Experiment,
        lambda spec, _place: renderer_options(spec, Path(os.path.abspath(path)).parent),
    )
    return document


def _read_mapping(path: Path) -> Document:
    document = read(path)
    if not isinstance(document.data, dict):
        message = "must hold a mapping (key: value), and does not"
        raise ConfigError([*document.mistakes, Mistake(message, str(path), 1, 1)])
    return document


def _all(document: Document, mistakes: list[Mistake]) -> ConfigError:
    """Every mistake once, file by file, from top to bottom, the command line's last."""
    every: dict[Any, Mistake] = {}
    for mistake in [*document.mistakes, *mistakes]:
        # A grammar used twice is wrong once: one place in a file, whatever key leads there.
        spot = (mistake.file, mistake.line, mistake.column, mistake.key.rpartition(".")[2])
        where = spot if mistake.line else mistake.key
        every.setdefault((where, mistake.message), mistake)
    files = list(dict.fromkeys(m.file for m in every.values() if m.file != COMMAND_LINE))
    files.append(COMMAND_LINE)
    ordered = sorted(every.values(), key=lambda m: (files.index(m.file), m.line, m.column))
    return ConfigError(ordered)
