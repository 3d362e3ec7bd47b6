"""For authors of plugins, and for metasim's own tests: the contract, and known renderers."""

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
