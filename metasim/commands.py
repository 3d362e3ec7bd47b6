"""The commands: each turns what was asked into an :class:`Answer` and prints nothing.

Whatever takes long to import is imported by the command that needs it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from metasim import summaries
from metasim.errors import RunError, UserError
from metasim.summaries import Answer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn the parameters of simulated scenes from images without labels.",
    epilog="Exit codes: 0 success, 1 failure, 2 a mistake in what was asked, 130 interrupted.",
)
grammar_app = typer.Typer(help="Scene grammars.")
renderers_app = typer.Typer(help="Installed renderers, and whether they keep the contract.")
app.add_typer(grammar_app, name="grammar")
app.add_typer(renderers_app, name="renderers")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings put over the file's.", show_default=False
    ),
]


@app.command()
def train(
    experiment: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT.yaml", show_default=False)
    ] = None,
    settings: Settings = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN_DIR", help="Go on with a run that was stopped."),
    ] = None,
    other_code: Annotated[
        bool,
        typer.Option(
            "--other-code",
            help="With --resume: go on although other code, or other files of a renderer, "
            "made the run; that is noted in it.",
        ),
    ] = False,
    as_json: Json = False,
) -> Answer:
    """Learn from an experiment's target images."""
    from metasim.config import load_experiment
    from metasim.resumption import refuse_another
    from metasim.terminal import progress_on

    file, given = _file_and_settings(experiment, settings)
    if resume is None:
        if file is None:
            raise typer.BadParameter("name an EXPERIMENT.yaml, or --resume RUN_DIR")
        if other_code:
            raise typer.BadParameter(
                "--other-code is for a run that goes on; give --resume RUN_DIR"
            )
        wanted = load_experiment(file, given)
    elif file is not None:
        refuse_another(load_experiment(file, given), resume, given)
    from metasim import experiment as runner  # imports torch: only once the input is right

    with progress_on(sys.stderr) as progress:
        if resume is None:
            with _told_where_written(file, given):
                summary = runner.train(wanted, progress=progress)
        else:
            summary = runner.resume(resume, given, other_code=other_code, progress=progress)
    return Answer(dict(summary), summaries.run(summary))


@app.command()
def generate(
    source: Annotated[Path, typer.Argument(metavar="RUN_DIR|GRAMMAR.yaml", show_default=False)],
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FORMAT|KEY=VALUE]...",
            help="Further formats, and options of --renderer.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many images.")] = ...,  # type: ignore[assignment]
    out: Annotated[Path, typer.Option(help="A new folder, or that of --resume.")] = ...,  # type: ignore[assignment]
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="coco (the default), bop (poses, depth, models) or native; may be repeated.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The run's own by default.")] = None,
    renderer: Annotated[
        str | None, typer.Option(help="What draws, instead of the renderer the source names.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            help="Processes that draw, such as '{count: 4}', instead of those of the source.",
            metavar="YAML",
        ),
    ] = None,
    refined: Annotated[
        bool, typer.Option("--refined", help="Refine the images, as the run has learned to.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run was stopped.")
    ] = False,
    as_json: Json = False,
) -> Answer:
    """Write a labelled dataset, from a run (tuned) or from a grammar."""
    from metasim.config import renderer_spec, workers_setting
    from metasim.terminal import progress_on

    options = [word for word in more or () if "=" in word]
    words = [word for word in more or () if "=" not in word]
    if words and not formats:
        raise typer.BadParameter(f"unexpected {words[0]!r}; formats are given with --format")
    if options and renderer is None:
        raise typer.BadParameter(f"{options[0]!r} is an option of a renderer; give --renderer")
    named = [name for word in [*(formats or ["coco"]), *words] for name in word.split(",") if name]
    spec = renderer_spec(renderer, options) if renderer else None
    hired = workers_setting(workers) if workers is not None else None
    if not source.exists():
        raise RunError(f"{source} must be the directory of a run or a grammar; it does not exist")
    from metasim import experiment as runner

    with progress_on(sys.stderr) as progress:
        made = runner.generate(
            source,
            count=count,
            out=out,
            formats=tuple(dict.fromkeys(named)),
            seed=seed,
            renderer=spec,
            workers=hired,
            refined=refined,
            resume=resume,
            progress=progress,
        )
    rejected = made.get("rejected")
    told = f" ({rejected} refined images were rejected on the way)" if rejected else ""
    return Answer(dict(made), f"{count} images: {out}{told}")


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
    from metasim.config import load_experiment, refine_options
    from metasim.refine.outputs import check_ending
    from metasim.terminal import progress_on

    given = _modes(experiment, method, apply, export)
    folders = {"--sim": sim, "--real": real, "--out": out}
    needed = {"apply": ("--sim", "--out"), "export": ("--out",), "method": tuple(folders)}
    for name in needed.get(given, ()):
        if folders[name] is None:
            raise typer.BadParameter(f"--{given} needs {name}")
    _refuse_unread(context, given)
    if given == "experiment":
        file, over = _file_and_settings(experiment, settings)
        assert file is not None
        wanted = load_experiment(file, over)
        if wanted.refine is None:
            raise typer.BadParameter(f"{file} has no refine: to carry out; add refine.method=cut")
        from metasim import experiment as runner

        with progress_on(sys.stderr) as progress, _told_where_written(file, over):
            summary = runner.refine(wanted, progress=progress)
        return Answer(dict(summary), summaries.run(summary))
    ending, pixels = check_ending(file_type), _pixels(size)
    words = [*([experiment] if experiment else []), *(settings or ())]
    if given != "method" and words:
        raise typer.BadParameter(f"unexpected {words[0]!r}; settings are for --method")
    options = refine_options(method, words) if method is not None else None
    from metasim import translation

    with progress_on(sys.stderr) as progress:
        if export is not None and out is not None:
            found = translation.export(export, out)
            return Answer(found, f"TorchScript: {out}")
        assert sim is not None
        assert out is not None
        if apply is not None:
            found = translation.apply(
                apply,
                sim,
                out,
                size=pixels,
                ending=ending,
                device=device,
                resume=resume,
                progress=progress,
            )
            rate = f"{found['images_per_second']:.1f} images/s"
            return Answer(found, f"{found['refined']} images refined, {rate}: {out}")
        assert options is not None
        assert real is not None
        found = translation.translate(
            options,
            sim,
            real,
            out,
            size=pixels,
            ending=ending,
            seed=seed,
            device=device,
            sample_every=sample_every,
            resume=resume,
            progress=progress,
        )
    return Answer(found, "\n".join([*summaries.refinement(found), f"images: {out / 'outputs'}"]))


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
        source = context.get_parameter_source(name)
        if name not in read and source is not None and source.name == "COMMANDLINE":
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


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", show_default=False)],
    as_json: Json = False,
) -> Answer:
    """Write a run's report.html anew, and say whether it worked."""
    from metasim import experiment as runner

    found = runner.report(run)
    return Answer(dict(found), summaries.run(found))


@app.command()
def validate(
    experiment: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT.yaml", show_default=False)
    ] = None,
    settings: Settings = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
    as_json: Json = False,
) -> Answer:
    """Check an experiment: every mistake at once, with line and column."""
    from metasim.config import json_schema, load_experiment

    if schema:
        found = json_schema()
        return Answer(found, json.dumps(found, indent=2))
    file, given = _file_and_settings(experiment, settings)
    if file is None:
        raise typer.BadParameter("name an EXPERIMENT.yaml, or give --schema")
    data = summaries.describe(load_experiment(file, given))
    return Answer(data, summaries.experiment(data))


@renderers_app.command("list")
def list_renderers(as_json: Json = False) -> Answer:
    """List the installed renderers and what they draw."""
    from metasim.config.renderers import find
    from metasim.render.plugins import installed

    rows: list[dict[str, Any]] = []
    for name, point in installed().items():
        found = find(name, None)
        row: dict[str, Any] = {"name": name, "class": point.value}
        if isinstance(found, str):
            rows.append({**row, "problem": found})
        else:
            rows.append({**row, "kinds": {k: sorted(v) for k, v in found.kinds.items()}})
    return Answer({"renderers": rows}, summaries.renderers(rows))


@renderers_app.command("check")
def check_renderer(
    name: Annotated[str, typer.Argument(metavar="NAME|module:Class", show_default=False)],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Options of the renderer.", show_default=False
        ),
    ] = None,
    grammar: Annotated[
        Path | None, typer.Option(help="Scenes to draw, instead of the renderer's own example.")
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Check whether a renderer keeps the contract."""
    from metasim import testing
    from metasim.config import load_grammar, renderer_spec
    from metasim.render.plugins import load_renderer, make_renderer
    from metasim.testing.subject import example_of

    footprint = testing.Footprint()
    with footprint.watched():  # the plugin is imported here
        spec = renderer_spec(name, options or [])
    example = example_of(load_renderer(spec.use, spec.folder))
    drawn = load_grammar(grammar).grammar if grammar else example
    if drawn is None:
        raise UserError(f"the renderer {name!r} has no example grammar; give one with --grammar")
    results = testing.check_renderer(
        lambda: make_renderer(spec.use, spec.options, spec.folder, spec.workers),
        drawn,
        footprint=footprint,
    )
    rows = [{"name": r.name, "passed": r.passed, "message": r.message} for r in results]
    passed = all(r.passed for r in results)
    data = {"renderer": name, "passed": passed, "checks": rows}
    return Answer(data, summaries.checks(rows), 0 if passed else 1)


@app.command()
def doctor(as_json: Json = False) -> Answer:
    """Tell what is installed, what each extra adds, and what to do about problems."""
    from metasim.doctor import diagnose

    found = diagnose()
    return Answer(found, summaries.health(found))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
    as_json: Json = False,
) -> Answer:
    """Write a commented experiment to start from into a new folder."""
    from metasim.starter import write_starter

    files = [str(path) for path in write_starter(folder)]
    text = "\n".join([*files, "", f"next: cd {folder} && metasim train experiment.yaml"])
    return Answer({"files": files}, text)


@grammar_app.command("import")
def import_grammar(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="GRAMMAR.yaml", help="A new file; else it is printed.")
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Turn a generator configuration of the first Meta-Sim code into a grammar."""
    from metasim.files import write_atomic
    from metasim.scene.importer import import_generator

    imported = import_generator(file)
    text = imported.to_yaml(file.name)
    if out is None:
        return Answer({"grammar": text, "notes": list(imported.notes)}, text.rstrip("\n"))
    if out.exists():
        raise UserError(f"{out} must be a new file, and exists; choose another or remove it")
    try:
        write_atomic(out, text)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from None
    told = "\n".join([str(out), *(f"- {note}" for note in imported.notes)])
    return Answer({"grammar": str(out), "notes": list(imported.notes)}, told)


@contextmanager
def _told_where_written(file: Path | None, given: Sequence[str]) -> Iterator[None]:
    """Give what the user can mend, and what is about a setting, the line of that setting."""
    from metasim.config import setting_mistake

    try:
        yield
    except UserError as error:
        if error.place and file is not None:
            error.args = (str(setting_mistake(file, given, error.place, str(error))),)
        raise


def _file_and_settings(
    first: str | None, rest: Sequence[str] | None
) -> tuple[Path | None, list[str]]:
    """The experiment's file and the settings; with ``--resume`` the file may be left out."""
    if first is not None and "=" in first and not Path(first).exists():
        return None, [first, *(rest or ())]
    return (Path(first) if first is not None else None), list(rest or ())
