"""The glyph toy: digits on a plain ground, drawn by the batch, differentiable where asked."""

from metasim_mnist.renderer import MnistRenderer

__all__ = ["MnistRenderer"]
