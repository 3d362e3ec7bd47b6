"""Checkpoints: one file holds all that a run has learned; read whole, without pickled code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from metasim import __version__
from metasim.errors import RunError
from metasim.learn.codec import SceneCodec
from metasim.learn.editor import SceneEditor, make_editor
from metasim.learn.options import Editor
from metasim.provenance import digest
from metasim.runs import RunDir
from metasim.scene.grammar import SceneGrammar

__all__ = ["load_editor", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1


def write_checkpoint(run: RunDir, step: int, state: dict[str, Any]) -> Path:
    """Write ``state`` (tensors, numbers, strings, lists and dictionaries) as a checkpoint.

    Raises:
        RunError: when it cannot be written; earlier checkpoints are kept.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "metasim": __version__, **state}, buffer)
    payload = buffer.getvalue()
    return run.write_checkpoint(step, digest(payload).encode() + b"\n" + payload)


def read_checkpoint(run: RunDir) -> tuple[dict[str, Any], Path]:
    """The newest checkpoint that can be read, and its file.

    A damaged one is passed over in favour of the one before it.

    Raises:
        RunError: when there is none that can be read.
    """
    damaged = []
    for path in run.checkpoints():
        try:
            return _load(path), path
        except Exception as error:  # a damaged file can make torch's reader raise anything
            first = (str(error).splitlines() or [""])[0] or type(error).__name__
            damaged.append(f"{path.name} ({first[:80]})")
    if damaged:
        raise RunError(
            f"{run.path} must have a checkpoint that can be read, but all are damaged: "
            f"{', '.join(damaged)}; start a new run"
        )
    raise RunError(f"{run.path} has no checkpoint yet; go on with --resume {run.path}")


def _load(path: Path) -> dict[str, Any]:
    """The state in a file: a line with the SHA-256 of what torch has written after it.

    torch reads an archive without looking at its checksums.
    """
    told, _, payload = path.read_bytes().partition(b"\n")
    if told != digest(payload).encode():
        raise ValueError("its content does not have the SHA-256 it was written with")
    state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ValueError("not a checkpoint of this version")
    return state


def load_editor(grammar: SceneGrammar, options: Editor, state: dict[str, Any]) -> SceneEditor:
    """The editor as a checkpoint's state holds it."""
    editor = make_editor(SceneCodec(grammar), options, seed=0)
    editor.load_state_dict(state["trainer"]["editor"])
    editor.min_scale = state["trainer"]["min_scale"]
    return editor.eval()
