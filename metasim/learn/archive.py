"""Tensors and plain data as bytes that tell when they were damaged; no code is unpickled."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch

from metasim import __version__
from metasim.provenance import digest

__all__ = ["pack", "unpack"]

_FORMAT = 1


def pack(state: Mapping[str, Any]) -> bytes:
    """A line with the SHA-256 of what follows: tensors, numbers, text, lists and dictionaries.

    torch itself reads an archive without looking at its checksums.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "metasim": __version__, **state}, buffer)
    payload = buffer.getvalue()
    return digest(payload).encode() + b"\n" + payload


def unpack(data: bytes) -> dict[str, Any]:
    """What :func:`pack` was given.

    Raises:
        ValueError: when the bytes are damaged, or are none of this version's. A damaged archive
            can make torch's reader raise anything else.
    """
    told, _, payload = data.partition(b"\n")
    if told != digest(payload).encode():
        raise ValueError("its content does not have the SHA-256 it was written with")
    state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ValueError("not a checkpoint of this version")
    return state
