"""Commands about grammars, renderers and the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from metasim import summaries
from metasim.commands.app import (
    Json,
    app,
    grammar_app,
    renderers_app,
)
from metasim.errors import UserError
from metasim.summaries import Answer

__all__ = ["check_renderer", "doctor", "import_grammar", "init", "list_renderers"]


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
