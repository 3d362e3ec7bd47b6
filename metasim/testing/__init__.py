"""For authors of plugins, and for metasim's own tests: the contract, and known renderers.

Each is imported when it is first asked for: the known renderers need numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metasim.testing.analytic import AnalyticRenderer
    from metasim.testing.broken import ContractBrokenError
    from metasim.testing.checks import CHECKS
    from metasim.testing.contract import CheckResult, RendererContract, check_renderer
    from metasim.testing.footprint import Footprint
    from metasim.testing.solids import SolidsRenderer
    from metasim.testing.subject import Subject

__all__ = [
    "CHECKS",
    "AnalyticRenderer",
    "CheckResult",
    "ContractBrokenError",
    "Footprint",
    "RendererContract",
    "SolidsRenderer",
    "Subject",
    "check_renderer",
]

_PLACES = {
    "AnalyticRenderer": "analytic",
    "CHECKS": "checks",
    "CheckResult": "contract",
    "ContractBrokenError": "broken",
    "Footprint": "footprint",
    "RendererContract": "contract",
    "SolidsRenderer": "solids",
    "Subject": "subject",
    "check_renderer": "contract",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
