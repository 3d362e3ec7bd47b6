from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from metasim.render.geometry import Mesh
from metasim_unity.frames import Frame, Kind, ProtocolError, read_frame
from metasim_unity.models import meshes_frames, read_meshes
from metasim_unity.peer.tabletop import TabletopRenderer

TRIANGLE = {"category": "car", "vertices": 3, "faces": 1}
PLANES = np.arange(9, dtype="<f4").tobytes() + bytes(4) + np.arange(3, dtype="<i4").tobytes()


def frame(*models: dict[str, Any], planes: bytes = PLANES) -> Frame:
    return Frame(Kind.MESHES, 1, to_json({"models": models}), planes)


def test_models_are_read_as_they_were_sent() -> None:
    meshes = TabletopRenderer().meshes()
    frames = [read_frame(one.to_bytes(), 1 << 20) for one in meshes_frames(meshes, 1)]
    read = read_meshes(frames)
    assert list(read) == list(meshes)
    for name, mesh in read.items():
        assert np.array_equal(mesh.vertices, meshes[name].vertices)
        assert np.array_equal(mesh.faces, meshes[name].faces)
        assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)


def test_there_may_be_none_and_several_in_a_frame() -> None:
    (nothing,) = meshes_frames({}, 1)
    assert read_meshes([nothing]) == {}
    both = frame(TRIANGLE, {**TRIANGLE, "category": "mug"}, planes=PLANES + bytes(4) + PLANES)
    car, mug = read_meshes([both]).values()
    assert np.array_equal(car.vertices, mug.vertices)


@pytest.mark.parametrize(
    ("models", "planes", "told"),
    [
        ([TRIANGLE, TRIANGLE], PLANES + bytes(4) + PLANES, "'car' has two"),
        ([TRIANGLE], PLANES[:-1], "must have 52 bytes or more, got 51"),
        ([TRIANGLE], PLANES + b"0", "must have 52 bytes, got 53"),
        ([], PLANES, "must have 0 bytes, got 52"),
        ([{**TRIANGLE, "vertices": 0}], PLANES, "MESHES.models.0.vertices: .*, got 0"),
        ([{**TRIANGLE, "faces": 1 << 40}], PLANES, "MESHES.models.0.faces: "),
        ([TRIANGLE], PLANES[:-4] + (3).to_bytes(4, "little"), "places in its 3 vertices"),
        ([TRIANGLE], PLANES[:-1] + b"\xff", "places in its 3 vertices"),
        ([TRIANGLE], b"\x00\x00\xc0\x7f" + PLANES[4:], "finite vertices"),
    ],
)
def test_models_that_are_wrong_are_refused(
    models: list[dict[str, Any]], planes: bytes, told: str
) -> None:
    with pytest.raises(ProtocolError, match=told):
        read_meshes([frame(*models, planes=planes)])


counts = st.integers(-2, 40) | st.integers(1 << 22, 1 << 26)


@given(
    models=st.lists(
        st.fixed_dictionaries(
            {"category": st.text(max_size=2), "vertices": counts, "faces": counts}
        ),
        max_size=3,
    ),
    planes=st.binary(max_size=400),
)
def test_whatever_models_are_they_are_read_or_refused(
    models: list[dict[str, Any]], planes: bytes
) -> None:
    with suppress(ProtocolError):
        for mesh in read_meshes([frame(*models, planes=planes)]).values():
            assert isinstance(mesh, Mesh)
            assert mesh.faces.max() < len(mesh.vertices)


def test_models_without_end_are_refused_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metasim_unity.models._MOST", 2 * len(PLANES))
    sent = 0

    def endless() -> Iterator[Frame]:
        nonlocal sent
        while True:
            sent += 1
            yield frame({**TRIANGLE, "category": str(sent)})

    with pytest.raises(ProtocolError, match="all models must have at most 104 bytes"):
        read_meshes(endless())
    assert sent == 3
