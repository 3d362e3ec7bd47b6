"""How long-running work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Hears of stages, one after the other, and of messages in between."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins.

        Args:
            stage: what is done, for people, for example "training".
            total: how much is to be done, None where that is not known.
        """

    def advance(self, done: int, **numbers: float | str) -> None:
        """The stage has come to ``done``, counted from its start.

        Args:
            done: at most the stage's total.
            **numbers: what is worth seeing beside it, by name.
        """

    def finish(self) -> None:
        """The stage has ended."""

    def log(self, message: str) -> None:
        """Something happened that people should see."""


class Silent:
    """Tells nobody."""

    def start(self, stage: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, done: int, **numbers: float | str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""

    def log(self, message: str) -> None:
        """Nothing."""
