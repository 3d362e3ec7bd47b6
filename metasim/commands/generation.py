"""The command that writes datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metasim.commands.app import Json, app
from metasim.errors import RunError
from metasim.summaries import Answer

__all__ = ["generate"]


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
