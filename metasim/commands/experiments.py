"""Commands about experiments and their runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metasim import summaries
from metasim.commands.app import Json, Settings, app, file_and_settings, told_where_written
from metasim.summaries import Answer

__all__ = ["report", "train", "validate"]


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

    file, given = file_and_settings(experiment, settings)
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
            with told_where_written(file, given):
                summary = runner.train(wanted, progress=progress)
        else:
            summary = runner.resume(resume, given, other_code=other_code, progress=progress)
    return Answer(dict(summary), summaries.run(summary))


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
    file, given = file_and_settings(experiment, settings)
    if file is None:
        raise typer.BadParameter("name an EXPERIMENT.yaml, or give --schema")
    data = summaries.describe(load_experiment(file, given))
    return Answer(data, summaries.experiment(data))
