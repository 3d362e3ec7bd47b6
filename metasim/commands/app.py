"""The program's commands as such, and what several of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from metasim.errors import UserError

__all__ = [
    "Json",
    "Settings",
    "app",
    "file_and_settings",
    "grammar_app",
    "renderers_app",
    "told_where_written",
]


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


@contextmanager
def told_where_written(file: Path | None, given: Sequence[str]) -> Iterator[None]:
    """Give what the user can mend, and what is about a setting, the line of that setting."""
    from metasim.config import setting_mistake

    try:
        yield
    except UserError as error:
        if error.place and file is not None:
            error.args = (str(setting_mistake(file, given, error.place, str(error))),)
        raise


def file_and_settings(
    first: str | None, rest: Sequence[str] | None
) -> tuple[Path | None, list[str]]:
    """The experiment's file and the settings; with ``--resume`` the file may be left out."""
    if first is not None and "=" in first and not Path(first).exists():
        return None, [first, *(rest or ())]
    return (Path(first) if first is not None else None), list(rest or ())
