"""How a check says that a promise is not kept."""

from __future__ import annotations

__all__ = ["ContractBrokenError", "require"]


class ContractBrokenError(AssertionError):
    """A renderer does not do what the contract asks for."""


def require(holds: bool, message: str) -> None:
    """Go on where ``holds``.

    Raises:
        ContractBrokenError: where not, with ``message``.
    """
    if not holds:
        raise ContractBrokenError(message)
