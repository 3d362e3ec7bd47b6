"""The settings of workers: read, judged with their lines, shared with the target's renderer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metasim.config import Experiment, GrammarTarget, RendererSpec, load_experiment
from metasim.errors import ConfigError, Mistake
from metasim.render.options import Recycle, Workers

Write = Callable[[str], Path]
HEAD = "grammar: grammar.yaml\nrenderer:\n  use: 'toy_for_config:Toy'\n"
TARGET = "target: {grammar: grammar.yaml}\n"


def mistakes(path: Path, *overrides: str) -> list[Mistake]:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    return list(caught.value.mistakes)


def of_target(experiment: Experiment) -> RendererSpec:
    assert isinstance(experiment.target, GrammarTarget)
    return experiment.target.renderer


def test_there_are_none_unless_they_are_asked_for(write: Write) -> None:
    loaded = load_experiment(write(HEAD + TARGET))
    assert loaded.renderer.workers is None
    assert of_target(loaded).workers is None
    assert load_experiment(write(HEAD + "  workers: {}\n" + TARGET)).renderer.workers == Workers()


def test_they_are_read_with_paths_and_settings_of_the_command_line(
    write: Write, folder: Path
) -> None:
    (folder / "python").symlink_to(sys.executable)
    path = write(HEAD + "  workers: {count: 3, python: ./python, recycle: {renders: 9}}\n" + TARGET)
    loaded = load_experiment(path, ["renderer.workers.count=5", "renderer.workers.timeout=7"])
    expected = Workers(count=5, python=folder / "python", timeout=7.0, recycle=Recycle(renders=9))
    assert loaded.renderer.workers == expected
    assert of_target(loaded).workers == expected
    assert Experiment.model_validate_json(loaded.model_dump_json()) == loaded


def test_the_targets_are_put_over_the_learners(write: Write) -> None:
    text = HEAD + "  workers: {count: 3, timeout: 9.0}\n"
    own = "target: {grammar: grammar.yaml, renderer: {workers: {count: 1}}}\n"
    loaded = load_experiment(write(text + own))
    assert of_target(loaded).workers == Workers(count=1, timeout=9.0)
    other = "target: {grammar: grammar.yaml, renderer: {use: 'toy_for_config:Anything'}}\n"
    assert of_target(load_experiment(write(text + other))).workers is None


def test_every_mistake_is_told_once_with_its_place(write: Write) -> None:
    text = (
        "  workers:\n    count: 0\n    executor: cloud\n    start: 0\n    timeout: soon\n"
        "    recycle:\n      renders: 0\n      memory: -3\n    coun: 3\n"
    )
    found = {m.line: (m.key, m.message) for m in mistakes(write(HEAD + text + TARGET))}
    assert found == {
        5: ("renderer.workers.count", "must be at least 1, got 0"),
        6: ("renderer.workers.executor", "must be 'local' or 'ray', got 'cloud'"),
        7: ("renderer.workers.start", "must be above 0, got 0"),
        8: ("renderer.workers.timeout", "must be a number, got 'soon'"),
        10: ("renderer.workers.recycle.renders", "must be at least 1, got 0"),
        11: ("renderer.workers.recycle.memory", "must be above 0, got -3"),
        12: ("renderer.workers.coun", "unknown key; did you mean 'count'?"),
    }
    (one,) = mistakes(write(HEAD + "  workers: {count: many}\n" + TARGET))
    assert one.message == "must be a whole number or 'auto', got 'many'"


def test_the_interpreter_must_be_a_program_that_is_there(write: Write, folder: Path) -> None:
    (folder / "text").write_text("")
    for name, what in {"text": "is no program", "nowhere": "does not exist"}.items():
        (one,) = mistakes(write(HEAD + f"  workers: {{python: {name}}}\n" + TARGET))
        assert (one.key, one.line) == ("renderer.workers.python", 4)
        assert one.message == f"must be a Python interpreter; {folder / name} {what}"
    assert load_experiment(write(HEAD + "  workers: {python: text}\n" + TARGET), files=False)


def test_a_pathwise_gradient_does_not_go_with_workers(write: Write) -> None:
    head = HEAD.replace("Toy", "Filed").replace("grammar.yaml", "still.yaml", 1)
    text = write(HEAD).parent / "grammar.yaml"
    x = text.read_text().replace("range: [0, 32]", "range: [0, 32], mutable: true")
    (text.parent / "still.yaml").write_text(
        x.replace("              mutable: true", "  mutable: false")
    )
    pathwise = "gradient:\n  use: pathwise\n"
    assert load_experiment(write(head + TARGET + pathwise))
    (one,) = mistakes(write(head + "  workers: {count: 2}\n" + TARGET + pathwise))
    assert (one.key, one.line) == ("gradient.use", 7)
    assert "needs a renderer in this process" in one.message
    assert "leave renderer.workers out, or use score_function" in one.message
    assert load_experiment(write(head + "  workers: {count: 2}\n" + TARGET))


def test_who_draws_is_no_part_of_what_is_drawn() -> None:
    spec = RendererSpec(use="toy", options={"size": 3}, workers=Workers(count=4))
    assert spec.identity() == RendererSpec(use="toy", options={"size": 3}).identity()
    assert spec.identity() == {"use": "toy", "options": {"size": 3}}
