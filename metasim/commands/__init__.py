"""The commands: each turns what was asked into an :class:`Answer` and prints nothing.

Whatever takes long to import is imported by the command that needs it. Importing this package
registers all commands; help lists them in the order of the modules.
"""

from metasim.commands import experiments, generation, refinement, tools
from metasim.commands.app import app

__all__ = ["app", "experiments", "generation", "refinement", "tools"]
