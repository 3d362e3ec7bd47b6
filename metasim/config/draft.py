"""From a document as written to one that holds everything: grammars, paths, renderers."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from metasim.config.renderers import find, option_names, path_options
from metasim.config.settings import (
    Experiment,
    GrammarDocument,
    ImagesTarget,
    Output,
)
from metasim.config.shape import slots
from metasim.config.validation import fill_choices, type_mistake
from metasim.errors import ConfigError
from metasim.render.options import Workers
from metasim.yamlfile import COMMAND_LINE, Document, Mark, Place, read

__all__ = [
    "complete_experiment",
    "complete_grammar",
    "complete_renderer",
    "folder_of",
    "renderer_options",
    "resolve_paths",
]


def complete_experiment(document: Document, name: str) -> None:
    """Complete an experiment's document in place; mistakes are added to it.

    Args:
        document: as read, with the command line's settings.
        name: of the experiment where the document gives none.
    """
    data = document.data
    data.setdefault("name", name)
    _refuse_two_targets(document)
    for place in (("grammar",), ("target", "grammar")):
        _inline_grammar(document, place)
    fill_choices(Experiment, document)
    output = data.setdefault("output", {})
    if isinstance(output, dict):
        # Nobody wrote this path, so it is relative to the working directory.
        output.setdefault("dir", str(Path.cwd() / Output().dir))
    resolve_paths(document, Experiment)
    renderers: tuple[Place, ...] = (("renderer",), ("target", "renderer"))
    for where in renderers:
        _note_folder(document, where)
    _complete_target_renderer(document)
    for where in renderers:
        _resolve_options(document, where)


def complete_grammar(document: Document) -> None:
    """Complete the document of a grammar's own file in place."""
    resolve_paths(document, GrammarDocument)
    complete_renderer(document, ("renderer",))


def renderer_options(spec: Any, folder: Path) -> frozenset[str] | None:
    """The options that the renderer of a specification takes, None where unknown."""
    if not isinstance(spec, dict):
        return None
    return option_names(find(spec.get("use"), Path(spec.get("folder") or folder)))


def _refuse_two_targets(document: Document) -> None:
    """Refuse a target that has both images and a grammar; what else it holds is judged as well."""
    target = document.data.get("target")
    if not (isinstance(target, dict) and {"images", "grammar"} <= target.keys()):
        return
    message = "must hold either images or grammar, got both; remove one"
    document.mistakes.append(document.mistake(("target",), message))
    for key, info in ImagesTarget.model_fields.items():
        place = ("target", key)
        if key in target and place not in document.broken:
            wrong = type_mistake(info.annotation, target[key])
            document.mistakes += [document.mistake(place, wrong)] if wrong else []
        target.pop(key, None)  # the rest is a grammar's


def _inline_grammar(document: Document, place: Place) -> None:
    """Put the grammar of the file named at ``place`` there."""
    written = document.get(place)
    if not isinstance(written, str):
        return
    path = _absolute(document.mark(place), written)
    try:
        grammar = read(_shown(path))
    except ConfigError as error:
        # A file that is not there is the mistake of the line that names it.
        document.mistakes += [
            m if m.line else document.mistake(place, f"{m.file} {m.message}")
            for m in error.mistakes
        ]
        document.broken.add(place)
        return
    document.mistakes += grammar.mistakes
    if isinstance(grammar.data, dict):
        grammar.data.pop("renderer", None)
        grammar.forget(("renderer",))
    document.graft(place, grammar)


def resolve_paths(document: Document, model: Any) -> None:
    """Make every path absolute, seen from the file that it was written in."""
    for slot in list(slots(model, document.data)):
        if slot.is_path and isinstance(slot.data, str):
            _put(document.data, slot.place, str(_absolute(document.mark(slot.place), slot.data)))


def complete_renderer(document: Document, place: Place) -> None:
    """Note the folder of a ``module:Class``; make its options that are paths absolute."""
    _note_folder(document, place)
    _resolve_options(document, place)


def _note_folder(document: Document, place: Place) -> None:
    """Note where the module of a ``module:Class`` is looked for."""
    spec = document.get(place)
    if not isinstance(spec, dict):
        return
    use = spec.get("use")
    if isinstance(use, str) and ":" in use and spec.get("folder") is None:
        spec["folder"] = str(folder_of(document.mark((*place, "use"))))


def _resolve_options(document: Document, place: Place) -> None:
    """Make a renderer's options that are paths absolute.

    Those are texts that begin with ``./`` or ``../``, and what is there of an option that the
    constructor declares as a ``Path``, or as a mapping or list of paths. What it has by default,
    or names in a ``Literal``, is a name, whatever lies beside the file.
    """
    spec = document.get(place)
    if not (isinstance(spec, dict) and isinstance(spec.get("options"), dict)):
        return
    options = spec["options"] = _option_paths(document, (*place, "options"), spec["options"])
    folder = spec.get("folder")
    found = find(spec.get("use"), Path(folder) if isinstance(folder, str) else None)
    for option in path_options(found, options):
        if option.written not in option.names:
            path = _absolute(document.mark((*place, "options", *option.place)), option.written)
            if path.exists():
                _put(options, option.place, str(path))


def _option_paths(document: Document, place: Place, written: Any) -> Any:
    if isinstance(written, dict):
        return {k: _option_paths(document, (*place, k), v) for k, v in written.items()}
    if isinstance(written, list):
        return [_option_paths(document, (*place, i), v) for i, v in enumerate(written)]
    if isinstance(written, str) and written.startswith(("./", "../")):
        return str(_absolute(document.mark(place), written))
    return written


def _complete_target_renderer(document: Document) -> None:
    """Give the target's renderer what it shares with the learner's."""
    learner, target = document.data.get("renderer"), document.data.get("target")
    if not (isinstance(target, dict) and "grammar" in target):
        return
    own = target.setdefault("renderer", {})
    if not (isinstance(learner, dict) and isinstance(learner.get("use"), str)):
        if isinstance(own, dict) and "use" not in own:
            document.broken.add(("target", "renderer"))  # the mistake is the learner's
        return
    shared = learner.get("options", {})
    if not (isinstance(own, dict) and isinstance(shared, dict)):
        return
    own_options = own.setdefault("options", {})
    if own.get("use", learner.get("use")) == learner.get("use"):
        for key in ("use", "folder"):
            if key not in own and isinstance(learner.get(key), str):
                own[key] = learner[key]
        _share_workers(document, own)
        known = None
    else:
        known = renderer_options(own, Path.cwd())
    if isinstance(own_options, dict):
        for name, value in shared.items():
            if name not in own_options and (known is None or name in known):
                own_options[name] = value
                place = ("target", "renderer", "options", name)
                document.values[place] = document.mark(("renderer", "options", name))


def _share_workers(document: Document, own: dict[str, Any]) -> None:
    """Have the target drawn by as many workers, and so on, as the learner's scenes."""
    shared = document.get(("renderer", "workers"))
    if not isinstance(shared, dict):
        return
    mine = own.setdefault("workers", {})
    if isinstance(mine, dict):
        executor = shared.get("executor", Workers().executor)
        alone = () if mine.get("executor", executor) == executor else ("address", "python")
        taken = shared.keys() - mine.keys() - {*alone}
        mine |= {name: shared[name] for name in shared if name in taken}
        for marks in (document.keys, document.values):  # a mistake of the learner's is told once
            for place, mark in list(marks.items()):
                if place[:2] == ("renderer", "workers") and {*place[2:3]} & taken:
                    marks[("target", *place)] = mark


def folder_of(mark: Mark) -> Path:
    """The folder that paths written at ``mark`` are relative to."""
    here = mark.file in ("", COMMAND_LINE)
    return Path.cwd() if here else Path(os.path.abspath(mark.file)).parent


def _put(data: Any, place: Place, value: Any) -> None:
    for step in place[:-1]:
        data = data[step]
    data[place[-1]] = value


def _absolute(mark: Mark, written: str) -> Path:
    path = Path(written)
    with suppress(RuntimeError):  # no user of that name: then there is no such file either
        path = path.expanduser()
    return Path(os.path.normpath(folder_of(mark) / path))


def _shown(path: Path) -> Path:
    """``path`` as people like to read it: relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
