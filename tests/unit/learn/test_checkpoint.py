"""Checkpoints: written whole, read without code, and passed over where damaged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from metasim.errors import RunError
from metasim.learn.checkpoint import (
    load_editor,
    read_checkpoint,
    read_learned,
    write_checkpoint,
)
from metasim.learn.codec import SceneCodec
from metasim.learn.editor import edit_scenes, make_editor
from metasim.learn.options import GCNEditor, MixtureHead, ParametricEditor
from metasim.rng import stream
from metasim.runs import RunDir
from metasim.scene.grammar import SceneGrammar
from metasim.testing import AnalyticRenderer

GRAMMAR = SceneGrammar.model_validate(AnalyticRenderer.example)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "test", 0)


def test_what_is_written_is_read(run: RunDir) -> None:
    state = {"a": torch.arange(3.0), "b": [1, "two", None, {"c": (0.5, True)}]}
    path = write_checkpoint(run, 7, state)
    found = read_checkpoint(run)
    assert (found.path, found.damaged, found.passed_over) == (path, (), "")
    assert torch.equal(found.state["a"], state["a"])  # type: ignore[arg-type]
    assert found.state["b"] == state["b"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 50, b"PK\3\4 no archive", None])
def test_a_damaged_one_is_passed_over(run: RunDir, damage: bytes | None) -> None:
    write_checkpoint(run, 1, {"a": 1})
    newest = write_checkpoint(run, 2, {"a": 2})
    newest.write_bytes(newest.read_bytes()[:-100] if damage is None else damage)
    found = read_checkpoint(run)
    assert found.state["a"] == 1
    assert found.passed_over.startswith("damaged and passed over: step-00000002.pt (Value")
    assert found.passed_over.endswith("; step-00000001.pt is used")
    write_checkpoint(run, 2, {"a": 3})
    assert read_checkpoint(run).state["a"] == 3


def test_a_single_bit_that_flipped_is_noticed(run: RunDir) -> None:
    """Wherever it is: torch itself reads most such files, with other numbers."""
    write_checkpoint(run, 1, {"a": 1})
    newest = write_checkpoint(run, 2, {"weights": torch.arange(200.0), "b": [1, "two"]})
    whole = newest.read_bytes()
    for place in (*range(80), *range(80, len(whole), 7)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        newest.write_bytes(damaged)
        assert read_checkpoint(run).state["a"] == 1, place
    newest.write_bytes(whole)
    assert read_checkpoint(run).path == newest


@pytest.mark.parametrize("error", [KeyError, AttributeError, IndexError, RuntimeError, MemoryError])
def test_whatever_the_reader_raises_is_damage(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    write_checkpoint(run, 1, {})
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(RunError, match=rf"step-00000001.pt \({error.__name__}\)"):
        read_checkpoint(run)


def test_none_that_can_be_read_names_them_all(run: RunDir) -> None:
    for step in (1, 2):
        write_checkpoint(run, step, {}).write_bytes(b"")
    with pytest.raises(RunError, match=r"step-00000002.pt .*step-00000001.pt .*start a new run"):
        read_checkpoint(run)


def test_what_an_ended_run_has_learned_is_in_its_last_one_alone(run: RunDir) -> None:
    write_checkpoint(run, 1, {"a": 1})
    newest = write_checkpoint(run, 2, {"a": 2})
    whole = newest.read_bytes()
    newest.write_bytes(b"")
    assert read_learned(run).path == run.checkpoint_path(1)
    run.write_summary({})
    with pytest.raises(RunError, match=r"step-00000002.pt .*; remove .*summary.json, .*--resume"):
        read_learned(run)
    newest.write_bytes(whole)
    assert read_learned(run).path == newest


def test_none_at_all_says_how_to_go_on(run: RunDir) -> None:
    with pytest.raises(RunError, match="no checkpoint yet; go on with --resume"):
        read_checkpoint(run)


class Trap:
    """Pickled code that leaves a mark when it is run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.mark),)


def test_no_code_in_a_checkpoint_is_run(run: RunDir, tmp_path: Path) -> None:
    write_checkpoint(run, 1, {"trap": Trap(tmp_path / "mark")})
    with pytest.raises(RunError, match="damaged"):
        read_checkpoint(run)
    assert not (tmp_path / "mark").exists()


def test_another_format_is_refused(run: RunDir) -> None:
    write_checkpoint(run, 1, {"format": 99})
    with pytest.raises(RunError, match="not a checkpoint of this version"):
        read_checkpoint(run)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({}, "KeyError: 'trainer'"),
        ({"trainer": 3}, "TypeError"),
        ({"trainer": {"editor": {}, "min_scale": 0.1}}, "RuntimeError: .*Missing key"),
        (
            {"trainer": {"editor": {"table": torch.zeros(1, 1)}, "min_scale": 0.1}},
            ".*size mismatch",
        ),
    ],
)
def test_one_that_holds_no_such_editor_is_told(
    run: RunDir, state: dict[str, Any], told: str
) -> None:
    path = write_checkpoint(run, 1, state)
    with pytest.raises(RunError, match=rf"{path} must fit .*\({told}.*start a new run"):
        load_editor(GRAMMAR, ParametricEditor(), read_checkpoint(run))


@pytest.mark.parametrize(
    "options", [GCNEditor(head=MixtureHead()), ParametricEditor()], ids=["gcn", "parametric"]
)
def test_an_editor_comes_back_as_it_was(run: RunDir, options: GCNEditor | ParametricEditor) -> None:
    editor = make_editor(SceneCodec(GRAMMAR), options, seed=3)
    editor.min_scale = 0.2
    trainer = {"editor": editor.state_dict(), "min_scale": editor.min_scale}
    write_checkpoint(run, 1, {"trainer": trainer})
    found = load_editor(GRAMMAR, options, read_checkpoint(run))
    scenes = [GRAMMAR.sample(stream(0, i)) for i in range(5)]
    assert edit_scenes(found, scenes, 1) == edit_scenes(editor, scenes, 1)
    assert edit_scenes(found, scenes, 1) != edit_scenes(found, scenes, 2)
