"""A progress that can be asked what it was told."""

from __future__ import annotations

from metasim.progress import Silent

__all__ = ["Told"]


class Told(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)
