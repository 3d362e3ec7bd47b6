"""What all settings of learning have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metasim.options import Options

__all__ = ["Options", "Share"]

Share = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""
