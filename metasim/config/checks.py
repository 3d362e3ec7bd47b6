"""What types cannot tell: whether the parts of an experiment exist and fit one another.

Nothing is built or rendered and torch is not imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metasim.config.grammars import grammar_nodes
from metasim.config.renderers import (
    drawing_mistakes,
    drawn_size,
    find,
    option_mistakes,
)
from metasim.config.settings import RendererSpec
from metasim.errors import Mistake
from metasim.learn.options import ClasswiseMMD, Pathwise, PixelFeatures, SimulatorFeatures
from metasim.refine.options import Paired, Refine
from metasim.scene.grammar import SceneGrammar
from metasim.yamlfile import Document, Place

__all__ = ["experiment_mistakes", "renderer_mistakes", "weights_mistakes"]

_TARGETS: Place = ("target", "renderer")
_GRAMMAR = TypeAdapter(SceneGrammar)
_PIXELS = TypeAdapter(PixelFeatures)
_REFINE = TypeAdapter[Refine](Refine)


def experiment_mistakes(document: Document, *, files: bool = True) -> list[Mistake]:
    """What does not exist or fit in a completed experiment's document.

    Parts that are not valid in themselves are passed over; :func:`check` tells of those.

    Args:
        document: completed.
        files: whether the images, weights and glyphs it names must be there.
    """
    grammar = _part(document, ("grammar",), _GRAMMAR)
    mistakes = renderer_mistakes(document, ("renderer",), ("grammar",), files=files)
    if grammar:
        mistakes += _learning_mistakes(document, grammar)
    if document.get(("target", "grammar")) is not None:
        mistakes += renderer_mistakes(document, _TARGETS, ("target", "grammar"), files=files)
        mistakes += _size_mistakes(document)
    mistakes += _gradient_mistakes(document, grammar)
    mistakes += _pixel_mistakes(document)
    mistakes += _task_mistakes(document)
    mistakes += _class_mistakes(document)
    mistakes += _refine_mistakes(document)
    if files:
        mistakes += _folder_mistakes(document, ("target", "images"))
        mistakes += _folder_mistakes(document, ("task", "images"))
        mistakes += weights_mistakes(document)
    return list(dict.fromkeys(mistakes))


def _part(document: Document, place: Place, kind: TypeAdapter[Any]) -> Any:
    """The valid part at ``place``, or None."""
    if any(place[: len(start)] == start for start in document.broken):
        return None
    try:
        return kind.validate_json(json.dumps(document.get(place)), strict=True)
    except ValidationError:
        return None


def _renderer(document: Document, place: Place) -> RendererSpec | None:
    """The renderer named at ``place``, whatever else is amiss there; None where none is."""
    written = document.get(place)
    use = written.get("use") if isinstance(written, dict) else None
    if not isinstance(use, str):
        return None
    options, folder = written.get("options"), written.get("folder")
    return RendererSpec(
        use=use,
        options=options if isinstance(options, dict) else {},
        folder=Path(folder) if isinstance(folder, str) else None,
    )


def _drawn_size(document: Document, place: Place) -> tuple[int, int] | None:
    """(height, width) of what the renderer at ``place`` will draw, where that is known."""
    spec = _renderer(document, place)
    return drawn_size(find(spec.use, spec.folder), spec.options) if spec else None


def renderer_mistakes(
    document: Document, place: Place, grammar: Place | None = None, *, files: bool = True
) -> list[Mistake]:
    """Whether a renderer is there, takes its options, and draws a grammar.

    Args:
        document: completed.
        place: of the renderer's specification.
        grammar: place of the grammar it is to draw, if any.
        files: whether the files and folders its options name must be there.
    """
    spec = _renderer(document, place)
    if spec is None:
        return []
    found = find(spec.use, spec.folder)
    if isinstance(found, str):
        # What a target takes over from the learner is the learner's mistake.
        taken_over = place == _TARGETS and (*place, "use") not in document.keys
        return [] if taken_over else [document.mistake((*place, "use"), found)]
    written_here = frozenset(
        name for name in spec.options if (*place, "options", name) in document.keys
    )
    mistakes = option_mistakes(document, place, found, spec.options, written_here, files=files)
    if files:
        mistakes += _interpreter_mistakes(document, (*place, "workers", "python"))
    if grammar is not None:
        written = document.get(grammar)
        mistakes += drawing_mistakes(document, grammar, written, found, spec.use, spec.options)
    return mistakes


def _interpreter_mistakes(document: Document, place: Place) -> list[Mistake]:
    """Whether the interpreter that workers are to run is a program that is there."""
    written = document.get(place)
    if not isinstance(written, str) or (Path(written).is_file() and os.access(written, os.X_OK)):
        return []
    what = "is no program" if Path(written).exists() else "does not exist"
    return [document.mistake(place, f"must be a Python interpreter; {written} {what}")]


def _learning_mistakes(document: Document, grammar: SceneGrammar) -> list[Mistake]:
    """Whether there is something to learn, in nodes that a scene may have."""
    if not grammar.learnable:
        message = "nothing can be learned: no numeric attribute is marked mutable: true"
        return [document.mistake(("grammar",), message)]
    absent = {below.name: node.name for node in grammar.absent for below in node.walk()}
    learned = [label.partition(".")[0] for label in grammar.learnable]
    if not all(name in absent for name in learned):
        return []
    written = grammar_nodes(("grammar",), document.get(("grammar",)))
    places = {node["name"]: here for here, node in written}
    message = (
        "nothing can be learned: no scene has a node with an attribute that is marked mutable: "
        "true, since this count is always 0; raise it"
    )
    stuck = dict.fromkeys(absent[name] for name in learned)
    return [document.mistake((*places[name], "count"), message) for name in stuck]


def _gradient_mistakes(document: Document, grammar: SceneGrammar | None) -> list[Mistake]:
    """Whether the renderer offers the gradient that is asked for, in all that is to be learned."""
    spec = _renderer(document, ("renderer",))
    if document.get(("gradient", "use")) != Pathwise().use or spec is None:
        return []
    found = find(spec.use, spec.folder)
    if isinstance(found, str):
        return []
    others = "use score_function, finite_difference, spsa, surrogate or auto"
    place = ("gradient", "use")
    if found.isolated or document.get(("renderer", "workers")) is not None:
        message = "'pathwise' needs a renderer in this process, and not in workers"
        leave = "" if found.isolated else "leave renderer.workers out, or "
        return [document.mistake(place, f"{message}; {leave}{others}")]
    if not callable(getattr(found, "render_tensor", None)):
        message = (
            f"'pathwise' needs a renderer that offers render_tensor, and {spec.use!r} does not"
        )
        return [document.mistake(place, f"{message}; {others}")]
    known = getattr(found, "differentiable", None)
    if grammar is None or not isinstance(known, Collection):
        return []
    if stuck := [label for label in grammar.learnable if label.partition(".")[2] not in known]:
        message = f"'pathwise' needs a renderer that is differentiable in {', '.join(stuck)}"
        return [document.mistake(place, f"{message}, which {spec.use!r} is not; {others}")]
    return []


def _size_mistakes(document: Document) -> list[Mistake]:
    """Whether the target is drawn in another size than the learner's scenes, where that is known.

    What only a renderer that was built can tell is found before the target is drawn.
    """
    place: Place = (*_TARGETS, "options", "image_size")
    learner, target = (_drawn_size(document, start) for start in (("renderer",), _TARGETS))
    if learner is None or target is None or learner == target:
        return []
    message = (
        f"must be {list(learner)} (height, width), as the learner's renderer draws, got "
        f"{list(target)}; give both renderers the same size"
    )
    return [document.mistake(place, message)]


def _pixel_mistakes(document: Document) -> list[Mistake]:
    """Whether pixels are asked for that the learner's images do not have, where that is known."""
    size = _drawn_size(document, ("renderer",))
    if size is None:
        return []
    mistakes = []
    for place, _ in _features(document):
        pixels = _part(document, place, _PIXELS)
        if pixels and (message := pixels.mistake(size)):
            mistakes.append(document.mistake((*place, "size"), message))
    return mistakes


def _features(document: Document) -> list[tuple[Place, Any]]:
    """Each entry of the features, with its place; one alone need not be in a list."""
    written = document.get(("features",))
    if isinstance(written, list):
        return [(("features", index), entry) for index, entry in enumerate(written)]
    return [(("features",), written)]


def _task_mistakes(document: Document) -> list[Mistake]:
    """Whether the task has labelled images: a folder's, or those of the target's grammar."""
    task, target = document.get(("task",)), document.get(("target",))
    if not (isinstance(task, dict) and isinstance(target, dict)):
        return []
    named = task.get("images") is not None or ("task", "images") in document.broken
    if named or "images" not in target or "grammar" in target:
        return []
    message = (
        "must name labelled images where the target is a folder, whose images have no labels; "
        "add images: FOLDER (one sub-folder for each class, or a generated dataset), or leave "
        "the task out"
    )
    return [document.mistake(("task",), message, key=True)]


def _refine_mistakes(document: Document) -> list[Mistake]:
    """Whether there are pairs for a method that learns from such, and a gradient for rounds."""
    options = _part(document, ("refine",), _REFINE)
    mistakes = []
    target = document.get(("target",))
    if isinstance(options, Paired) and isinstance(target, dict) and "images" in target:
        named = document.get(("refine", "method"))
        message = (
            f"{named!r} learns from pairs of a render and a target image of one scene, "
            "and of a folder's images no scenes are known; choose cut or cyclegan, or refine "
            "folders of pairs: metasim refine --method"
        )
        mistakes.append(document.mistake(("refine", "method"), message))
    if options and options.rounds > 1 and document.get(("gradient", "use")) == Pathwise().use:
        message = (
            "from the second round on scenes are learned from refined images, through which "
            "'pathwise' has no gradient; use another gradient, or one round"
        )
        mistakes.append(document.mistake(("refine", "rounds"), message))
    return mistakes


def _class_mistakes(document: Document) -> list[Mistake]:
    """Whether a discrepancy that compares class by class has features that tell classes."""
    used = {str(entry.get("use")) for _, entry in _features(document) if isinstance(entry, dict)}
    classwise = document.get(("discrepancy", "use")) == ClasswiseMMD().use
    if not classwise or not used or SimulatorFeatures().use in used:
        return []
    message = (
        "'classwise_mmd' needs features that tell classes, which "
        f"{' and '.join(sorted(used))} do not; use simulator features, or another discrepancy"
    )
    return [document.mistake(("discrepancy", "use"), message)]


def _folder_mistakes(document: Document, place: Place) -> list[Mistake]:
    """Whether the folder named at ``place`` is there and holds a file."""
    written = document.get(place)
    if not isinstance(written, str):
        return []
    folder = Path(written)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        return [document.mistake(place, f"must be a folder of images; {folder} {what}")]
    if not any(path.is_file() for path in folder.rglob("*")):
        return [document.mistake(place, f"must hold images; the folder {folder} is empty")]
    return []


def weights_mistakes(document: Document) -> list[Mistake]:
    """Whether the weights of pretrained features, and of what refinement sees by, are there."""
    mistakes = []
    refine: Place = ("refine",)
    for place, entry in [*_features(document), (refine, document.get(refine))]:
        written = entry.get("weights") if isinstance(entry, dict) else None
        if isinstance(written, str) and not Path(written).exists():
            here = (*place, "weights")
            mistakes.append(document.mistake(here, f"the file {written} does not exist"))
    return mistakes
