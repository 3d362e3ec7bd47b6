"""Planes are packed so that equal ones are equal files, and nothing of them is lost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from metasim.data.planes import offered, pack, unpack
from metasim.render import Rendered


def rendered(highest: int = 3, **planes: np.ndarray) -> Rendered:
    ids = np.zeros((1, 4, 5), np.int32)
    ids[0, 1, 2] = highest
    return Rendered(np.zeros((1, 4, 5, 3), np.uint8), ids, ((),), **planes)


DEPTH = np.random.default_rng(0).uniform(0, 3, (1, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("highest", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (65536, "u4"), (2**31 - 1, "u4")]
)
def test_ids_take_as_few_bytes_as_hold_them(tmp_path: Path, highest: int, kind: str) -> None:
    one = rendered(highest, depth=DEPTH)
    planes = offered(one)
    assert planes["instances"].dtype == kind
    (tmp_path / "a.npz").write_bytes(pack(planes))
    back = unpack(tmp_path / "a.npz")
    assert back["instances"].dtype == np.int32
    np.testing.assert_array_equal(back["instances"], one.instances[0])
    np.testing.assert_array_equal(back["depth"], DEPTH[0])
    with np.load(tmp_path / "a.npz") as file:  # with nothing of ours
        np.testing.assert_array_equal(file["depth"], DEPTH[0])


def test_ids_alone_are_no_planes() -> None:
    """The masks in the labels say the same."""
    assert offered(rendered()) == {}


def test_the_time_of_day_is_not_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    planes = offered(rendered(depth=DEPTH))
    first = pack(planes)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert pack(planes) == first
