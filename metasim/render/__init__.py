"""The renderer contract and how plugins are found."""

from metasim.render.base import Label, Rendered, Renderer
from metasim.render.checking import check_rendered
from metasim.render.geometry import Camera, Mesh, Pose
from metasim.render.plugins import load_renderer, make_renderer

__all__ = [
    "Camera",
    "Label",
    "Mesh",
    "Pose",
    "Rendered",
    "Renderer",
    "check_rendered",
    "load_renderer",
    "make_renderer",
]
