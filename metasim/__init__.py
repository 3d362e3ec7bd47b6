"""metasim learns the parameters of simulated scenes from images without labels."""

__all__ = ["__version__"]

__version__ = "0.1.0"
