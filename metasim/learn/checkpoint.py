"""Checkpoints: one file holds all that a run has learned; read without pickled code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from metasim import __version__
from metasim.errors import RunError
from metasim.learn.codec import SceneCodec
from metasim.learn.editor import SceneEditor, make_editor
from metasim.learn.options import Editor
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
    return run.write_checkpoint(step, buffer.getvalue())


def read_checkpoint(run: RunDir) -> tuple[dict[str, Any], Path]:
    """The newest checkpoint that can be read, and its file.

    A damaged one is passed over in favour of the one before it.

    Raises:
        RunError: when there is none that can be read.
    """
    damaged = []
    for path in run.checkpoints():
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            damaged.append(f"{path.name} ({first[:80]})")
            continue
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            damaged.append(f"{path.name} (not a checkpoint of this version)")
            continue
        return state, path
    if damaged:
        raise RunError(
            f"{run.path} must have a checkpoint that can be read, but all are damaged: "
            f"{', '.join(damaged)}; start a new run"
        )
    raise RunError(f"{run.path} has no checkpoint yet; go on with --resume {run.path}")


def load_editor(grammar: SceneGrammar, options: Editor, state: dict[str, Any]) -> SceneEditor:
    """The editor as a checkpoint's state holds it."""
    editor = make_editor(SceneCodec(grammar), options, seed=0)
    editor.load_state_dict(state["trainer"]["editor"])
    editor.min_scale = state["trainer"]["min_scale"]
    return editor.eval()
