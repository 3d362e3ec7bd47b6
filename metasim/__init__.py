"""metasim learns the parameters of simulated scenes from images without labels."""

__version__ = "0.1.0"
