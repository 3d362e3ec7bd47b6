"""The command line. The only module that prints.

Exit codes: 0 success; 1 a run, a check or metasim itself failed; 2 a user's mistake, every
one of them listed; 130 interrupted, after a checkpoint where there was something to keep.
With ``--json`` one JSON object is written to stdout and nothing else; all else is stderr's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import typer

from metasim.commands import app
from metasim.errors import ConfigError, Interrupted, MetasimError, UserError
from metasim.summaries import Answer

__all__ = ["console", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Args:
        arguments: the command line without the program's name; the process's by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    with _stdout_kept(as_json):
        answer = _run(words)
    if as_json:
        if answer.data or answer.code:
            _print_json(answer)
    elif answer.text:
        _print_text(answer.text)
    return answer.code


def _keep_threads_quiet() -> None:
    """Let idle threads of torch sleep: on a busy machine their spinning costs a hundredfold.

    It has to be set before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def console() -> None:
    """The program ``metasim``."""
    _keep_threads_quiet()
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _run(words: list[str]) -> Answer:
    """The answer of a command, or of what went wrong."""
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        found = typer.main.get_command(app).main(words, prog_name="metasim", standalone_mode=False)
    except ConfigError as error:
        mistakes = [
            {"file": m.file, "line": m.line, "column": m.column, "key": m.key, "message": m.message}
            for m in error.mistakes
        ]
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        return _failure(f"{error}\n{count}", error.exit_code, mistakes=mistakes)
    except Interrupted as error:
        return _failure(str(error), error.exit_code, **_run_of(error))
    except MetasimError as error:
        kept = f"\nwhat the run has is kept: {error.run}" if error.run else ""
        text = f"error: {error}{kept}"
        return _failure(text, error.exit_code, message=str(error), **_run_of(error))
    except (KeyboardInterrupt, typer.Abort):
        return _failure("interrupted", Interrupted.exit_code)
    except usage_error as error:
        return _usage(error)
    except Exception as error:  # a bug of ours: say so in one line and keep the traceback
        return _bug(error)
    if isinstance(found, Answer):
        return found
    if found == Interrupted.exit_code:  # typer has caught a KeyboardInterrupt
        return _failure("interrupted", Interrupted.exit_code)
    return Answer({}, "", found if isinstance(found, int) else 0)


def _run_of(error: MetasimError | Interrupted) -> dict[str, str]:
    return {} if error.run is None else {"run": str(error.run)}


def _failure(text: str, code: int, **data: Any) -> Answer:
    """Tell people what went wrong on stderr; programs get the same as data."""
    print(text, file=sys.stderr)  # which says what it cannot encode by itself
    message = data.pop("message", text)
    return Answer({"error": message, **data}, "", code)


def _usage(error: Exception) -> Answer:
    """A command line that cannot be understood."""
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    usage = f"{context.get_usage()}\n" if context else ""
    return _failure(f"{usage}error: {message}", UserError.exit_code, message=message)


def _bug(error: Exception) -> Answer:
    told = "".join(traceback.format_exception(error))
    if os.environ.get("METASIM_DEBUG") == "1":
        print(told, file=sys.stderr, end="")
        where = "see the traceback above"
    else:
        handle, file = tempfile.mkstemp(prefix="metasim-traceback-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(told)
        where = f"traceback: {file} (or set METASIM_DEBUG=1)"
    brief = f"{type(error).__name__}: {error}".splitlines()[0]
    return _failure(f"internal error: {brief}; {where}", 1, message=brief)


@contextmanager
def _stdout_kept(as_json: bool) -> Iterator[None]:
    """Send all that a command or a plugin writes to stdout to stderr while the block runs."""
    if not as_json:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # engines write from C and from other processes too
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _print_json(answer: Answer) -> None:
    from metasim.jsonlines import plain

    data = plain(answer.data)
    text = json.dumps(data, ensure_ascii=False)
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:  # half of a character, as a key or the name of a file may hold
        text = json.dumps(data)
    print(text)


def _print_text(text: str) -> None:
    try:
        print(text)
    except UnicodeEncodeError:
        print(text.encode(_encoding(), "backslashreplace").decode(_encoding()))


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"
