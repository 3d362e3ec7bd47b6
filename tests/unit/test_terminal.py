from __future__ import annotations

import io

import pytest

from metasim.progress import Progress, Silent
from metasim.terminal import BarProgress, LineProgress, progress_on


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    progress.start("teaching", 3)
    for done in (1, 2, 3):
        progress.advance(done, loss=1 / 3, note="so far")
    progress.finish()
    progress.log("a message with [brackets]")
    progress.start("training", None)
    progress.advance(7)
    progress.finish()


def test_lines_tell_of_start_and_end_and_seldom_in_between() -> None:
    stream = io.StringIO()
    work(LineProgress(stream, seconds=3600))
    lines = [line.split("  done in")[0] for line in stream.getvalue().splitlines()]
    assert lines == [
        "teaching ...",
        "teaching: 3/3  loss 0.3333  note so far",
        "a message with [brackets]",
        "training ...",
        "training: 7",
    ]


def test_lines_tell_of_every_step_when_asked_to() -> None:
    stream = io.StringIO()
    work(LineProgress(stream, seconds=0))
    assert "teaching: 1/3  loss 0.3333  note so far\n" in stream.getvalue()


def test_a_bar_shows_stage_count_and_numbers() -> None:
    stream = Terminal()
    with progress_on(stream) as progress:
        assert isinstance(progress, BarProgress)
        work(progress)
    shown = stream.getvalue()
    for part in ("teaching", "3/3", "loss 0.3333", "a message with [brackets]", "training"):
        assert part in shown


def test_the_terminal_is_given_back_when_the_work_fails() -> None:
    stream = Terminal()

    def fail() -> None:
        with progress_on(stream) as progress:
            progress.start("training", 3)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        fail()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_elsewhere_there_are_lines() -> None:
    with progress_on(io.StringIO()) as progress:
        assert isinstance(progress, LineProgress)


def test_silence_takes_everything() -> None:
    work(Silent())
