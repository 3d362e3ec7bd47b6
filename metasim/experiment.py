"""The composition root: from a configuration to objects, and from objects to what users do.

Use cases: :func:`train`, :func:`refine`, :func:`resume`, :func:`generate`, :func:`report`. A whole
:class:`metasim.config.Experiment` is seen by this and the modules beside it only; the packages
(scene, render, learn, data, report) are handed what they need.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from metasim import yamlfile
from metasim.classes import refuse_unknown_classes, shown_classes
from metasim.config import Experiment, RendererSpec
from metasim.data import generate_dataset
from metasim.errors import Interrupted, MetasimError, RunError, concerning
from metasim.finishing import Finishing
from metasim.learn.options import PriorEditor
from metasim.progress import Progress
from metasim.provenance import code_digest, collect, digest, package_versions
from metasim.refine.refiner import read_refiner
from metasim.refine.rendered import RefinedRenderer
from metasim.render.base import Renderer
from metasim.render.options import Workers
from metasim.render.plugins import code_of, files_of, make_renderer
from metasim.report.page import report_data, write_report
from metasim.resumption import admit, renderer_code, renderer_files
from metasim.runs import RunDir
from metasim.session import Session
from metasim.signals import interruptible
from metasim.sources import read_source

__all__ = ["build_renderer", "generate", "refine", "report", "resume", "train"]


def train(experiment: Experiment, *, progress: Progress) -> dict[str, Any]:
    """Run an experiment in a new run directory.

    Returns:
        The summary, and the run directory as ``run``.

    Raises:
        Interrupted: when the process was asked to stop; it says what is kept.
        MetasimError: what went wrong, its ``run`` naming the run directory once there is one:
            ConfigError of a grammar with classes that its renderer cannot draw, PluginError or
            DataError of the renderer, the target or the features, RenderError of a render,
            TrainingError of the learning, RunError of the run's files.
    """
    with concerning("renderer", "options"):
        built = build_renderer(experiment.renderer)
    with built as renderer:
        use = experiment.renderer.use
        refuse_unknown_classes(experiment.grammar, renderer, use, key="grammar")
        run = RunDir.create(experiment.output.dir, experiment.name, experiment.seed)
        config = yamlfile.dump(experiment.resolved())
        code, files = renderer_code(experiment), renderer_files(experiment)
        run.write_provenance(collect(config=digest(config.encode()), renderers=code, files=files))
        run.write_config(config)  # with it the folder counts as a run, so it comes last
        return _carry_out(experiment, run, renderer, progress)


def refine(experiment: Experiment, *, progress: Progress) -> dict[str, Any]:
    """Carry out an experiment's refinement alone, in a new run directory.

    Its scenes stay as the grammar samples them; all else is :func:`train`'s.
    """
    unedited = experiment.model_copy(update={"editor": PriorEditor(), "task": None})
    return train(unedited, progress=progress)


def resume(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    other_code: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """Go on with a run that was stopped; a finished one is only reported.

    Args:
        path: of the run directory.
        overrides: settings that may change without touching what is learned.
        other_code: go on although the run was made by other code than this, or from other
            files of its renderers; that is noted in its provenance.
        progress: told how far it is.

    Raises:
        RunError: when the run cannot go on as it began; nothing was touched then.
    """
    going = admit(path, overrides, other_code=other_code)
    if going.run.ended:
        return _reported(going.run, going.run.read_summary())
    with build_renderer(going.experiment.renderer) as renderer:
        return _carry_out(going.experiment, going.run, renderer, progress, going.note)


def _carry_out(
    experiment: Experiment,
    run: RunDir,
    renderer: Renderer,
    progress: Progress,
    first: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    with _telling_of(run), run.lock():
        first()
        summary = _rounds(experiment, run, renderer, progress)
    return _reported(run, summary)


def _rounds(
    experiment: Experiment, run: RunDir, renderer: Renderer, progress: Progress
) -> dict[str, Any]:
    """Learn, and refine where that is asked for, as often as it is; the last round is the run."""
    rounds = experiment.refine.rounds if experiment.refine is not None else 1
    drawn, told = renderer, []
    for number in range(1, rounds):
        progress.log(f"round {number} of {rounds}")
        earlier = run.earlier(number)
        earlier.path.mkdir(exist_ok=True)
        earlier.write_config(run.read_config())  # its figures and its report tell of it
        session = Session(experiment, earlier, drawn, progress, plain=renderer, top=run)
        told.append(session.carry_out())
        _write_report(earlier, f"go on with: metasim train --resume {run.path}")
        drawn = RefinedRenderer(renderer, read_refiner(earlier.refiner_path))
    if told:
        progress.log(f"round {rounds} of {rounds}")
    session = Session(experiment, run, drawn, progress, plain=renderer, rounds=told)
    return session.carry_out()


def _reported(run: RunDir, summary: dict[str, Any]) -> dict[str, Any]:
    """What a complete run answers, its report written."""
    with _telling_of(run):
        _write_report(run, f"the run is complete; write its report with: metasim report {run.path}")
    return {"run": str(run.path), **summary}


def _write_report(run: RunDir, again: str) -> None:
    """Write a report; who stops that is told how to go on."""
    told = f"stopped while the report was written, {again}"
    with interruptible(lambda: told):
        write_report(run)


@contextmanager
def _telling_of(run: RunDir) -> Iterator[None]:
    """Name the run in what stops the block."""
    try:
        yield
    except (MetasimError, Interrupted) as error:
        error.run = run.path
        raise


def report(path: Path) -> dict[str, Any]:
    """Write the report of a run (or of the newest run in a folder) anew; returns what it says.

    Raises:
        RunError: when there is no run, or one of its files is damaged or cannot be written.
    """
    run = RunDir.find(path)
    write_report(run)
    return {"run": str(run.path), **report_data(run)}


def generate(
    source: Path,
    *,
    count: int,
    out: Path,
    formats: tuple[str, ...] = ("coco",),
    seed: int | None = None,
    renderer: RendererSpec | None = None,
    workers: Workers | None = None,
    refined: bool = False,
    resume: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """Write a labelled dataset, from a run (tuned) or from a grammar.

    Args:
        source: a run directory, a folder of runs (the newest that has learned
            anything counts), or a grammar's file.
        count: how many images.
        out: the dataset's folder; it must be new, or with ``resume`` one begun before.
        formats: "coco", "bop", "native".
        seed: of the dataset; the run's own (0 for a grammar) unless given.
        renderer: what draws, instead of what the source names.
        workers: the processes it lives in, instead of those that the source names.
        refined: refine the images with the run's refiner. A scene whose refined image does not
            pass the run's gate is replaced by another, and ``rejected`` counts those.
        resume: go on where a run was stopped.
        progress: told how far it is.

    Raises:
        ConfigError: when ``renderer`` does not know all that the source's grammar has, or what
            draws cannot draw a class of it.
        DataError: when ``out`` is not the dataset's own, or the renderer does not offer what a
            format holds.
        RunError: when the run has learned nothing yet, or what it learned is damaged, or it has no
            refiner where that is asked for.
        Interrupted: when the process was asked to stop; every finished batch is kept.
    """
    maker = read_source(source, progress)
    spec = renderer or maker.renderer
    if spec is None:
        raise RunError(
            f"{source} names no renderer; add 'renderer: {{use: ...}}' to it, or give --renderer"
        )
    if renderer is not None:  # the source's own was compared when the source was read
        maker.refuse_undrawable(renderer)
    if workers is not None:
        spec = spec.model_copy(update={"workers": workers})
    seed = maker.seed if seed is None else seed
    kept = f"stopped; every finished batch of {out} is kept, go on with the same and --resume"
    finish = maker.finishing() if refined else Finishing()
    with interruptible(lambda: kept), finish(build_renderer(spec)) as built:
        refuse_unknown_classes(maker.grammar, built, spec.use, file=str(maker.file))
        progress.start("generating", count)
        made = generate_dataset(
            out,
            count=count,
            seed=seed,
            make_scenes=lambda indices: finish.choose(indices, partial(maker.scene, seed)),
            renderer=built,
            formats=formats,
            classes=shown_classes(maker.grammar, built),
            manifest={
                "code": code_digest([Path(__file__).parent]),
                "versions": {"python": platform.python_version(), **package_versions()},
                "source": maker.source,
                "renderer": spec.identity(),
                "renderer_code": code_of(spec.use, spec.folder),
                "renderer_files": files_of(spec.use, spec.options, spec.folder),
                **finish.told,
            },
            resume=resume,
            progress=progress.advance,
        )
    progress.finish()
    return made | finish.counted()


def build_renderer(spec: RendererSpec) -> Renderer:
    """The renderer that a specification describes.

    Raises:
        PluginError: when it cannot be found, imported or made with its options.
        DataError: when files that it needs cannot be used.
    """
    return make_renderer(spec.use, spec.options, spec.folder, spec.workers)
