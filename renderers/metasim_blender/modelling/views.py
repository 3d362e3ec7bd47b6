"""What a model looks like from above at every yaw, and how well its yaw can be told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metasim_blender.ply import PlyMesh

__all__ = ["Asymmetry", "asymmetry", "differences", "views"]

_TABLE = 1000.0  # millimetres that the image's width shows
_SIDE = 64  # pixels
_FINER = 4  # samples of a pixel along each side
_SPACING = 2.5  # millimetres between points of the surface, less than a sample

Views = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Asymmetry:
    """How unlike a model's views are, as shares of what they could differ by.

    Attributes:
        apart: the least difference of two views whose yaws are 30 degrees apart or more.
        false_basin: the least difference at which a search for the yaw that begins anywhere and
            only ever improves may end without being right; infinite where it never ends so.
    """

    apart: float
    false_basin: float


def views(mesh: PlyMesh, yaws: npt.NDArray[np.float64]) -> Views:
    """Unlit views from 45 degrees above, without perspective, of a table 1 m wide.

    Args:
        mesh: millimetres, standing in the middle of the table; white where it has no colours.
            What lies beyond the image is not shown.
        yaws: (Y,), degrees.

    Returns:
        (Y, 64, 64, 4) in [0, 1]: colour times coverage, and coverage.
    """
    points, colours = _cloud(mesh)
    side = _SIDE * _FINER
    images = np.zeros((len(yaws), side**2, 4), np.float32)
    for image, yaw in zip(images, np.radians(yaws), strict=True):
        x = np.cos(yaw) * points[:, 0] - np.sin(yaw) * points[:, 1]
        y = np.sin(yaw) * points[:, 0] + np.cos(yaw) * points[:, 1]
        up, near = (y + points[:, 2]) / np.sqrt(2), (points[:, 2] - y) / np.sqrt(2)
        column, row = (np.floor((v / _TABLE + 0.5) * side).astype(int) for v in (x, -up))
        inside = np.flatnonzero((np.minimum(column, row) >= 0) & (np.maximum(column, row) < side))
        order = inside[np.argsort(near[inside])]  # the nearest of each sample is written last
        image[(row * side + column)[order]] = colours[order]
    fine = images.reshape(-1, _SIDE, _FINER, _SIDE, _FINER, 4)
    coarse: Views = fine.mean((2, 4), dtype=np.float32)
    return coarse


def _cloud(mesh: PlyMesh) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Points all over the surface (P, 3), and their colours (P, 4) in [0, 1] with a 1."""
    painted = np.full(mesh.vertices.shape, 255) if mesh.colours is None else mesh.colours
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    steps = np.ceil(longest / _SPACING).astype(int) + 1
    points, colours = [], []
    for count in np.unique(steps):
        chosen = steps == count
        i, j = np.mgrid[: count + 1, : count + 1]
        inside = i + j <= count
        weights = np.column_stack([i[inside], j[inside], count - i[inside] - j[inside]]) / count
        points.append((weights @ corners[chosen]).reshape(-1, 3))
        shade = painted[mesh.faces[chosen]] / np.float32(255)
        colours.append((weights @ shade).reshape(-1, 3))
    found = np.concatenate(colours)
    return np.concatenate(points), np.column_stack([found, np.ones(len(found))]).astype(np.float32)


def differences(images: Views) -> npt.NDArray[np.float64]:
    """(Y, Y): mean difference of any two views over all that either shows, in [0, 1]."""
    flat = images.reshape(len(images), -1, 4)
    flat = flat[:, flat[..., 3].any(0)]
    return np.asarray(
        [
            np.abs(flat - one).sum((1, 2)) / (4 * np.maximum(flat[..., 3], one[:, 3]).sum(1))
            for one in flat
        ]
    )


def asymmetry(mesh: PlyMesh, step: float = 7.5) -> Asymmetry:
    """How well a model's yaw can be told from its views.

    Args:
        mesh: as for :func:`views`.
        step: degrees between the yaws that are compared; a whole turn is a multiple.
    """
    found = differences(views(mesh, np.arange(0.0, 360.0, step)))
    count = len(found)
    # Row i begins at yaw i: column k is the view that is k steps on.
    turned = np.asarray([np.roll(row, -i) for i, row in enumerate(found)])
    beyond = round(30 / step)
    lowest = (turned <= np.roll(turned, 1, 1)) & (turned <= np.roll(turned, -1, 1))
    false = lowest[:, 1:]
    return Asymmetry(
        apart=float(turned[:, beyond : count - beyond + 1].min()),
        false_basin=float(turned[:, 1:][false].min()) if false.any() else float("inf"),
    )
