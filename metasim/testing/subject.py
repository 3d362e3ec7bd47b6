"""A renderer under test, and what it does to the process it runs in."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from metasim.render.base import Rendered, Renderer, check_rendered
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["Subject"]

SCENES = 6
"""How many scenes a check looks at."""


class Subject:
    """A renderer under test, started when first needed and never twice at a time.

    Args:
        factory: makes the renderer.
        grammar: what it is to draw.
        seed: of the scenes.

    Attributes:
        leaks: what of the process's global state the renderer has changed so far.
    """

    def __init__(
        self, factory: Callable[[], Renderer], grammar: SceneGrammar, seed: int = 0
    ) -> None:
        self.grammar = grammar
        self.seed = seed
        self.leaks: set[str] = set()
        self._factory = factory
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> Renderer:
        """The running renderer."""
        if self._renderer is None:
            with self.watched():
                self._renderer = self._factory()
        return self._renderer

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """A few scenes of the grammar."""
        return self.sample()

    @cached_property
    def rendered(self) -> Rendered:
        """The scenes, drawn once and checked for shapes."""
        return self.draw(self.scenes)

    def sample(self) -> tuple[Scene, ...]:
        """Scenes equal to :attr:`scenes` that no renderer has seen."""
        rng = stream(self.seed, "renderer contract")
        return tuple(self.grammar.sample(rng) for _ in range(SCENES))

    def draw(self, scenes: Sequence[Scene]) -> Rendered:
        """What the renderer makes of ``scenes``, shapes checked.

        Raises:
            RenderError: when shapes or dtypes are not those of the contract.
        """
        renderer = self.renderer
        with self.watched():
            rendered = renderer.render(scenes)
        return check_rendered(rendered, scenes, renderer.image_size)

    def close(self) -> None:
        """Close the renderer if one is running; the next use starts another."""
        running, self._renderer = self._renderer, None
        if running is not None:
            with self.watched():
                running.close()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note in :attr:`leaks` what the block changes of the global state."""
        before = _global_state()
        yield
        after = _global_state()
        self.leaks |= {name for name, state in before.items() if after[name] != state}


def _global_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {
        "the random module's state": random.getstate(),
        "numpy's global random state": (name, np.asarray(keys).tobytes(), *rest),
        "numpy's error handling": np.geterr(),
        "the environment variables": {k: v for k, v in os.environ.items() if _ours(k)},
        "the working directory": os.getcwd(),
    }
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):  # not while it is half imported
        state["torch's default dtype"] = torch.get_default_dtype()
        state["torch's global random state"] = torch.get_rng_state().numpy().tobytes()
        state["torch's gradient mode"] = torch.is_grad_enabled()
    return state


def _ours(variable: str) -> bool:
    # OpenMP's are set by libraries as they are imported, pytest's by pytest.
    return not variable.startswith(("KMP_", "PYTEST_"))
