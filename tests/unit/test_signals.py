"""Being asked to stop."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metasim.data import load_images
from metasim.errors import Interrupted
from metasim.signals import interruptible, on_signal


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_the_block_ends_at_once_and_says_what_is_kept(which: signal.Signals) -> None:
    before, went_on = signal.getsignal(which), False

    def work() -> None:
        nonlocal went_on
        with interruptible(lambda: "all of it kept"):
            signal.raise_signal(which)
            went_on = True

    with pytest.raises(Interrupted, match="all of it kept"):
        work()
    assert not went_on
    assert signal.getsignal(which) is before


def test_what_takes_every_exception_for_its_own_does_not_swallow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are decoded by code that raises nearly anything."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    open_image = Image.open

    def interrupted(*arguments: Any, **options: Any) -> Image.Image:
        signal.raise_signal(signal.SIGINT)
        return open_image(*arguments, **options)

    monkeypatch.setattr(Image, "open", interrupted)
    with pytest.raises(Interrupted, match="stopped"), interruptible(lambda: "stopped"):
        load_images(tmp_path, (8, 8), resize=False)


def test_a_handler_may_note_it_and_go_on() -> None:
    noted: list[int] = []
    with on_signal(lambda: noted.append(1)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert len(noted) == 2


def test_in_another_thread_the_block_just_runs() -> None:
    done: list[bool] = []

    def work() -> None:
        with interruptible(lambda: ""):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
