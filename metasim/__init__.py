"""metasim learns the parameters of simulated scenes from images without labels."""

import os

__all__ = ["__version__"]

__version__ = "0.1.0"

# Of its many ways to multiply, MKL (in torch) otherwise takes one by chance where a matrix is
# thin and threads are two or more: the same training would not give the same weights twice. It
# looks at this when it first multiplies, so it is told before anything else of metasim is there.
os.environ.setdefault("MKL_CBWR", "AUTO")
