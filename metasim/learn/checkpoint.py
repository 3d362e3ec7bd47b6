"""Checkpoints: one file holds all that a run has learned; read whole, without pickled code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metasim.errors import RunError
from metasim.learn.archive import pack, unpack
from metasim.learn.codec import SceneCodec
from metasim.learn.editor import SceneEditor, make_editor
from metasim.learn.options import Editor
from metasim.runs import RunDir
from metasim.scene.grammar import SceneGrammar

__all__ = ["Checkpoint", "load_editor", "read_checkpoint", "read_learned", "write_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """What was read.

    Attributes:
        state: as it was written.
        path: its file.
        damaged: of each newer file that cannot be read, the name and what is wrong.
    """

    state: dict[str, Any]
    path: Path
    damaged: tuple[str, ...] = ()

    @property
    def passed_over(self) -> str:
        """Which newer files are damaged, and what is used instead; empty where there is none."""
        if not self.damaged:
            return ""
        return f"damaged and passed over: {', '.join(self.damaged)}; {self.path.name} is used"

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Take the state apart in the block: what does not fit there is the file's fault.

        Raises:
            RunError: when an entry is missing, or is not what it must be.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise  # no fault of the file
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RunError(
                f"{self.path} must fit the settings of its run, but does not ({_told(error)}); if "
                "it was brought here from another run remove it, and the one before it is used; "
                "else start a new run"
            ) from error


def write_checkpoint(run: RunDir, step: int, state: dict[str, Any]) -> Path:
    """Write ``state`` (tensors, numbers, strings, lists and dictionaries) as a checkpoint.

    Raises:
        RunError: when it cannot be written; earlier checkpoints are kept.
    """
    return run.write_checkpoint(step, pack(state))


def read_checkpoint(run: RunDir) -> Checkpoint:
    """The newest checkpoint that can be read.

    A damaged one is passed over in favour of the one before it, which the caller should tell.

    Raises:
        RunError: when there is none that can be read.
    """
    damaged: list[str] = []
    for path in run.checkpoints():
        try:
            return Checkpoint(unpack(path.read_bytes()), path, tuple(damaged))
        except Exception as error:  # a damaged file can make torch's reader raise anything
            damaged.append(f"{path.name} ({_told(error)})")
    if damaged:
        raise RunError(
            f"{run.path} must have a checkpoint that can be read, but all are damaged: "
            f"{', '.join(damaged)}; start a new run"
        )
    raise RunError(f"{run.path} has no checkpoint yet; go on with --resume {run.path}")


def read_learned(run: RunDir) -> Checkpoint:
    """The checkpoint that holds what a run has learned, or has learned so far.

    Raises:
        RunError: as :func:`read_checkpoint`, and when the last one of a run that has ended is
            damaged: the one before it would pass for the result.
    """
    found = read_checkpoint(run)
    if run.ended and found.damaged:
        raise RunError(
            f"the last checkpoint of {run.path} must be whole, as it holds what was learned, but "
            f"is damaged: {', '.join(found.damaged)}; remove {run.summary_path}, and the end of "
            f"the run is done again with: metasim train --resume {run.path}"
        )
    return found


def _told(error: Exception) -> str:
    """The kind of an error and the beginning of what it says."""
    said = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def load_editor(grammar: SceneGrammar, options: Editor, found: Checkpoint) -> SceneEditor:
    """The editor that a checkpoint holds.

    Raises:
        RunError: when it is not one of this grammar and these options.
    """
    editor = make_editor(SceneCodec(grammar), options, seed=0)
    with found.fitting():
        editor.load_state_dict(found.state["trainer"]["editor"])
        editor.min_scale = found.state["trainer"]["min_scale"]
    return editor.eval()
