"""The exceptions metasim raises.

::

    MetasimError                 all but the last; never raised itself
    ├── UserError                the user can mend it; the command line exits with 2
    │   ├── ConfigError          an experiment or a grammar; carries every Mistake found
    │   ├── PluginError          a renderer, feature or estimator that is unknown or unfit
    │   ├── DataError            target images, glyphs or datasets on disk
    │   ├── RunError             a run directory or a checkpoint that cannot be used
    │   └── MissingExtraError    an optional package is not installed
    ├── RenderError              a renderer raised or broke its contract; exits with 1
    └── TrainingError            the loss is no number, the weights diverged; exits with 1
    Interrupted                  SIGINT or SIGTERM; exits with 130

Every message says what must hold, what was got, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

__all__ = [
    "ConfigError",
    "DataError",
    "Interrupted",
    "MetasimError",
    "MissingExtraError",
    "Mistake",
    "PluginError",
    "RenderError",
    "RunError",
    "TrainingError",
    "UserError",
    "concerning",
    "did_you_mean",
]


class MetasimError(Exception):
    """Base of every error metasim raises on purpose.

    Attributes:
        run: the run that it stopped, where it was one.
        place: the setting that it is about, as keys from the top, where that is known.
    """

    exit_code = 1
    run: Path | None = None
    place: tuple[str, ...] = ()


class UserError(MetasimError):
    """Something the user can mend: no traceback is shown, the exit code is 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration.

    Attributes:
        message: what must hold, what was got, what to do.
        file: the file's name as given, or "command line".
        line: 1-based line, 0 where there is none.
        column: 1-based column, 0 where there is none.
        key: the dotted path of the offending key.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        """``file:line:column: key: message``, leaving out what is unknown."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ConfigError(UserError):
    """A configuration with at least one mistake; ``mistakes`` holds them all."""

    def __init__(self, mistakes: Sequence[Mistake] | str) -> None:
        self.mistakes = (Mistake(mistakes),) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class PluginError(UserError):
    """A renderer, feature extractor or estimator that is unknown or does not fit."""


class DataError(UserError):
    """Images, glyphs or datasets on disk that cannot be used as asked."""


class RunError(UserError):
    """A run directory or a checkpoint that cannot be used as asked."""


class MissingExtraError(UserError):
    """An optional package is missing; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'metasim[{extra}]'"
        )


class RenderError(MetasimError):
    """A renderer raised, or returned something its contract forbids.

    Attributes:
        scenes: those that end every process which draws them, as ``Scene.to_json`` gives them.
    """

    scenes: tuple[Mapping[str, Any], ...] = ()


class TrainingError(MetasimError):
    """Training cannot go on, for example because the loss is not a number."""


class Interrupted(BaseException):
    """The user or the system asked to stop; the message says what is kept.

    No :class:`Exception`: it is raised wherever the process happens to be, and code there that
    takes every exception for its own trouble must not swallow it.

    Attributes:
        run: the run that was stopped, where it was one.
    """

    exit_code = 130
    run: Path | None = None


@contextmanager
def concerning(*place: str) -> Iterator[None]:
    """Name the setting that errors of the block are about."""
    try:
        yield
    except MetasimError as error:
        error.place = error.place or place
        raise


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """A sentence naming the nearest of ``known``, or all of them.

    Args:
        wrong: what was written.
        known: what may be written.
    """
    near = get_close_matches(wrong, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(sorted(known))}" if known else "nothing is known here"
