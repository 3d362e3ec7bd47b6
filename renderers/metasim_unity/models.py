"""Models of classes out of a player's answer (PROTOCOL.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from metasim.render.geometry import Mesh
from metasim_unity.frames import Frame, Kind, ProtocolError, written
from metasim_unity.messages import Meshes

__all__ = ["meshes_frames", "read_meshes"]

_ALIGNED: Final = 8
_MOST: Final = 1 << 30  # bytes of all models


def read_meshes(frames: Iterable[Frame]) -> dict[str, Mesh]:
    """The models by class.

    Args:
        frames: of an answer, as they come.

    Raises:
        ProtocolError: when they are not what the protocol says.
    """
    found: dict[str, Mesh] = {}
    total = 0
    for frame in frames:
        at, total = 0, total + len(frame.planes)
        if total > _MOST:
            raise ProtocolError(f"all models must have at most {_MOST} bytes")
        for told in frame.told(Meshes).models:
            if told.category in found:
                raise ProtocolError(f"a class must have one model, but {told.category!r} has two")
            vertices, at = _taken(frame, at, told.vertices, np.dtype("<f4"))
            faces, at = _taken(frame, at, told.faces, np.dtype("<i4"))
            if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= told.vertices:
                raise ProtocolError(
                    f"the model of {told.category!r} must have finite vertices, and faces of "
                    f"places in its {told.vertices} vertices"
                )
            found[told.category] = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
        if at != len(frame.planes):
            raise ProtocolError(f"these models must have {at} bytes, got {len(frame.planes)}")
    return found


def _taken(
    frame: Frame, at: int, count: int, kind: np.dtype[np.generic]
) -> tuple[npt.NDArray[np.generic], int]:
    """So many rows of three numbers from the next place on, and where they end."""
    start = -(-at // _ALIGNED) * _ALIGNED
    end = start + 3 * kind.itemsize * count
    if end > len(frame.planes):
        raise ProtocolError(f"these models must have {end} bytes or more, got {len(frame.planes)}")
    return np.frombuffer(frame.planes, kind, 3 * count, start).reshape(count, 3), end


def meshes_frames(meshes: Mapping[str, Mesh], request: int) -> Iterator[Frame]:
    """The frames of an answer: one for each model, and one where there is none."""
    if not meshes:
        yield Frame(Kind.MESHES, request, written({"models": []}))
    for part, (category, mesh) in enumerate(meshes.items()):
        told = {"category": category, "vertices": len(mesh.vertices), "faces": len(mesh.faces)}
        planes = mesh.vertices.astype("<f4").tobytes()
        planes += bytes(-len(planes) % _ALIGNED) + mesh.faces.astype("<i4").tobytes()
        yield Frame(Kind.MESHES, request, written({"models": [told]}), planes, part, len(meshes))
