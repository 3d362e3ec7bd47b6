"""What is told of a run at its end."""

from __future__ import annotations

import pytest

from metasim.judgement import _reason


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
    reason = _reason(p_value, before, threshold=0.05, smallest=0.002)
    assert said in reason
    assert unsaid not in reason


@pytest.mark.parametrize("p_value", [0.114, 0.9])
def test_a_test_that_cannot_be_failed_judges_nothing(p_value: float) -> None:
    reason = _reason(p_value, 0.5, threshold=0.05, smallest=0.1)
    assert "cannot be judged" in reason
    assert "go below 0.1; set training.p_value higher" in reason
