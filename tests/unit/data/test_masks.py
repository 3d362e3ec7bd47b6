"""Run-length masks against pycocotools, the format's reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as reference

from metasim.data.masks import decode_mask, encode_masks, instance_masks
from metasim.errors import DataError

STACKS = npst.arrays(
    bool, npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=20), elements=st.booleans()
)


def _reference(mask: np.ndarray) -> str:
    return reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


@given(STACKS)
def test_encodes_as_the_reference_does(masks: np.ndarray) -> None:
    assert encode_masks(masks) == [_reference(mask) for mask in masks]


@given(STACKS)
def test_decoding_undoes_encoding(masks: np.ndarray) -> None:
    for mask, text in zip(masks, encode_masks(masks), strict=True):
        np.testing.assert_array_equal(decode_mask(text, mask.shape), mask)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_long_and_uneven_runs(seed: int, density: float) -> None:
    """Blobs in large masks: differences of both signs, of one to four groups."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 300, 500), bool)
    for mask in masks[1:]:
        for _ in range(rng.integers(1, 6)):
            y, x = rng.integers(0, 300), rng.integers(0, 500)
            tall, wide = rng.integers(1, 300), rng.integers(1, 500)
            mask[y : y + tall, x : x + wide] ^= rng.random() < 0.7
    masks[3] ^= rng.random((300, 500)) < density * 0.01
    texts = encode_masks(masks)
    assert texts == [_reference(mask) for mask in masks]
    for mask, text in zip(masks, texts, strict=True):
        np.testing.assert_array_equal(decode_mask(text, (300, 500)), mask)


def test_no_masks() -> None:
    assert encode_masks(np.zeros((0, 4, 4), bool)) == []


@pytest.mark.parametrize("text", ["", "a", "P", "~", "é", "oooooooooo0", "0", "1234", "ooo", "N2"])
def test_refuses_what_is_no_mask(text: str) -> None:
    with pytest.raises(DataError, match="4 x 4"):
        decode_mask(text, (4, 4))


@given(st.text(max_size=12))
def test_any_text_is_a_mask_or_refused(text: str) -> None:
    try:
        mask = decode_mask(text, (3, 5))
    except DataError:
        return
    assert mask.shape == (3, 5)


@given(
    npst.arrays(np.int32, (3, 9, 7), elements=st.integers(0, 3)),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=9),
)
def test_instances_of_a_batch(plane: np.ndarray, wanted: list[tuple[int, int]]) -> None:
    """Masks, areas and boxes agree with the reference's, instance by instance."""
    found = instance_masks(plane, [row for row, _ in wanted], [number for _, number in wanted])
    assert len(found) == len(wanted)
    for mask, (row, number) in zip(found, wanted, strict=True):
        expected = reference.encode(np.asfortranarray((plane[row] == number).astype(np.uint8)))
        assert mask.runs == expected["counts"].decode()
        assert mask.area == reference.area(expected)
        x0, y0, x1, y1 = mask.box
        assert [x0, y0, x1 - x0, y1 - y0] == reference.toBbox(expected).tolist()


def test_large_batches_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(0).integers(0, 3, (5, 6, 8)).astype(np.int32)
    rows, ids = [0, 1, 2, 3, 4, 0, 1], [1, 2, 1, 2, 1, 2, 1]
    whole = instance_masks(plane, rows, ids)
    monkeypatch.setattr("metasim.data.masks._BLOCK", 6 * 8 * 2)
    assert instance_masks(plane, rows, ids) == whole
