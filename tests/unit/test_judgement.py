"""What is told of a run at its end."""

from __future__ import annotations

import pytest

from metasim.judgement import _doubt, _reason


@pytest.mark.parametrize(
    ("p_value", "before", "said", "unsaid"),
    [
        (0.30, 0.002, "cannot be told from held-out target images (p = 0.3,", "prior"),
        (0.30, 0.400, "but neither could the prior's (p = 0.4)", "can still be told"),
        (0.05, 0.049, "cannot be told", "prior"),
        (0.01, 0.400, "can still be told from held-out target images (p = 0.01,", "prior"),
    ],
)
def test_the_reason_says_what_the_test_found_and_whether_it_could_find_anything(
    p_value: float, before: float, said: str, unsaid: str
) -> None:
    reason = _reason(p_value, before, threshold=0.05, doubt="")
    assert said in reason
    assert unsaid not in reason


@pytest.mark.parametrize(
    ("held_out", "threshold", "told"),
    [
        (2, 0.05, "2 held-out target images are too few"),
        (4, 0.05, "give at least 20 target images"),
        (5, 0.05, ""),
        (50, 0.0021, ""),
        (50, 0.001, "training.p_value is 0.001, and no test goes below 0.002; set"),
    ],
)
def test_a_test_that_nearly_anything_passes_is_doubted(
    held_out: int, threshold: float, told: str
) -> None:
    doubt = _doubt(max(100, held_out), held_out, threshold)
    assert told in doubt
    assert bool(told) == bool(doubt)


def test_passing_a_doubtful_test_is_no_verdict_but_failing_it_is() -> None:
    assert _reason(0.1, 0.5, 0.05, "too few") == "it cannot be judged: too few"
    assert "can still be told" in _reason(0.01, 0.5, 0.05, "too few")
