"""Whether a run that was stopped may go on: with its experiment, its settings, its code and files.

Whatever is refused is refused before anything of the run is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metasim.config import Experiment, RendererSpec, differences, load_experiment
from metasim.errors import RunError
from metasim.learn.kept import clear
from metasim.learn.options import AutoGradient
from metasim.provenance import code_differences, collect, continued, digest
from metasim.render.plugins import code_of, files_of, load_renderer
from metasim.runs import RunDir

__all__ = [
    "Resumption",
    "admit",
    "refuse_another",
    "refuse_edited_config",
    "renderer_code",
    "renderer_files",
]

# What a resumed run may change: nothing of it is a setting of what is learned. (Another device
# rounds otherwise; the session tells.)
_FREE = (
    "output",
    "device",
    "renderer.workers",
    "target.renderer.workers",
    "training.checkpoint_seconds",
    "training.images_every",
)


@dataclass(frozen=True)
class Resumption:
    """A run that may go on.

    Attributes:
        run: where.
        experiment: its own, with the settings that were changed.
        other_code: the provenance of what goes on with it, where that is other code, or draws
            from other files.
    """

    run: RunDir
    experiment: Experiment
    other_code: Mapping[str, Any] | None = None

    def note(self) -> None:
        """Add other code to the run's provenance; all that stands there stays."""
        if self.other_code is not None:
            clear(self.run.drawn_dir)  # the other code may draw the same scenes differently
            self.run.write_provenance(continued(self.run.read_provenance(), self.other_code))


def admit(path: Path, overrides: Sequence[str] = (), *, other_code: bool = False) -> Resumption:
    """Judge whether a run may go on.

    Args:
        path: of the run directory.
        overrides: settings that may change without touching what is learned.
        other_code: go on although other code made the run, or its renderers drew from other
            files. A run that has ended needs no leave: nothing of it is computed again.

    Raises:
        ConfigError: when its configuration cannot be used any more.
        RunError: when it cannot go on as it began.
    """
    run = RunDir.open(path)
    refuse_edited_config(run)
    # Of a run that has ended nothing is computed again: it needs neither its images nor its code.
    files = not run.ended
    experiment = load_experiment(run.config_path, files=files)
    changed = load_experiment(run.config_path, overrides, files=files)
    if wrong := differences(experiment, changed, ignore=_FREE):
        raise RunError(
            f"a resumed run must keep its settings, but {', '.join(wrong)} would change; start a "
            f"new run, or change only: {', '.join(_FREE)}"
        )
    if run.ended:
        return Resumption(run, changed)
    _refuse_another_gradient(experiment, changed)
    now = collect(renderers=renderer_code(experiment), files=renderer_files(experiment))
    differing = code_differences(run.read_provenance(), now)
    if differing and not other_code:
        raise RunError(
            f"a run must go on with the code and the files that made it, but "
            f"{'; '.join(differing)}; go back to those, or go on with these, which is noted in the "
            "run: "
            f"metasim train --resume {run.path} --other-code"
        )
    return Resumption(run, changed, now if differing else None)


def _refuse_another_gradient(experiment: Experiment, changed: Experiment) -> None:
    """Refuse to move a renderer into workers, or out of them, where that decides the gradient."""
    spec = experiment.renderer
    moved = (spec.workers is None) != (changed.renderer.workers is None)
    auto = isinstance(experiment.gradient, AutoGradient)
    found = load_renderer(spec.use, spec.folder) if moved and auto else None
    if found and not found.isolated and callable(getattr(found, "render_tensor", None)):
        now = "has" if spec.workers else "has no"
        raise RunError(
            f"a resumed run must keep its gradient, but {spec.use!r} offers one only in metasim's "
            "own process, so that renderer.workers decides what gradient 'auto' takes, and the "
            f"run {now} workers; leave that so, or start a new run"
        )


def renderer_code(experiment: Experiment) -> dict[str, dict[str, str]]:
    """What tells of the code of the learner's renderer and of the target's, by name.

    Raises:
        PluginError: when one cannot be imported.
    """
    drawn = getattr(experiment.target, "renderer", experiment.renderer)
    return {spec.use: code_of(spec.use, spec.folder) for spec in (experiment.renderer, drawn)}


def renderer_files(experiment: Experiment) -> dict[str, str]:
    """A digest of what each renderer's options name, by setting (see :func:`files_of`).

    Raises:
        DataError: when something cannot be read.
    """
    specs = {"renderer": experiment.renderer, "target.renderer": _target_renderer(experiment)}
    return {
        name: told
        for key, spec in specs.items()
        if spec is not None
        for name, told in files_of(spec.use, spec.options, spec.folder, f"{key}.options").items()
    }


def _target_renderer(experiment: Experiment) -> RendererSpec | None:
    return getattr(experiment.target, "renderer", None)


def refuse_another(wanted: Experiment, path: Path, given: Sequence[str]) -> None:
    """Refuse to resume a run under an experiment it was not made from.

    Args:
        wanted: the experiment.
        path: of the run directory.
        given: settings of the command line, which may differ: whether they can change midway
            is judged by :func:`admit`.

    Raises:
        RunError: naming the settings that differ.
    """
    run = RunDir.open(path)
    refuse_edited_config(run)
    made = load_experiment(run.config_path, files=False)
    asked = [setting.partition("=")[0] for setting in given]
    free = ["output", "renderer.workers", "target.renderer.workers", *asked]
    differing = differences(wanted, made, ignore=free)
    if differing:
        listed = ", ".join(differing[:8]) + (", ..." if len(differing) > 8 else "")
        raise RunError(
            f"{path} was made with other settings than the experiment has now: {listed}; to go on "
            f"as it began leave the experiment out: metasim train --resume {path}"
        )


def refuse_edited_config(run: RunDir) -> None:
    """Refuse a run whose configuration is not what it began with.

    Raises:
        RunError: when it was edited, or the directory is of one round of a run.
    """
    if run.whole is not None:
        raise RunError(
            f"{run.path} must be a run, but is one round of the run {run.whole.path}, which goes "
            "on and makes datasets as a whole; give that"
        )
    written = run.read_provenance().get("config")
    if written is not None and digest(run.read_config_bytes()) != written:
        raise RunError(
            f"{run.config_path} must be as it was when the run began, but was edited; undo the "
            f"edit, or start a new run from it: metasim train {run.config_path}"
        )
