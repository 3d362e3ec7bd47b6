"""The command that makes renders look like target images."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from metasim import summaries
from metasim.commands.app import Json, Settings, app, file_and_settings, told_where_written
from metasim.summaries import Answer

__all__ = ["refine"]


@app.command()
def refine(
    context: typer.Context,
    experiment: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT.yaml]", show_default=False)
    ] = None,
    settings: Settings = None,
    method: Annotated[
        str | None,
        typer.Option(help="simgan, cyclegan, cut, unit, pix2pix, spade, nst or dtp; for folders."),
    ] = None,
    sim: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Simulated pictures: the content.")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures to look like: the style.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder, or that of --resume.")] = None,
    apply: Annotated[
        Path | None,
        typer.Option(metavar="REFINER", help="Apply a refiner that was made before to --sim."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="REFINER", help="Write it as TorchScript to the file --out."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Bring all pictures to this size, such as 512x384."),
    ] = None,
    file_type: Annotated[
        str | None, typer.Option(help="Of what is written: png, jpg, ...; else as it was.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a training on folders.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")] = "auto",
    sample_every: Annotated[
        int, typer.Option(min=1, help="Steps between two pictures of samples.")
    ] = 500,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    as_json: Json = False,
) -> Answer:
    """Make renders look like target images: of an experiment, or of two folders of pictures."""
    from metasim.refine.outputs import check_ending

    given = _modes(experiment, method, apply, export)
    folders = {"--sim": sim, "--real": real, "--out": out}
    needed = {"apply": ("--sim", "--out"), "export": ("--out",), "method": tuple(folders)}
    for name in needed.get(given, ()):
        if folders[name] is None:
            raise typer.BadParameter(f"--{given} needs {name}")
    _refuse_unread(context, given)
    if given == "experiment":
        return _of_experiment(experiment, settings)
    common: dict[str, Any] = {
        "size": _pixels(size),
        "ending": check_ending(file_type),
        "device": device,
        "resume": resume,
        "again": _again(context),
    }
    words = [*([experiment] if experiment else []), *(settings or ())]
    if method is not None:
        more = {"seed": seed, "sample_every": sample_every}
        return _translated(method, words, (sim, real, out), **common, **more)
    if words:
        raise typer.BadParameter(f"unexpected {words[0]!r}; settings are for --method")
    if apply is not None:
        return _applied(apply, sim, out, **common)
    return _exported(export, out)


def _of_experiment(experiment: str | None, settings: Sequence[str] | None) -> Answer:
    """Refine what an experiment's grammar samples."""
    from metasim.config import load_experiment
    from metasim.terminal import progress_on

    file, given = file_and_settings(experiment, settings)
    assert file is not None
    wanted = load_experiment(file, given)
    if wanted.refine is None:
        raise typer.BadParameter(f"{file} has no refine: to carry out; add refine.method=cut")
    from metasim import experiment as runner

    with progress_on(sys.stderr) as progress, told_where_written(file, given):
        summary = runner.refine(wanted, progress=progress)
    return Answer(dict(summary), summaries.run(summary))


def _translated(
    method: str, words: Sequence[str], folders: Sequence[Path | None], **given: Any
) -> Answer:
    """Make a refiner of two folders."""
    from metasim.config import refine_options
    from metasim.terminal import progress_on

    sim, real, out = folders
    assert sim is not None
    assert real is not None
    assert out is not None
    options = refine_options(method, words)
    from metasim import translation

    with progress_on(sys.stderr) as progress:
        found = translation.translate(options, sim, real, out, progress=progress, **given)
    return Answer(found, "\n".join([*summaries.refinement(found), f"images: {out / 'outputs'}"]))


def _applied(refiner: Path, sim: Path | None, out: Path | None, **given: Any) -> Answer:
    """Refine a folder with what was made before."""
    from metasim import translation
    from metasim.terminal import progress_on

    assert sim is not None
    assert out is not None
    with progress_on(sys.stderr) as progress:
        found = translation.apply(refiner, sim, out, progress=progress, **given)
    rate = f"{found['images_per_second']:.1f} images/s"
    return Answer(found, f"{found['refined']} images refined, {rate}: {out}")


def _exported(refiner: Path | None, out: Path | None) -> Answer:
    """Write what was made before for other programs."""
    from metasim import translation

    assert refiner is not None
    assert out is not None
    return Answer(translation.export(refiner, out), f"TorchScript: {out}")


def _again(context: typer.Context) -> str:
    """The command that was given, and ``--resume``."""
    words = ["metasim", str(context.info_name)]
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in ("resume", "as_json") or not _was_given(context, name):
            continue
        value = context.params[name]
        if parameter.param_type_name == "option":
            words.append(parameter.opts[0])
        words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return shlex.join([*words, "--resume"])


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _modes(
    experiment: str | None, method: str | None, apply: Path | None, export: Path | None
) -> str:
    """Which of its four things ``refine`` is asked to do."""
    file = experiment if experiment is not None and "=" not in experiment else None
    asked = {"experiment": file, "method": method, "apply": apply, "export": export}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise typer.BadParameter(
            "give one of: EXPERIMENT.yaml, --method M --sim DIR --real DIR --out DIR, --apply "
            "REFINER --sim DIR --out DIR, or --export REFINER --out FILE"
        )
    return given[0]


def _refuse_unread(context: typer.Context, given: str) -> None:
    """Refuse options that say nothing where ``refine`` does this: they would be passed over."""
    of_folders = {"sim", "out", "size", "file_type", "device", "resume"}
    read = {
        "experiment": set[str](),
        "method": of_folders | {"real", "seed", "sample_every"},
        "apply": of_folders,
        "export": {"out"},
    }[given]
    advice = {
        "experiment": "an experiment's settings are key=value, such as seed=1, and a run goes on "
        "with: metasim train --resume RUN_DIR",
    }.get(given, "leave it out")
    for name in (*of_folders, "real", "seed", "sample_every"):
        if name not in read and _was_given(context, name):
            option = f"--{name.replace('_', '-')}"
            what = "EXPERIMENT.yaml" if given == "experiment" else f"--{given}"
            raise typer.BadParameter(f"{option} does not go with {what}; {advice}")


def _pixels(written: str | None) -> tuple[int, int] | None:
    """(H, W) of a size that is written as width x height."""
    if written is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", written.lower())
    if found is None:
        raise typer.BadParameter(f"--size must be WIDTHxHEIGHT, such as 512x384, got {written!r}")
    return int(found[2]), int(found[1])
