"""What goes wrong with a player."""

from __future__ import annotations

from metasim.errors import RenderError

__all__ = ["PlayerError"]


class PlayerError(RenderError):
    """A player ended, fell silent, or does not keep to the protocol.

    Attributes:
        again: whether another player may do better.
    """

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again
