"""Scenes drawn by Unity, over ML-Agents.

Importing this package imports neither gRPC nor mlagents-envs; making a :class:`UnityRenderer` does.
"""

from metasim_unity.renderer import UnityRenderer

__all__ = ["UnityRenderer"]
