"""Objects on a table-top, drawn by Blender's Cycles with their ground truth.

Importing this package does not import bpy; making a :class:`BlenderRenderer` does.
"""

from metasim_blender.renderer import BlenderRenderer

__all__ = ["BlenderRenderer"]
