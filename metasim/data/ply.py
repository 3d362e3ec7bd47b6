"""Meshes as PLY files (Turk, 1994), in text, with a normal at each vertex."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["to_ply", "vertex_normals"]

_PROPERTIES = ("x", "y", "z", "nx", "ny", "nz")


def to_ply(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[np.int32]) -> bytes:
    """A mesh as the bytes of a PLY file.

    Numbers are written as Python does, so that reading them gives the vertices exactly.

    Args:
        vertices: (V, 3), in whatever unit the file is to have.
        faces: (F, 3).
    """
    lines = _lines(vertices.astype(np.float64), faces)
    return ("\n".join(lines) + "\n").encode("ascii")


def _lines(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int32]) -> Iterator[str]:
    yield from ("ply", "format ascii 1.0", f"element vertex {len(vertices)}")
    yield from (f"property float {name}" for name in _PROPERTIES)
    yield from (f"element face {len(faces)}", "property list uchar int vertex_indices")
    yield "end_header"
    normals = np.round(vertex_normals(vertices, faces), 6) + 0.0  # no negative zeros
    for values in np.concatenate([vertices, normals], axis=1).tolist():
        yield " ".join(map(repr, values))
    for a, b, c in faces.tolist():
        yield f"3 {a} {b} {c}"


def vertex_normals(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """Unit normals (V, 3): of the faces around each vertex, weighted by their angle there.

    As Thürrner and Wüthrich (1998) compute them. 0 where a vertex has no face with an area.
    """
    corners = vertices[faces]
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    across = np.cross(ahead[:, 0], back[:, 0])
    angles = np.arctan2(
        np.linalg.norm(np.cross(ahead, back), axis=2), (ahead * back).sum(2)
    )  # (F, 3)
    summed = np.zeros_like(vertices)
    np.add.at(summed, faces, angles[..., None] * _unit(across)[:, None])
    return _unit(summed)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
