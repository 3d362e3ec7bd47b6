from __future__ import annotations

from collections.abc import Callable

import pytest

from metasim.render import Renderer
from metasim.scene import SceneGrammar
from metasim.testing import check_renderer


@pytest.fixture
def failures() -> Callable[..., dict[str, str]]:
    """Check a renderer, with its example if no grammar is given: failed check -> message."""

    def check(renderer: type[Renderer], grammar: object = None) -> dict[str, str]:
        drawn = SceneGrammar.model_validate(grammar or renderer.example)
        return {r.name: r.message for r in check_renderer(renderer, drawn) if not r.passed}

    return check
