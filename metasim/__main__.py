"""``python -m metasim`` is the command ``metasim``."""

from metasim.cli import console

if __name__ == "__main__":
    console()
