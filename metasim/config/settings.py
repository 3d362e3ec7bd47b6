"""The settings of an experiment as types; nothing here reads a file."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, NonNegativeInt, Tag

from metasim.learn.options import (
    LEAST_TARGET,
    MMD,
    AutoGradient,
    Discrepancy,
    Editor,
    Features,
    GCNEditor,
    Gradient,
    Options,
    SimulatorFeatures,
    Task,
    Training,
)
from metasim.refine.options import Refine
from metasim.render.options import Workers
from metasim.scene.grammar import SceneGrammar

__all__ = [
    "Experiment",
    "GrammarDocument",
    "GrammarFile",
    "GrammarTarget",
    "ImagesTarget",
    "Output",
    "RendererSpec",
    "Target",
    "differences",
]


class RendererSpec(Options):
    """Which renderer draws, and with which options.

    Attributes:
        use: an installed plugin's name, or ``package.module:Class``.
        options: keyword arguments of its constructor.
        folder: where ``module`` is looked for besides Python's own path; the folder of the
            YAML file that names it unless given.
        workers: the processes it lives in; None is this one, unless it cannot.
    """

    use: str
    options: dict[str, Any] = Field(default_factory=dict)
    folder: Path | None = None
    workers: Workers | None = None

    def identity(self) -> dict[str, Any]:
        """What of it decides what is drawn, as JSON values: all but who draws it."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"workers"})


class ImagesTarget(Options):
    """Target images that exist.

    Attributes:
        images: the folder that holds them.
        resize: bring images of another size to the renderer's; otherwise they are refused.
    """

    images: Path
    resize: bool = False


class GrammarTarget(Options):
    """Target images that are drawn first, from a grammar whose truth is then known.

    Attributes:
        grammar: of the target's scenes.
        count: how many images.
        seed: of the target's own, so that the target stays when the experiment's changes.
        renderer: what draws them: the learner's, with the settings given here put over its
            own. A loaded experiment always holds it in full.
    """

    grammar: SceneGrammar
    count: Annotated[int, Field(ge=LEAST_TARGET)] = 1000
    seed: NonNegativeInt = 0
    renderer: RendererSpec


def _target_member(written: Any) -> str | None:
    if isinstance(written, dict):
        return next((f"<{name}>" for name in ("images", "grammar") if name in written), None)
    return "<images>" if isinstance(written, ImagesTarget) else "<grammar>"


Target = Annotated[
    Annotated[ImagesTarget, Tag("<images>")] | Annotated[GrammarTarget, Tag("<grammar>")],
    Discriminator(
        _target_member,
        custom_error_type="target",
        custom_error_message="must hold either images: FOLDER or grammar: FILE",
    ),
]


class Output(Options):
    """Where results go.

    Attributes:
        dir: the run is made below it, as ``<dir>/<name>/<time>-s<seed>``.
        tensorboard: whether the run writes event files for TensorBoard too.
    """

    dir: Path = Path("results")
    tensorboard: bool = False


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            "must begin with a letter or digit and hold letters, digits, '.', '_' and '-' alone, "
            f"since a folder is called so; got {name!r}"
        )
    return name


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise ValueError(f"must be auto, cpu, mps, cuda or cuda:N (N from 0), got {name!r}")
    return name


class Experiment(Options):
    """Everything a run depends on.

    Attributes:
        name: of the experiment; a folder below ``output.dir`` is called so. The file's own
            name unless given.
        seed: of everything random.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        grammar: what is known beforehand of the scenes, and which attributes are learned.
        renderer: draws the scenes.
        target: the images whose distribution is to be matched.
        editor: maps sampled scenes to new attribute values.
        features: what images are compared by; several are joined.
        discrepancy: the distance that is made small.
        gradient: how its gradient is estimated.
        training: the training loop.
        task: the task loss, where there is one.
        refine: what makes the learned scenes' images look like the target's, where that is wanted.
        output: where results go.
    """

    name: Annotated[str, Field(max_length=100), AfterValidator(_folder_name)]
    seed: NonNegativeInt = 0
    device: Annotated[str, AfterValidator(_device)] = "auto"
    grammar: SceneGrammar
    renderer: RendererSpec
    target: Target
    editor: Editor = GCNEditor()
    features: Annotated[tuple[Features, ...], Field(min_length=1)] = (SimulatorFeatures(),)
    discrepancy: Discrepancy = MMD()
    gradient: Gradient = AutoGradient()
    training: Training = Training()
    task: Task | None = None
    refine: Refine | None = None
    output: Output = Output()

    def resolved(self) -> dict[str, Any]:
        """Plain data, complete: written as YAML and loaded it gives an equal experiment.

        Grammars are part of it and paths are absolute, so that it stands alone.
        """
        return self.model_dump(mode="json", exclude_none=True)


def differences(one: Experiment, other: Experiment, ignore: Collection[str] = ()) -> list[str]:
    """The dotted keys in which two experiments differ.

    Args:
        one: an experiment.
        other: another.
        ignore: keys that may differ, with all below them.
    """
    ours, theirs = _flat(one.resolved()), _flat(other.resolved())
    return [
        key
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
        and not any(f"{key}.".startswith(f"{name}.") for name in ignore)
    ]


def _flat(data: Any, key: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    if isinstance(data, dict):
        items = [(f"{key}.{name}" if key else name, value) for name, value in data.items()]
    elif isinstance(data, list):
        items = [(f"{key}.{index}", value) for index, value in enumerate(data)]
    else:
        return {key: data}
    return {k: v for name, value in items for k, v in _flat(value, name).items()}


class GrammarDocument(SceneGrammar):
    """What a grammar's own file may hold: the grammar, and what draws it.

    Attributes:
        renderer: what ``metasim generate`` draws it with; an experiment names its own.
    """

    renderer: RendererSpec | None = None


@dataclass(frozen=True)
class GrammarFile:
    """A grammar that was read from a file, and the renderer that the file names."""

    grammar: SceneGrammar
    renderer: RendererSpec | None = None
